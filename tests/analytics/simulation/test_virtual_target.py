"""Simulated targets: limits, outages, hangs and callers that give up."""

from __future__ import annotations

import math
from functools import partial
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.simulation.contended import processor_sharing
from routecast.analytics.simulation.servers import Queueing
from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.virtual_target import WELL, Condition, RequestLimit, VirtualTarget
from routecast.models.events import Outcome

DOWN = Condition(fail_ratio=1.0)
HANGING = Condition(hangs=True)


class Caller:
    """Submits calls and notes how and when each one ended."""

    def __init__(self, *, slots: float = 1, limit_per_s: float | None = None, deadline_ms: float = math.inf) -> None:
        self.queue = EventQueue()
        limit = RequestLimit(self.queue, limit_per_s, burst_s=1.0) if limit_per_s else None
        self.target = VirtualTarget(self.queue, Queueing(self.queue, slots), Random(1), limit=limit, deadline_ms=deadline_ms)
        self.ended: list[tuple[Outcome, float]] = []

    def submit(self, work_ms: float) -> None:
        """Begin a call."""
        self.target.submit(work_ms, lambda outcome: self.ended.append((outcome, self.queue.now_ms)))

    def outcomes_until(self, time_ms: float) -> list[tuple[Outcome, float]]:
        """What ended by then, and when."""
        self.queue.advance_to(time_ms)
        return self.ended


def test_a_well_target_answers_after_its_work() -> None:
    """Nothing but the server decides how long a call takes when nothing is the matter."""
    caller = Caller()
    caller.submit(10.0)
    assert caller.target.in_flight == 1
    assert caller.outcomes_until(100.0) == [("ok", 10.0)]
    assert caller.target.in_flight == 0


def test_an_outage_fails_at_once_and_spares_calls_under_way() -> None:
    """While every call fails, those that begin fail without delay and those that began before end well."""
    caller = Caller()
    caller.submit(100.0)
    caller.queue.advance_to(20.0)
    caller.target.condition = DOWN
    caller.submit(10.0)
    assert caller.ended == []
    assert caller.outcomes_until(20.0) == [("error", 20.0)]
    assert caller.outcomes_until(200.0) == [("error", 20.0), ("ok", 100.0)]


def test_a_partial_failure_fails_its_share() -> None:
    """Of many calls the given ratio fails, within four standard deviations."""
    caller = Caller(slots=math.inf)
    caller.target.condition = Condition(fail_ratio=0.3)
    for _ in range(10_000):
        caller.submit(1.0)
    failed = sum(outcome == "error" for outcome, _ in caller.outcomes_until(10.0))
    assert failed == pytest.approx(3000, abs=4 * math.sqrt(10_000 * 0.3 * 0.7))


def test_a_hanging_target_answers_when_the_caller_gives_up() -> None:
    """A call that hangs counts as in flight until its deadline and ends there as a timeout; later ones are served again."""
    caller = Caller(deadline_ms=30_000.0)
    caller.target.condition = HANGING
    caller.submit(10.0)
    caller.queue.advance_to(60.0)
    caller.target.condition = WELL
    caller.submit(10.0)
    assert caller.target.in_flight == 2
    assert caller.outcomes_until(29_999.0) == [("ok", 70.0)]
    assert caller.target.in_flight == 1
    assert caller.outcomes_until(30_000.0) == [("ok", 70.0), ("timeout", 30_000.0)]
    assert caller.target.in_flight == 0


def test_without_a_deadline_a_hanging_call_stays_open() -> None:
    """Nobody answers and nobody gives up."""
    caller = Caller()
    caller.target.condition = HANGING
    caller.submit(10.0)
    assert caller.outcomes_until(1e9) == []
    assert caller.target.in_flight == 1


def test_a_call_that_times_out_frees_its_slot() -> None:
    """What the caller no longer waits for is no longer worked on: the next call begins at the deadline of the first."""
    caller = Caller(deadline_ms=100.0)
    caller.submit(1000.0)
    caller.queue.advance_to(90.0)
    caller.submit(50.0)
    assert caller.outcomes_until(2000.0) == [("timeout", 100.0), ("ok", 150.0)]


