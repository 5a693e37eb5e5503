from __future__ import annotations

import math
import random
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from routecast.models.events import Completed, Outcome, Started, decode_events
from routecast.models.requirements import Requirements
from routecast.models.snapshot import RoutingSnapshot, TargetScore
from routecast.streams.calls.call import Call
from routecast.streams.clock import FixedClock
from routecast.streams.router import Router

MakeRouter = Callable[..., Router]
MakeSnapshot = Callable[..., RoutingSnapshot]
MakeScore = Callable[..., TargetScore]
NAMES = ("a", "b", "c", "d")


def _chosen(router: Router, n: int = 300, requirements: Requirements | None = None) -> Counter[str]:
    return Counter(router.choose(requirements).target for _ in range(n))


def _costs(router: Router) -> dict[str, float]:
    """Present cost of every candidate by its name."""
    decision = router.choose()
    return {other.target: other.cost_s or 0.0 for other in decision.explain().alternatives} | {decision.target: decision.explain().cost_s}


@pytest.mark.parametrize(
    ("periods", "policy", "forced"), [(0, "performance", ""), (2, "performance", ""), (10, "performance", ""), (10.3, "peak_ewma", "stale")]
)
def test_beyond_ten_periods_a_router_relies_on_its_own_measurements(
    periods: float, policy: str, forced: str, make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock
) -> None:
    """And says so, until a new snapshot comes."""
    router = make_router()
    router.apply(snapshot())
    clock.at_ms += periods * 1000.0
    decision = router.choose()
    assert (decision.policy, decision.forced) == (policy, forced)
    router.apply(snapshot(seq=2, at_ms=clock.at_ms))
    assert (router.choose().policy, router.choose().forced) == ("performance", "")


