from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter

import msgspec
import pytest

from routecast.models.config import Config
from routecast.models.errors import ConfigError, NoTarget
from routecast.models.events import Completed, Started, decode_events
from routecast.models.requirements import Requirements
from routecast.models.snapshot import RoutingSnapshot
from routecast.streams.clock import FixedClock
from routecast.streams.emitter import Emitter
from routecast.streams.router import Router
from routecast.testing import Fleet

NAMES = ("a", "b", "c", "d")


def _config(**more: object) -> Config:
    targets = [{"id": name, "provider": f"p-{name}", "model": "m", "service": "chat"} for name in NAMES]
    return Config.model_validate({"target": targets} | more)


def _router(at_ms: float = 1000.0, **more: object) -> Router:
    clock = FixedClock(at_ms)
    return Router(_config(**more), "chat", Emitter(clock, random.Random(1)), clock, random.Random(2))


def _busy_fleet(routers: int = 2) -> Fleet:
    fleet = Fleet(_config(), routers=routers, seed=3)
    luck = random.Random(4)
    for _ in range(1500):
        router = fleet.router(luck.randrange(routers))
        fleet.queue.after(luck.lognormvariate(6, 0.5), router.start(router.choose()).finish)
        fleet.advance_to(fleet.now_ms + 10)
    fleet.advance_to(fleet.now_ms + 3000)
    return fleet


def _snapshot(fleet: Fleet) -> RoutingSnapshot:
    snapshot = fleet.snapshot()
    assert snapshot is not None
    return snapshot


def test_without_a_snapshot_the_configuration_is_enough() -> None:
    """A burst before the first snapshot spreads by the router's own load."""
    router = _router()
    chosen = Counter(router.start(router.choose()).decision.target for _ in range(400))
    assert set(chosen) == set(NAMES)
    assert max(chosen.values()) < 160
    assert router.choose().snapshot == (0, 0)


def test_only_newer_snapshots_of_the_own_service_are_used() -> None:
    """By (term, seq); everything else is ignored."""
    snapshot, router = _snapshot(_busy_fleet()), _router()
    change = msgspec.structs.replace
    assert router.apply(snapshot)
    assert not router.apply(snapshot)
    assert not router.apply(change(snapshot, seq=snapshot.seq - 1))
    assert not router.apply(change(snapshot, seq=snapshot.seq + 1, service="mail"))
    assert router.apply(change(snapshot, term=snapshot.term + 1, seq=1))
    assert router.choose().snapshot == (snapshot.term + 1, 1)


def test_a_router_goes_through_the_stale_ladder_and_back() -> None:
    """Beyond ten periods it uses its own measurements and says so; a new snapshot ends that."""
    fleet = _busy_fleet()
    snapshot = _snapshot(fleet)
    for periods, policy, forced in ((1, "performance", ""), (9, "performance", ""), (11, "peak_ewma", "stale")):
        late = _router(snapshot.at_ms + periods * snapshot.period_ms)
        late.apply(snapshot)
        decision = late.choose()
        assert (decision.policy, decision.forced) == (policy, forced)
    late.apply(msgspec.structs.replace(snapshot, seq=snapshot.seq + 1, at_ms=snapshot.at_ms + 11 * snapshot.period_ms))
    assert late.choose().policy == "performance"


def test_preferred_targets_come_first_while_they_are_not_much_dearer() -> None:
    """At most one and a half times the best other."""
    snapshot, router = _snapshot(_busy_fleet()), _router()
    alike = tuple(msgspec.structs.replace(t, cost_s=1.0 if t.id != "b" else 1.3, in_flight=0.0, in_flight_mean=0.0) for t in snapshot.targets)
    router.apply(msgspec.structs.replace(snapshot, targets=alike))
    asked = Requirements(preferred=("p-b",))
    assert {(d.target, d.forced) for d in (router.choose(asked) for _ in range(50))} == {("b", "preferred")}
    dear = tuple(msgspec.structs.replace(t, cost_s=1.6) if t.id == "b" else t for t in alike)
    router.apply(msgspec.structs.replace(snapshot, seq=snapshot.seq + 1, targets=dear))
    assert {d.forced for d in (router.choose(asked) for _ in range(50))} == {""}


def test_excluded_and_tried_targets_are_not_chosen() -> None:
    """Providers and targets alike; excluding all is an error."""
    router = _router()
    seen = {router.choose(Requirements(excluded=("p-a", "b")), tried=["c"]).target for _ in range(50)}
    assert seen == {"d"}
    with pytest.raises(NoTarget):
        router.choose(Requirements(excluded=NAMES))


