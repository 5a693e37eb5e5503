from __future__ import annotations

import math
from typing import Any

import numpy as np

from routecast.analytics.capacity.attempts import FAILED, OK, OTHER, REFUSED, TIMEOUT, AttemptLog
from routecast.models.events import Completed, DecisionRef, Started


def ended(at_ms: float, target: str = "a", **more: Any) -> Completed:
    """An attempt of 10 ms that ended then."""
    fields: dict[str, Any] = {"service": "chat", "outcome": "ok", "duration_ms": 10.0, "started_at_ms": at_ms - 10.0, "request_id": f"{at_ms}"}
    return Completed(at_ms=at_ms, target=target, **fields | more)


def test_attempts_are_put_in_the_order_of_their_starts() -> None:
    """Events come in any order; what nobody said is not a number."""
    log = AttemptLog()
    for event in (ended(300.0, "b"), ended(100.0, output_tokens=7, cost_usd=0.5), ended(200.0)):
        log.add(event)
    found = log.attempts("chat")
    assert found.names == ("a", "b")
    assert (found.target.tolist(), found.start_ms.tolist()) == ([0, 0, 1], [90.0, 190.0, 290.0])
    assert found.output_tokens[0] == 7
    assert found.usd[0] == 0.5
    assert math.isnan(found.output_tokens[1])
    assert found.span_ms == 200.0
    assert found.of(0, 1).start_ms.tolist() == [190.0]


def test_outcomes_are_told_apart() -> None:
    """The caller's own faults and cancelled calls say nothing of the target."""
    log = AttemptLog()
    for i, (outcome, error) in enumerate([("ok", ""), ("timeout", ""), ("error", "server_error"), ("rate_limited", ""), ("cancelled", ""), ("error", "auth")]):
        log.add(ended(100.0 + i, outcome=outcome, error_type=error))
    assert log.attempts("chat").end.tolist() == [OK, TIMEOUT, FAILED, REFUSED, OTHER, OTHER]


def test_arrivals_are_first_attempts_and_no_hedges() -> None:
    """Retries and hedges are what the router made of a request."""
    log = AttemptLog()
    hedge = DecisionRef(policy="performance", snapshot=(1, 1), propensity=1.0, hedge=True)
    for event in (ended(100.0), ended(110.0, attempt=2), ended(120.0, decision=hedge)):
        log.add(event)
    assert log.attempts("chat").first.tolist() == [True, False, False]


def test_an_event_without_a_service_belongs_to_its_targets() -> None:
    """What the event says wins; what nobody knows belongs to none."""
    log = AttemptLog({"a": "mail", "b": "chat"})
    for event in (ended(1000.0, "a"), ended(1100.0, "b", service=""), ended(1200.0, "c", service=""), Started(at_ms=1.0, request_id="s", target="a")):
        log.add(event)
    assert log.services == {"chat"}
    assert log.attempts("chat").names == ("a", "b")
    assert log.attempts("mail").names == ()
    assert log.attempts("chat", 1050.0).names == ("b",)


def test_memory_is_bounded() -> None:
    """The newest are kept."""
    log = AttemptLog(most=3)
    for i in range(10):
        log.add(ended(100.0 + i))
    assert len(log) == 3
    assert np.array_equal(log.attempts("chat").start_ms, [97.0, 98.0, 99.0])
