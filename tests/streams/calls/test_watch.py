from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from routecast.models.events import Outcome, Tripped, decode_events
from routecast.models.requirements import Requirements
from routecast.models.snapshot import RoutingSnapshot, TargetScore
from routecast.streams.clock import FixedClock
from routecast.streams.router import Router

MakeRouter = Callable[..., Router]
MakeSnapshot = Callable[..., RoutingSnapshot]
MakeScore = Callable[..., TargetScore]

ONLY_A = Requirements(excluded=("b", "c", "d"))


def _end(router: Router, outcome: Outcome, error_type: str = "", times: int = 1) -> None:
    for _ in range(times):
        router.start(router.choose(ONLY_A)).finish(outcome, error_type=error_type)


def _chosen(router: Router, requirements: Requirements | None = None) -> set[str]:
    return {router.choose(requirements).target for _ in range(300)}


def _announced(router: Router) -> list[tuple[str, str]]:
    record = router.emitter.take_announced()
    return [(event.target, event.state) for event in decode_events(record or b"[]")[0] if isinstance(event, Tripped)]


def test_a_trip_holds_at_the_very_next_decision(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """It is announced at once, survives a snapshot that does not know of it, and shows in explanations."""
    router = make_router()
    router.apply(snapshot())
    _end(router, "error", times=3)
    assert "a" in _chosen(router)
    _end(router, "error")
    assert "a" not in _chosen(router)
    assert _announced(router) == [("a", "open")]
    router.apply(snapshot(seq=2, at_ms=clock.at_ms))
    assert "a" not in _chosen(router)
    assert {other.target: other.reason for other in router.choose().explain().alternatives}["a"] == "open"


@pytest.mark.parametrize(
    ("outcome", "error_type"), [("rate_limited", ""), ("cancelled", ""), ("error", "auth"), ("error", "invalid_request"), ("error", "content_filter")]
)
def test_what_is_not_the_targets_fault_never_trips(make_router: MakeRouter, snapshot: MakeSnapshot, outcome: Outcome, error_type: str) -> None:
    """429 has a state of its own; cancellations and the caller's own faults speak against nobody."""
    router = make_router()
    router.apply(snapshot())
    _end(router, outcome, error_type, times=50)
    assert _announced(router) == []
    assert "open" not in {entry.state for entry in router.considered(ONLY_A).view.entries}


def test_calls_that_hang_count_before_they_end_and_only_once(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore, clock: FixedClock) -> None:
    """Four calls open for eight times the expected second trip the breaker; that they time out later is nothing new."""
    router = make_router()
    router.apply(snapshot(*(score(name, in_flight=0.0, in_flight_mean=0.0, capacity=1000.0) for name in "abcd")))
    calls = [router.start(router.choose(ONLY_A)) for _ in range(4)]
    clock.at_ms += 7_900
    router.end_overdue()
    assert _announced(router) == []
    clock.at_ms += 200
    router.end_overdue()
    assert _announced(router) == [("a", "open")]
    for call in calls[:3]:
        call.finish("timeout")
    clock.at_ms += 5_000
    router.choose()
    assert _announced(router) == []


def test_an_answer_that_streams_does_not_hang(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """However long it is, once its first chunk is here."""
    router = make_router()
    router.apply(snapshot())
    for _ in range(6):
        router.start(router.choose(ONLY_A)).first_chunk()
    clock.at_ms += 60_000
    router.end_overdue()
    assert _announced(router) == []


def test_without_evidence_nothing_is_late(make_router: MakeRouter, clock: FixedClock) -> None:
    """Before the first snapshot the expected second is a guess."""
    router = make_router()
    for _ in range(6):
        router.start(router.choose(ONLY_A))
    clock.at_ms += 60_000
    router.end_overdue()
    assert _announced(router) == []


def test_one_decision_probes_and_the_others_go_elsewhere(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """The next suitable request; not one that is urgent, that prefers others, or that is tried again."""
    router = make_router()
    router.apply(snapshot())
    _end(router, "error", times=4)
    clock.at_ms += 5_000
    router.apply(snapshot(seq=2, at_ms=clock.at_ms))
    others = (Requirements(urgency="high"), Requirements(preferred=("b",)))
    assert "a" not in {router.choose(asked).target for asked in others for _ in range(100)} | {router.choose(tried=["b"]).target for _ in range(100)}
    probe = router.choose()
    assert (probe.target, probe.forced, probe.propensity) == ("a", "probe", 1.0)
    assert "a" not in _chosen(router)
    reasons = {other.target: other.reason for other in router.choose().explain().alternatives}
    assert reasons["a"] == "recovering, tried by single requests"
    router.start(probe).finish("ok")
    assert router.choose().forced == "probe"


def test_seven_probes_bring_a_target_back(make_router: MakeRouter, snapshot: MakeSnapshot, clock: FixedClock) -> None:
    """At a tenth of its share, which grows for half a minute."""
    router = make_router(rng=random.Random(5))
    router.apply(snapshot())
    _end(router, "error", times=4)
    clock.at_ms += 5_000
    router.apply(snapshot(seq=2, at_ms=clock.at_ms))
    for _ in range(7):
        router.start(router.choose()).finish("ok")
    assert _announced(router) == [("a", "open"), ("a", "closed")]
    at_first = Counter(router.choose().target for _ in range(4000))["a"]
    clock.at_ms += 31_000
    router.apply(snapshot(seq=3, at_ms=clock.at_ms))
    at_last = Counter(router.choose().target for _ in range(4000))["a"]
    assert 0 < at_first < at_last / 3


def test_never_more_than_half_of_a_service_is_closed_off(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore) -> None:
    """Two of four are; when the third opens all are used, by cost, and decisions say so; what is drained stays out."""
    router = make_router()
    router.apply(snapshot(score("a", state="open"), score("b", state="open"), score("c"), score("d")))
    assert _chosen(router) == {"c", "d"}
    router.apply(snapshot(score("a", state="open", cost_s=9.0), score("b", state="open"), score("c", state="open"), score("d"), seq=2))
    chosen = Counter(router.choose().target for _ in range(2000))
    assert router.choose().forced == "panic"
    assert set(chosen) == {"a", "b", "c", "d"}
    assert chosen["a"] < 100 < chosen["b"]
    router.apply(snapshot(score("a", state="drained"), score("b", state="open"), score("c", state="open"), score("d"), seq=3))
    assert _chosen(router) == {"b", "c", "d"}


def test_refusals_are_no_reason_to_panic(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore) -> None:
    """Using what refuses would help nobody."""
    router = make_router()
    router.apply(snapshot(score("a", state="rate_limited"), score("b", state="rate_limited"), score("c", state="open"), score("d")))
    assert _chosen(router) == {"d"}