def test_learned_does_not_outlive_its_snapshot_either(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """What it samples from is what the snapshot believes."""
    router = make_router(policy="learned")
    router.apply(snapshot())
    assert router.choose().policy == "learned"
    clock.at_ms += 10_300.0
    assert (router.choose().policy, router.choose().forced) == ("peak_ewma", "stale")


def test_between_two_and_ten_periods_the_averages_count(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore, clock: FixedClock) -> None:
    """In-flight of a moment says less and less, then nothing."""
    router = make_router()
    router.apply(snapshot(score("a", in_flight=40.0), *(score(name) for name in "bcd")))
    excess, begin_ms = list[float](), clock.at_ms
    for age in (0.0, 0.5, 1.0, 2.0, 2.5, 9.0):
        clock.at_ms = begin_ms + age * 1000.0
        costs = _costs(router)
        excess.append(costs["a"] - costs["b"])
    assert sorted(excess, reverse=True) == excess
    assert excess[0] > 10 * excess[3] > 0
    assert excess[4:] == pytest.approx([0.0, 0.0])


def test_a_stale_router_prefers_what_it_measured_as_quick(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """By the latency it saw and what it has open itself."""
    router = make_router()
    router.apply(snapshot())
    for name, duration_ms in (("a", 100.0), ("b", 5000.0), ("c", 5000.0), ("d", 5000.0)):
        call = router.start(router.choose(Requirements(excluded=tuple(other for other in NAMES if other != name))))
        clock.at_ms += duration_ms
        call.finish()
    clock.at_ms += 11_250.0
    assert _chosen(router, 1000)["a"] > 400
    for _ in range(60):
        router.start(router.choose(Requirements(excluded=("b", "c", "d"))))
    assert _chosen(router, 1000)["a"] == 0


@pytest.mark.parametrize("policy", ["round_robin", "least_connections", "random", "configured"])
def test_policies_that_read_no_snapshot_do_not_mind_its_age(policy: str, make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """They go on as configured."""
    router = make_router(policy=policy)
    router.apply(snapshot())
    clock.at_ms += 100_000.0
    assert (router.choose().policy, router.choose().forced) == (policy, "")


def test_without_adaptation_age_changes_nothing(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """Configured weights only, whatever happens."""
    router = make_router(adaptive={"enabled": False})
    router.apply(snapshot())
    clock.at_ms += 100_000.0
    assert (router.choose().policy, router.choose().forced) == ("configured", "")


def test_a_clock_that_was_set_back_stops_nothing(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """The snapshot then is from the future, hence fresh."""
    router = make_router()
    router.apply(snapshot())
    clock.at_ms -= 3_600_000.0
    router.start(router.choose()).finish()
    router.apply(snapshot(seq=2, at_ms=clock.at_ms))
    assert router.choose().snapshot == (1, 2)
    clock.at_ms += 11_000.0
    assert router.choose().forced == "stale"


def test_a_clock_that_was_set_back_ends_no_call_with_an_error(make_router: MakeRouter, clock: FixedClock) -> None:
    """However far: the latency that was seen fades with time, of which none has passed."""
    router = make_router()
    for back_ms, takes_ms in ((0.0, 900.0), (3 * 3_600_000.0, 500.0)):
        clock.at_ms -= back_ms
        call = router.start(router.choose(tried=NAMES[1:]))
        clock.at_ms += takes_ms
        call.finish()
    assert sum(router.in_flight.values()) == 0
    ends = [event for event in decode_events(router.emitter.take() or b"")[0] if isinstance(event, Completed)]
    assert [event.outcome for event in ends] == ["ok", "ok"]


def test_the_share_of_the_traffic_outlasts_a_clock_that_was_set_back(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """What is decided until the clock is there again is not the traffic of one moment: rate limits and load are divided by the share."""
    router = make_router()
    for seq in range(1, 90):
        clock.at_ms += -30_000.0 if seq == 50 else 1000.0
        for _ in range(5):
            router.start(router.choose()).finish()
        router.apply(snapshot(seq=seq, at_ms=clock.at_ms))
        assert seq < 10 or router.contention.share == pytest.approx(0.5, abs=0.1)


def test_what_was_in_flight_at_the_publish_time_counts(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """A call that was started between building a snapshot and its arrival is not taken for one the leader knew."""
    early, late = make_router(), make_router()
    begin_ms = clock.at_ms
    for router, started_ms in ((early, begin_ms - 100), (late, begin_ms + 100)):
        clock.at_ms = started_ms
        for _ in range(4):
            router.start(router.choose(Requirements(excluded=("b", "c", "d"))))
    clock.at_ms = begin_ms + 200
    for router in (early, late):
        router.apply(snapshot())
    knew, did_not = _costs(early), _costs(late)
    assert knew["b"] == did_not["b"]
    assert knew["a"] < did_not["a"]


def test_what_ended_since_the_publish_time_is_known_to_be_gone(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """A call that the leader still counted makes its target cheaper than one that had ended before."""
    before, since = make_router(), make_router()
    clock.at_ms -= 500
    calls = {router: [router.start(router.choose(Requirements(excluded=("b", "c", "d")))) for _ in range(4)] for router in (before, since)}
    for router, after_ms in ((before, 400), (since, 200)):
        clock.at_ms += after_ms
        for call in calls[router]:
            call.finish()
    clock.at_ms += 100
    for router in (before, since):
        router.apply(snapshot())
    assert _costs(since)["b"] == _costs(before)["b"]
    assert _costs(since)["a"] < _costs(before)["a"]


@pytest.mark.parametrize("load_weight", [0.0, 0.25, 1.0, 100.0])
def test_own_requests_make_a_target_dearer(load_weight: float, make_router: MakeRouter, snapshot: MakeSnapshot) -> None:
    """The more the higher the weight of `current_load`; a weight of a hundred overflows nothing."""
    router = make_router(routing={"factor_weights": {"current_load": load_weight}})
    router.apply(snapshot())
    costs: list[float] = []
    calls = list[Call]()
    for _ in range(6):
        costs.append(_costs(router)["a"])
        calls += [router.start(router.choose(Requirements(excluded=("b", "c", "d")))) for _ in range(100)]
    assert all(map(math.isfinite, costs))
    assert costs == sorted(costs)
    assert (len(set(costs)) == 1) is (load_weight == 0.0)
    for call in calls:
        call.finish()
    assert _costs(router)["a"] == pytest.approx(costs[0])


def test_in_flight_returns_to_zero_after_random_histories_of_many_threads(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """With every outcome, deadlines, double ends and snapshots in between: starts and ends do not get lost in each other."""
    router = make_router()
    outcomes: list[Outcome] = ["ok", "error", "timeout", "rate_limited", "cancelled"]

    def work(seed: int) -> None:
        luck, open_ = random.Random(seed), list[Call]()
        for _ in range(1500):
            if open_ and luck.random() < 0.5:
                open_.pop(luck.randrange(len(open_))).finish(luck.choice(outcomes))
            else:
                open_.append(router.start(router.choose(), deadline_ms=luck.choice([None, 0.0, 50.0, 1e6])))
        for call in open_:
            call.finish()
            call.finish("error")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for seq in range(1, 60):
        clock.at_ms += 20.0
        router.apply(snapshot(seq=seq, at_ms=clock.at_ms - 10))
        router.end_overdue()
    for thread in threads:
        thread.join()
    assert router.in_flight == dict.fromkeys(NAMES, 0)
    events = []
    while (record := router.emitter.take()) is not None:
        events += decode_events(record)[0]
    started = [event.request_id for event in events if isinstance(event, Started)]
    ended = [event.request_id for event in events if isinstance(event, Completed)]
    assert len(started) == len(set(started))
    assert sorted(started) == sorted(ended)
    order = {event.request_id: i for i, event in enumerate(events) if isinstance(event, Started)}
    assert all(order[event.request_id] < i for i, event in enumerate(events) if isinstance(event, Completed))
