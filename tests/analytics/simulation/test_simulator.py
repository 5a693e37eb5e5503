"""Virtual time: what runs, when and in which order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.simulation.simulator import EventQueue, Scheduled


@given(st.lists(st.integers(0, 20), max_size=60))
def test_runs_in_order_of_time_then_insertion(times: list[int]) -> None:
    """Whatever the order of scheduling, callbacks run by time, equal times by insertion, each with the clock at its time."""
    queue = EventQueue()
    ran: list[tuple[float, int]] = []

    def note(i: int) -> None:
        ran.append((queue.now_ms, i))

    for i, time in enumerate(times):
        queue.at(time, note, i)
    queue.advance_to(20)
    assert ran == sorted((float(time), i) for i, time in enumerate(times))


@given(st.lists(st.integers(0, 20), max_size=40), st.lists(st.integers(0, 20), max_size=5))
def test_steps_do_not_change_what_runs(times: list[int], stops: list[int]) -> None:
    """Advancing in steps runs the same callbacks in the same order as advancing at once."""

    def order(stops: list[int]) -> list[int]:
        queue, ran = EventQueue(), list[int]()
        for i, time in enumerate(times):
            queue.at(time, ran.append, i)
        for stop in sorted(stops):
            queue.advance_to(stop)
        queue.advance_to(20)
        return ran

    assert order(stops) == order([])


def test_what_is_due_later_waits() -> None:
    """Only what is due by the given time runs, that time included, and the clock then stands there."""
    queue, ran = EventQueue(100.0), list[str]()
    queue.after(5.0, ran.append, "due")
    queue.after(5.1, ran.append, "later")
    queue.advance_to(105.0)
    assert ran == ["due"]
    assert queue.now_ms == 105.0


def test_a_callback_may_schedule_for_the_present() -> None:
    """What a callback schedules without delay runs in the same advance, after what was already due then."""
    queue, ran = EventQueue(), list[str]()

    def first() -> None:
        queue.after(0.0, ran.append, "third")
        ran.append("first")

    queue.at(1.0, first)
    queue.at(1.0, ran.append, "second")
    queue.advance_to(1.0)
    assert ran == ["first", "second", "third"]


def test_a_cancelled_callback_never_runs() -> None:
    """Cancelling takes effect until the moment of running, also from a callback of the same moment."""
    queue, ran = EventQueue(), list[str]()
    doomed: list[Scheduled] = []

    def cancel() -> None:
        doomed[0].cancel()

    queue.at(1.0, cancel)
    doomed.append(queue.at(1.0, ran.append, "cancelled"))
    assert doomed[0].pending
    queue.advance_to(2.0)
    assert not doomed[0].pending
    assert ran == []


def test_cancelling_what_has_run_changes_nothing() -> None:
    """A callback is no longer pending once it ran, and a late cancel is harmless."""
    queue, ran = EventQueue(), list[str]()
    event = queue.at(1.0, ran.append, "ran")
    queue.advance_to(1.0)
    assert not event.pending
    event.cancel()
    queue.advance_to(2.0)
    assert ran == ["ran"]


@pytest.mark.parametrize("time_ms", [9.9, -1.0, math.nan])
def test_the_past_is_closed(time_ms: float) -> None:
    """Neither scheduling nor advancing to a time that has passed, or that is no number, is accepted."""
    queue = EventQueue(10.0)
    with pytest.raises(ValueError, match="the clock stands at 10"):
        queue.at(time_ms, list)
    with pytest.raises(ValueError, match="the clock stands at 10"):
        queue.advance_to(time_ms)
    with pytest.raises(ValueError, match="the clock stands at 10"):
        queue.after(-0.1, list)


def test_an_exception_leaves_the_rest_queued() -> None:
    """After a callback raised, the clock stands at its time and advancing again runs what was left."""
    queue, ran = EventQueue(), list[str]()
    queue.at(1.0, {}.popitem)
    queue.at(1.0, ran.append, "same moment")
    queue.at(2.0, ran.append, "later")
    with pytest.raises(KeyError):
        queue.advance_to(5.0)
    assert queue.now_ms == 1.0
    queue.advance_to(5.0)
    assert ran == ["same moment", "later"]


def test_a_callback_may_not_advance_its_own_clock() -> None:
    """Advancing from inside a callback raises instead of running events out of order."""
    queue = EventQueue()
    queue.at(1.0, queue.advance_to, 3.0)
    with pytest.raises(RuntimeError, match="schedule with at"):
        queue.advance_to(2.0)


def test_a_pace_is_asked_before_each_time() -> None:
    """And it may stop the queue without losing what is due."""
    asked, ran, patience = list[float](), list[float](), 2

    def pace(time_ms: float) -> None:
        asked.append(time_ms)
        if len(asked) == patience:
            raise InterruptedError

    queue = EventQueue(0.0, pace)
    queue.at(5.0, ran.append, 5.0)
    queue.at(7.0, ran.append, 7.0)
    with pytest.raises(InterruptedError):
        queue.advance_to(10.0)
    assert (asked, ran, queue.now_ms) == ([5.0, 7.0], [5.0], 5.0)
    queue.advance_to(10.0)
    assert (asked, ran, queue.now_ms) == ([5.0, 7.0, 7.0, 10.0], [5.0, 7.0], 10.0)
