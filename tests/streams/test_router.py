from __future__ import annotations

import math
import random
import threading
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from routecast.models.config import Config
from routecast.models.details import Details, SubjectDetails
from routecast.models.errors import ConfigError
from routecast.models.requirements import Requirements
from routecast.models.snapshot import RoutingSnapshot, TargetScore, decode_snapshot, encode_snapshot
from routecast.streams.clock import FixedClock
from routecast.streams.emitter import Emitter
from routecast.streams.router import Router

MakeRouter = Callable[..., Router]
MakeSnapshot = Callable[..., RoutingSnapshot]
MakeScore = Callable[..., TargetScore]
NAMES = ("a", "b", "c", "d")


def _chosen(router: Router, n: int = 300, requirements: Requirements | None = None) -> Counter[str]:
    return Counter(router.choose(requirements).target for _ in range(n))


def test_without_a_snapshot_the_configuration_is_enough(make_router: MakeRouter) -> None:
    """A burst before the first snapshot spreads by the router's own load."""
    router = make_router()
    chosen = Counter(router.start(router.choose()).decision.target for _ in range(400))
    assert set(chosen) == set(NAMES)
    assert max(chosen.values()) < 160
    decision = router.choose()
    assert (decision.snapshot, decision.quality, router.snapshot) == ((0, 0), None, None)


def test_only_newer_snapshots_of_the_own_service_are_used(make_router: MakeRouter, snapshot: MakeSnapshot) -> None:
    """By (term, seq); everything else is ignored."""
    router = make_router()
    assert router.apply(snapshot(seq=5))
    assert not router.apply(snapshot(seq=5))
    assert not router.apply(snapshot(seq=4))
    assert not router.apply(snapshot(seq=6, service="mail"))
    assert router.choose().snapshot == (1, 5)
    assert router.apply(snapshot(term=2, seq=1))
    assert not router.apply(snapshot(term=1, seq=99))
    assert router.choose().snapshot == (2, 1)


def test_only_configured_targets_are_chosen(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore) -> None:
    """Whatever else the snapshot praises, and with the configuration's word for those on which it is silent."""
    router = make_router()
    router.apply(snapshot(score("better", cost_s=0.001, share=1.0, in_flight=0.0), score("c"), score("best", cost_s=0.001), score("a")))
    assert set(_chosen(router)) == set(NAMES)
    decision = router.choose(Requirements(excluded=("b", "d")))
    assert decision.candidates == f"{0b1010:x}"
    assert router.choose(Requirements(excluded=("a", "c"))).candidates == f"{(1 << 4 + 1) | (1 << 4 + 3):x}"


def test_a_snapshot_without_any_of_the_own_targets_leaves_the_configuration(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore) -> None:
    """A fleet may serve others of the same service."""
    router = make_router()
    router.apply(snapshot(score("x"), score("y")))
    assert set(_chosen(router)) == set(NAMES)
    assert router.choose().score == 0.5


class _Interrupting(random.Random):
    """Random numbers during whose drawing something happens, once."""

    act: Callable[[], object] | None = None

    def random(self) -> float:
        act, self.act = self.act, None
        if act is not None:
            act()
        return super().random()


def test_a_decision_is_made_from_one_snapshot(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore) -> None:
    """Another one that arrives while it is made counts for the next: version, candidates and figures belong together."""
    rng = _Interrupting(5)
    router = make_router(rng=rng)
    router.apply(snapshot(score("x"), *(score(name, score=0.1) for name in NAMES)))
    rng.act = lambda: router.apply(snapshot(*(score(name, score=0.9) for name in NAMES), seq=2))
    decision, after = router.choose(), router.choose()
    assert (decision.snapshot, decision.score, decision.candidates) == ((1, 1), 0.1, f"{0b11110:x}")
    assert (after.snapshot, after.score, after.candidates) == ((1, 2), 0.9, f"{0b1111:x}")
    assert decision.explain().score == 0.1