def test_the_candidates_of_a_class_are_kept_but_not_for_ever() -> None:
    """Ten thousand classes under one snapshot keep at most 512 tables."""
    router = _router()
    for i in range(10_000 // 10):
        router.choose(Requirements(max_cost_usd=1.0 + i))
    assert len(router._present.classes) <= 512
    asked = Requirements(region="eu")
    assert router.choose(asked).source is router.choose(Requirements(region="eu")).source


def test_in_flight_returns_to_zero_from_many_threads() -> None:
    """Starts and ends of threads do not get lost in each other."""
    router = _router()

    def work() -> None:
        for _ in range(2000):
            router.start(router.choose()).finish()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(router.in_flight.values()) == {0}
    assert router.emitter.emitted == 16_000


def test_what_was_in_flight_at_the_publish_time_counts() -> None:
    """A call that was started between building a snapshot and its arrival is not taken for one the leader knew."""
    fleet = Fleet(_config(), routers=1, seed=1, lag_ms=400.0)
    router = fleet.router(0)
    fleet.advance_to(fleet.now_ms + 900)
    early = router.start(router.choose())
    fleet.advance_to(fleet.now_ms + 200)
    late = [router.start(router.choose()) for _ in range(3)]
    fleet.advance_to(fleet.now_ms + 400)
    index = router._index
    at_publish = router._contention._at_publish
    assert sum(at_publish) == 1
    assert at_publish[index[early.decision.target]] == 1
    assert sum(router.in_flight.values()) == 1 + len(late)


def test_a_call_past_its_deadline_ends_as_a_timeout() -> None:
    """By itself; a later finish changes nothing."""
    fleet = Fleet(_config(), routers=1, seed=1)
    router = fleet.router(0)
    call = router.start(router.choose(), deadline_ms=1000)
    fleet.advance_to(fleet.now_ms + 1300)
    assert call.done
    call.finish("ok")
    fleet.advance_to(fleet.now_ms + 21_000)
    details = fleet.details()
    assert details is not None
    assert details.system.outcomes_total.model_dump()["timeout"] == 1
    assert details.system.requests_total == 1


def test_an_urgent_decision_says_so_and_a_policy_can_be_overridden() -> None:
    """Flags are for off-policy evaluation."""
    router = _router()
    assert router.choose(Requirements(urgency="high")).forced == "urgent"
    clock = FixedClock(0.0)
    other = Router(_config(), "chat", Emitter(clock), clock, random.Random(1), policy="least_connections")
    assert (other.choose().policy, other.choose().propensity) == ("least_connections", 1.0)


def test_a_wrong_service_or_policy_is_refused() -> None:
    """With the names there are."""
    clock = FixedClock(0.0)
    with pytest.raises(ConfigError, match="'mail' has no targets"):
        Router(_config(), "mail", Emitter(clock), clock, random.Random(1))
    with pytest.raises(ConfigError, match="'best' does not exist"):
        Router(_config(), "chat", Emitter(clock), clock, random.Random(1), policy="best")


def test_an_explanation_is_complete() -> None:
    """All other targets with reasons, and probabilities that sum to one."""
    router = _router()
    router.apply(_snapshot(_busy_fleet()))
    found = router.choose(Requirements(excluded=("d",), complexity=0.3)).explain()
    assert {other.target for other in found.alternatives} | {found.target} == set(NAMES)
    assert found.propensity + sum(other.probability for other in found.alternatives) == pytest.approx(1.0)
    assert {other.target: other.reason for other in found.alternatives}["d"] == "excluded by the caller"
    assert all(other.reason for other in found.alternatives)
    assert found.reason
    assert "in flight" in found.load_impact
    assert found.response_time_ms > 0


def test_tracking_reports_how_the_block_was_left() -> None:
    """Normally ok; by exception timeout, cancelled or error; sync and async."""
    router = _router()
    with router.track(router.choose()):
        pass
    for error in (TimeoutError(), ValueError(), ConnectionError(), KeyboardInterrupt()):
        with pytest.raises(type(error)), router.track(router.choose()):
            raise error

    async def cancelled() -> None:
        async with router.track(router.choose()):
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    record = router.emitter.take()
    assert record is not None
    events, bad = decode_events(record)
    ends = [(event.outcome, event.error_type) for event in events if isinstance(event, Completed)]
    assert bad == []
    assert ends == [("ok", ""), ("timeout", "timeout"), ("error", "_OTHER"), ("error", "connection"), ("cancelled", ""), ("cancelled", "")]
    assert len([event for event in events if isinstance(event, Started)]) == 6


def test_a_call_reports_what_was_noted() -> None:
    """Tokens, cost, quality, first chunk; the decision it came from; exactly one end."""
    router = _router()
    call = router.start(router.choose(), request_id="r-1", attempt=2)
    call.first_chunk(after_ms=120.0)
    call.first_chunk(after_ms=500.0)
    call.tokens(input=550)
    call.tokens(output=150)
    call.cost(0.002)
    call.quality(0.9)
    call.satisfaction(0.8)
    call.finish("ok")
    call.finish("error")
    record = router.emitter.take()
    assert record is not None
    started, ended = decode_events(record)[0]
    assert isinstance(started, Started)
    assert isinstance(ended, Completed)
    assert (ended.request_id, ended.attempt, ended.ttft_ms, ended.input_tokens, ended.output_tokens) == ("r-1", 2, 120.0, 550, 150)
    assert (ended.cost_usd, ended.quality, ended.satisfaction, ended.outcome, ended.start_reported) == (0.002, 0.9, 0.8, "ok", True)
    assert ended.decision == started.decision == call.decision.ref()


def test_stats_count_since_the_last_report() -> None:
    """Outcomes and unusual draws, then begin anew."""
    router = _router()
    router.start(router.choose(Requirements(urgency="high"))).finish("timeout")
    counts = {(c.outcome, c.reason): c.count for c in router.stats().decisions}
    assert counts == {("timeout", ""): 1, ("", "urgent"): 1}
    assert router.stats().decisions == ()
