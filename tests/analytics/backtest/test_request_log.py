from __future__ import annotations

import math
from typing import Any

import numpy as np

from routecast.analytics.backtest.request_log import Asked, RequestLog
from routecast.models.events import Completed, DecisionRef, Feedback, Limits, Started


def completed(name: str = "r1", **fields: Any) -> Completed:
    """An answered call."""
    plain: dict[str, Any] = {
        "at_ms": 200.0,
        "started_at_ms": 100.0,
        "duration_ms": 100.0,
        "outcome": "ok",
        "request_id": name,
        "target": "a",
        "service": "chat",
    }
    return Completed(**(plain | fields))


def test_an_attempt_is_what_its_end_tells() -> None:
    """Times, outcome, tokens and limits are kept; what was not said is not a number."""
    log = RequestLog()
    log.add(completed(ttft_ms=30.0, output_tokens=7, limits=Limits(requests_per_min=60), emitter="e"))
    traffic = log.traffic("chat")
    (row,) = traffic.rows
    assert (row.target, row.emitter, row.start_ms, row.duration_ms, row.first) == ("a", "e", 100.0, 100.0, True)
    assert (traffic.ttft_ms[0], traffic.per_min[0]) == (30.0, 60.0)
    assert math.isnan(traffic.attempts.input_tokens[0])


def test_hedges_and_retries_are_no_arrivals() -> None:
    """Only the first attempt of a request, hedges aside, is one."""
    log = RequestLog()
    hedge = DecisionRef(policy="performance", snapshot=(1, 1), propensity=0.5, hedge=True)
    for event in (completed(), completed(attempt=2, started_at_ms=150.0), completed("r2", decision=hedge, started_at_ms=160.0)):
        log.add(event)
    assert log.traffic("chat").attempts.first.tolist() == [True, False, False]


def test_an_end_that_comes_twice_counts_once() -> None:
    """A redelivered completion is counted as such and left out."""
    log = RequestLog()
    log.add(completed())
    log.add(completed(duration_ms=900.0))
    assert (len(log.traffic("chat").rows), log.twice) == (1, 1)


def test_starts_without_an_end_are_counted() -> None:
    """What began and never ended is no attempt, and is told."""
    log = RequestLog()
    log.add(Started(at_ms=1.0, request_id="r1", target="a"))
    log.add(Started(at_ms=1.0, request_id="r2", target="a"))
    log.add(completed())
    assert log.unended == 1


def test_what_a_request_asked_for_comes_from_its_start() -> None:
    """Urgency, deadline and region of the caller are found by request and attempt."""
    log = RequestLog()
    log.add(Started(at_ms=1.0, request_id="r1", target="a", urgency="high", deadline_ms=900.0, caller_region="eu"))
    log.add(completed())
    traffic = log.traffic("chat")
    assert traffic.asked(traffic.rows[0]) == Asked("high", 900.0, "eu")


def test_feedback_replaces_the_quality_of_the_answer() -> None:
    """A judgement that came later counts; failures have no quality."""
    log = RequestLog()
    log.add(completed(quality=0.2))
    log.add(completed("r2", outcome="error", quality=0.9))
    log.add(Feedback(at_ms=900.0, request_id="r1", target="a", completed_at_ms=200.0, quality=0.7))
    assert log.traffic("chat").quality[0] == 0.7
    assert np.isnan(log.traffic("chat").quality[1])


def test_beyond_the_most_attempts_are_left_out_and_counted() -> None:
    """Memory is bounded, and the loss is told."""
    log = RequestLog(most=2)
    for number in range(5):
        log.add(completed(f"r{number}"))
    assert (len(log.traffic("chat").rows), log.left_out) == (2, 3)