BOUNDS = {
    **dict.fromkeys(("time_s", "service_s", "capacity", "cost_s"), (1.1e-9, 9.9e8)),
    **dict.fromkeys(("ramp", "share", "success", "quality", "headroom", "score", "load", "history", "real_time"), (0.0, 1.0)),
    **dict.fromkeys(("in_flight", "in_flight_mean", "oldest_open_ms", "fail_s", "quality_n", "usd", "weight", "n"), (0.0, 9.9e8)),
    "spread": (0.0, 10.0), "ttft_ms": ((0.0,) * 16, (864e5,) * 16), "tpot_ms": ((0.0,) * 16, (864e5,) * 16),
}  # fmt: skip


@pytest.mark.parametrize("policy", ["performance", "learned", "weighted", "greedy"])
def test_whatever_snapshot_is_accepted_can_be_decided_by(
    policy: str, make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore, clock: FixedClock
) -> None:
    """With every figure at the ends of its range: a decision never fails, and every figure of its explanation is a number."""
    shapes = [score("a", **{name: value}) for name, ends in BOUNDS.items() for value in ends]
    for shape in shapes:
        for rate_per_s in (0.0, 9.9e8):
            published = msgspec.structs.replace(snapshot(shape, score("b"), at_ms=clock.at_ms), rate_per_s=rate_per_s, output_tokens=9.9e8)
            router = make_router(policy=policy)
            assert router.apply(decode_snapshot(encode_snapshot(published)))
            for _ in range(3):
                decision = router.choose(Requirements(complexity=1.0))
                router.start(decision).finish()
                clock.at_ms += 300.0
                assert math.isfinite(decision.explain().cost_s)
                assert 0 < decision.propensity <= 1


def test_threads_decide_while_snapshots_come(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore) -> None:
    """Every decision belongs to a snapshot there was, with its figures."""
    router, wrong = make_router(), list[object]()

    def decide() -> None:
        for i in range(1500):
            decision = router.choose(Requirements(max_cost_usd=1.0 + i % 5))
            seq = decision.snapshot[1]
            if decision.score != (0.5 if seq == 0 else seq / 1000):
                wrong.append(decision)

    threads = [threading.Thread(target=decide) for _ in range(3)]
    for thread in threads:
        thread.start()
    for seq in range(1, 200):
        router.apply(snapshot(*(score(name, score=seq / 1000) for name in NAMES), seq=seq))
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_policy_can_be_overridden(make_router: MakeRouter) -> None:
    """Its name and its propensity are logged; `auto` is `performance` so far."""
    decision = make_router(policy="least_connections").choose()
    assert (decision.policy, decision.propensity) == ("least_connections", 1.0)
    assert make_router(policy="auto").choose().policy == "performance"
    assert make_router(routing={"policy": "random"}).choose().propensity == 0.25
    assert make_router(service={"chat": {"policy": "greedy"}}).choose().policy == "greedy"


def test_a_wrong_service_or_policy_is_refused(make_router: MakeRouter, clock: FixedClock) -> None:
    """With the names there are."""
    config = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})
    with pytest.raises(ConfigError, match=r"'mail' has no targets.*\['chat'\]"):
        Router(config, "mail", Emitter(clock), clock, random.Random(1))
    with pytest.raises(ConfigError, match=r"'best' does not exist.*'performance'"):
        make_router(policy="best")


def test_an_explanation_is_complete(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore) -> None:
    """All other targets with reasons, and the chances of the candidates sum to one."""
    router = make_router()
    router.apply(snapshot(score("a"), score("b", cost_s=2.0), score("c", state="open"), score("d")))
    decision = router.choose(Requirements(excluded=("d",), complexity=0.3))
    found = decision.explain()
    assert (found.target, found.provider, found.model, found.service, found.region) == (decision.target, f"p-{decision.target}", "m", "chat", None)
    assert (found.policy, found.snapshot, found.propensity) == ("performance", (1, 1), decision.propensity)
    assert {other.target for other in found.alternatives} | {found.target} == set(NAMES)
    assert found.propensity + sum(other.probability for other in found.alternatives) == pytest.approx(1.0)
    others = {other.target: other for other in found.alternatives}
    assert {name: others[name].reason for name in "cd"} == {"c": "open", "d": "excluded by the caller"}
    assert {name: (others[name].cost_s, others[name].probability) for name in "cd"} == {"c": (None, 0.0), "d": (None, 0.0)}
    assert all(other.reason for other in found.alternatives)
    assert all(found.model_dump()[name] is not None for name in ("score", "cost_s", "response_time_ms", "reliability", "quality", "factors", "reason"))
    assert "in flight" in found.load_impact


