from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.routing.waiting import Drain, Waiting, WaitingLine
from routecast.models.events import Urgency

URGENCIES: list[Urgency] = ["high", "medium", "low"]
REQUESTS = st.lists(st.tuples(st.sampled_from(URGENCIES), st.floats(0, 100), st.sampled_from("xyz")), max_size=60)


def _waiting(number: int, urgency: Urgency = "medium", deadline_s: float = 10.0, kind: str = "x") -> Waiting:
    return Waiting(urgency, deadline_s, number, kind)


def _numbers(line: WaitingLine) -> list[int]:
    found: list[int] = []
    while (waiting := line.next(lambda _: True)) is not None:
        found.append(waiting.number)
    return found


def test_the_order_is_urgency_then_deadline_then_arrival() -> None:
    """Whatever the order of arrival."""
    line = WaitingLine(10)
    for waiting in (_waiting(1, "low", 1.0), _waiting(2, "medium", 9.0), _waiting(3, "medium", 5.0), _waiting(4, "medium", 5.0), _waiting(5, "high", 99.0)):
        assert line.enter(waiting) is None
    assert _numbers(line) == [5, 3, 4, 2, 1]


@given(requests=REQUESTS, most=st.integers(0, 20))
def test_the_line_is_bounded_and_sheds_the_least_urgent(requests: list[tuple[Urgency, float, str]], most: int) -> None:
    """Everybody is in line or was told to go, never both; nobody who went was more urgent than somebody who stayed, unless the line was full of peers."""
    line, inside, gone = WaitingLine(most), dict[int, Waiting](), list[Waiting]()
    for number, (urgency, deadline_s, kind) in enumerate(requests):
        waiting = inside[number] = _waiting(number, urgency, deadline_s, kind)
        out = line.enter(waiting)
        if out is not None:
            gone.append(inside.pop(out.number))
        assert len(line) == len(inside) <= most
    worst_inside = max((w.place.rank for w in inside.values()), default=0)
    assert all(w.place.rank >= worst_inside for w in gone)
    assert _numbers(line) == [w.number for w in sorted(inside.values(), key=lambda w: w.place)]


def test_a_newcomer_takes_the_place_of_a_less_urgent_one_only() -> None:
    """Equals do not push each other out, however early the deadline."""
    line = WaitingLine(2)
    low, medium = _waiting(1, "low"), _waiting(2, "medium")
    line.enter(low)
    line.enter(medium)
    high = _waiting(3, "high")
    assert line.enter(high) is low
    early = _waiting(4, "medium", 0.1)
    assert line.enter(early) is early
    assert _numbers(line) == [3, 2]


def test_a_kind_without_room_does_not_hold_up_another() -> None:
    """Requests that may go elsewhere pass those that may not; each kind is asked about once."""
    line, asked = WaitingLine(100), list[object]()
    for number in range(50):
        line.enter(_waiting(number, kind="x"))
    line.enter(_waiting(50, kind="y"))

    def has_room(waiting: Waiting) -> bool:
        asked.append(waiting.kind)
        return waiting.kind == "y"

    found = line.next(has_room)
    assert found is not None
    assert (found.number, asked) == (50, ["x", "y"])
    assert line.next(has_room) is None
    assert asked == ["x", "y", "x"]


def test_who_left_is_not_let_in() -> None:
    """Leaving twice, or without having entered, does nothing."""
    line, waiting = WaitingLine(10), _waiting(1)
    assert not line.leave(waiting)
    line.enter(waiting)
    assert line.leave(waiting)
    assert not line.leave(waiting)
    assert line.next(lambda _: True) is None


def test_who_cannot_be_served_in_time_is_told_at_once() -> None:
    """Ten ahead at two a second take five seconds, and the answer one more; the urgent one has nobody ahead."""
    line = WaitingLine(100)
    for number in range(10):
        line.enter(_waiting(number, deadline_s=5.0))
    assert not line.in_time(_waiting(11, deadline_s=6.0), 0.0, 2.0, 1.0)
    assert line.in_time(_waiting(11, deadline_s=7.0), 0.0, 2.0, 1.0)
    assert line.in_time(_waiting(11, "high", 2.0), 0.0, 2.0, 1.0)
    assert line.in_time(_waiting(11, "low", 0.1), 0.0, 0.0, 0.0)


def test_the_hopeless_are_taken_out() -> None:
    """Those whose deadline passes before an answer could come."""
    line = WaitingLine(100)
    for number, deadline_s in enumerate((1.0, 2.0, 3.0)):
        line.enter(_waiting(number, deadline_s=deadline_s))
    assert [waiting.number for waiting in line.hopeless(1.5, 1.0)] == [0, 1]
    assert _numbers(line) == [2]


def test_the_drain_rate_is_what_ends_a_second() -> None:
    """Unbiased from the start, and follows a change within ten seconds."""
    drain = Drain(0.0)
    assert drain.per_s(0.0) == 0.0
    for i in range(1, 101):
        drain.pending += 2
        assert drain.per_s(i * 0.2) == pytest.approx(10.0)
    for i in range(1, 301):
        drain.pending += 1
        drain.per_s(20.0 + i * 0.2)
    assert drain.per_s(80.0) == pytest.approx(5.0, rel=0.02)


def test_retry_after_is_the_time_the_line_takes() -> None:
    """Bounded; a second where nothing has left yet."""
    line = WaitingLine(1000)
    luck = random.Random(1)
    for number in range(99):
        line.enter(_waiting(number, luck.choice(URGENCIES)))
    assert line.retry_after_ms(10.0) == pytest.approx(10_000)
    assert (line.retry_after_ms(1e9), line.retry_after_ms(1e-9), line.retry_after_ms(0.0)) == (50.0, 60_000.0, 1000.0)