def test_a_call_given_up_by_its_caller_is_silent() -> None:
    """Cancelling a call under a deadline, hanging or not, leaves neither an answer nor a timeout nor anything in flight."""
    caller = Caller(deadline_ms=100.0)
    served = caller.target.submit(50.0, lambda outcome: caller.ended.append((outcome, 0.0)))
    caller.target.condition = HANGING
    hanging = caller.target.submit(50.0, lambda outcome: caller.ended.append((outcome, 0.0)))
    served.cancel()
    hanging.cancel()
    assert caller.target.in_flight == 0
    assert caller.outcomes_until(1000.0) == []


def test_a_limit_refuses_what_exceeds_it() -> None:
    """A full bucket lets a burst pass and refuses the rest at once; it refills at its rate and says when."""
    caller = Caller(slots=math.inf, limit_per_s=4.0)
    limit = caller.target.limit
    assert limit is not None
    assert (limit.remaining, limit.reset_ms, limit.retry_after_ms) == (4, 0.0, 0.0)
    for _ in range(5):
        caller.submit(1.0)
    assert caller.outcomes_until(0.0) == [("rate_limited", 0.0)]
    assert (limit.remaining, limit.reset_ms, limit.retry_after_ms) == (0, 1000.0, 250.0)
    assert not caller.target.available
    caller.queue.advance_to(240.0)
    caller.submit(1.0)
    assert caller.outcomes_until(240.0)[-1] == ("rate_limited", 240.0)
    caller.queue.advance_to(500.0)
    assert (limit.remaining, limit.reset_ms, limit.retry_after_ms) == (2, 500.0, 0.0)
    assert caller.target.available
    caller.queue.advance_to(60_000.0)
    assert limit.remaining == 4


def test_a_refused_call_is_no_work() -> None:
    """Refusals and failures leave nothing in flight."""
    caller = Caller(limit_per_s=1.0)
    caller.target.condition = DOWN
    caller.submit(10.0)
    caller.submit(10.0)
    assert caller.target.in_flight == 0
    assert caller.outcomes_until(0.0) == [("error", 0.0), ("rate_limited", 0.0)]


@pytest.mark.parametrize(
    ("condition", "down"),
    [(WELL, False), (DOWN, True), (HANGING, True), (Condition(fail_ratio=0.3), False), (Condition(slowdown=5.0), False)],
)
def test_only_a_target_where_nothing_succeeds_is_down(condition: Condition, down: bool) -> None:
    """Slow and partly failing targets are bad, not down."""
    caller = Caller()
    caller.target.condition = condition
    assert caller.target.condition.down is down
    assert caller.target.available is not down


CONDITIONS = st.sampled_from([WELL, DOWN, HANGING, Condition(fail_ratio=0.5), Condition(slowdown=4.0)])
STEPS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60), CONDITIONS, st.booleans()), max_size=40)


@given(STEPS, st.sampled_from(["queueing", "sharing", "elastic"]), st.booleans())
def test_every_call_ends_once(steps: list[tuple[int, int, Condition, bool]], kind: str, limited: bool) -> None:
    """Through any changes of condition, refusals, timeouts and give-ups, each call ends exactly once or was given up."""
    queue = EventQueue()
    server = processor_sharing(queue, 2) if kind == "sharing" else Queueing(queue, math.inf if kind == "elastic" else 2)
    target = VirtualTarget(queue, server, Random(1), limit=RequestLimit(queue, 30.0, 0.1) if limited else None, deadline_ms=100.0)
    ends = [0] * len(steps)
    given_up: set[int] = set()

    def ended(i: int, _: Outcome) -> None:
        ends[i] += 1

    for i, (pause_ms, work_ms, condition, give_up) in enumerate(steps):
        queue.advance_to(queue.now_ms + pause_ms)
        target.condition = condition
        call = target.submit(work_ms, partial(ended, i))
        if give_up:
            call.cancel()
            given_up.add(i)
    queue.advance_to(queue.now_ms + 101.0)
    assert ends == [0 if i in given_up else 1 for i in range(len(steps))]
    assert target.in_flight == 0
    assert server.in_flight == 0