@pytest.mark.parametrize("policy", ["performance", "weighted", "random", "configured", "least_connections", "round_robin", "greedy"])
@pytest.mark.parametrize("seed", range(5))
def test_chances_of_all_candidates_sum_to_one(policy: str, seed: int, make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore) -> None:
    """Under every policy that draws, at random figures with ties; under others the chosen one is certain."""
    luck = random.Random(seed)
    router = make_router(policy=policy, rng=luck)
    router.apply(snapshot(*(score(name, cost_s=luck.choice([1.0, 2.0, 3.0]), share=luck.random(), score=luck.random()) for name in NAMES)))
    for asked in (None, Requirements(urgency="high"), Requirements(excluded=("a",)), Requirements(quality_threshold=0.9)):
        decision = router.choose(asked)
        found = decision.explain()
        assert found.propensity + sum(other.probability for other in found.alternatives) == pytest.approx(1.0)
        assert len(found.alternatives) == 3


def test_an_explanation_speaks_of_the_moment_of_the_decision(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore) -> None:
    """However much has happened since."""
    router = make_router()
    router.apply(snapshot())
    decision = router.choose()
    before = decision.explain()
    for _ in range(50):
        router.start(router.choose())
    router.apply(snapshot(*(score(name, cost_s=9.0) for name in NAMES), seq=2))
    assert decision.explain() == before


def test_stats_count_since_the_last_report_by_policy(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """Outcomes and unusual draws, under the policy that decided; then begin anew."""
    router = make_router()
    router.apply(snapshot())
    urgent = router.start(router.choose(Requirements(urgency="high")))
    for _ in range(3):
        router.start(router.choose()).finish()
    clock.at_ms += 11 * 1000.0
    router.start(router.choose()).finish("cancelled")
    urgent.finish("timeout")
    stats = router.stats()
    assert {(c.policy, c.outcome, c.reason): c.count for c in stats.decisions} == {
        ("performance", "ok", ""): 3,
        ("performance", "timeout", ""): 1,
        ("performance", "", "urgent"): 1,
        ("peak_ewma", "cancelled", ""): 1,
        ("peak_ewma", "", "stale"): 1,
    }
    assert (stats.services, stats.emitter, stats.snapshot_age_ms, stats.dropped) == (("chat",), router.emitter.name, 11 * 1000.0, 0)
    assert router.stats().decisions == ()
    assert make_router().stats().snapshot_age_ms is None


def test_details_answer_by_name(make_router: MakeRouter) -> None:
    """The newest of the own service; None for what they do not know, and before the first."""
    router = make_router()
    assert (router.target("a"), router.provider("p-a"), router.service("chat"), router.system()) == (None, None, None, None)
    target, provider, service, system = (SubjectDetails(id=name) for name in ("a", "p-a", "chat", "system"))
    router.apply_details(Details(service="chat", term=1, seq=1, at_ms=1.0, targets=(target,), providers=(provider,), services=(service,), system=system))
    router.apply_details(Details(service="mail", term=1, seq=2, at_ms=2.0, system=SubjectDetails(id="other")))
    assert (router.target("a"), router.provider("p-a"), router.service("chat"), router.system()) == (target, provider, service, system)
    assert (router.target("p-a"), router.provider("a"), router.service("mail")) == (None, None, None)


def test_what_a_router_learns_of_a_target_holds_at_its_next_decision(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """A refusal with a time to come back takes the target out at once, survives a snapshot that does not know of it, and ends at its time."""
    router = make_router()
    router.apply(snapshot())
    with router.overlaying() as overlay:
        overlay.limited(0, clock.at_ms + 700, clock.at_ms)
    assert "a" not in {router.choose().target for _ in range(200)}
    clock.at_ms += 600
    router.apply(snapshot(seq=2, at_ms=clock.at_ms))
    assert "a" not in {router.choose().target for _ in range(200)}
    assert {a.target: a.reason for a in router.choose().explain().alternatives}["a"] == "rate limited"
    clock.at_ms += 100
    assert "a" in {router.choose().target for _ in range(200)}
