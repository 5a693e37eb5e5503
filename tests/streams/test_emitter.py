from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import pytest

from routecast.models.events import Completed, Event, Feedback, Started, decode_events
from routecast.streams.emitter import BATCH, Emitter


def _emitter(capacity: int = 1000, wakes: list[bool] | None = None) -> Emitter:
    return Emitter(rng=random.Random(1), capacity=capacity, wake=wakes.append if wakes is not None else None)


def _sent(emitter: Emitter) -> list[Event]:
    events: list[Event] = []
    while (record := emitter.take()) is not None:
        good, bad = decode_events(record)
        assert bad == []
        events += good
    return events


def _start(i: int) -> Started:
    return Started(at_ms=1.0, request_id=str(i), target="t")


def _end(i: int, outcome: Any = "ok") -> Completed:
    return Completed(at_ms=2.0, request_id=str(i), target="t", started_at_ms=1.0, duration_ms=1.0, outcome=outcome)


def test_events_leave_in_order_in_batches() -> None:
    """What was emitted first is sent first."""
    emitter = _emitter(capacity=5000)
    for i in range(BATCH + 10):
        emitter.emit(_start(i))
    first, second, third = emitter.take(), emitter.take(), emitter.take()
    assert first is not None
    assert second is not None
    assert third is None
    ids = [event.request_id for record in (first, second) for event in decode_events(record)[0] if isinstance(event, Started)]
    assert ids == [str(i) for i in range(BATCH + 10)]


def test_a_full_buffer_drops_the_oldest_and_counts() -> None:
    """Memory stays bounded when the log is away."""
    emitter = _emitter(capacity=10)
    for i in range(25):
        emitter.emit(_start(i))
    assert (emitter.waiting, emitter.dropped, emitter.emitted) == (10, 15, 25)
    assert [event.request_id for event in _sent(emitter) if isinstance(event, Started)] == [str(i) for i in range(15, 25)]


def test_a_dropped_start_is_remembered_once() -> None:
    """Its completion must say that no start was written."""
    emitter = _emitter(capacity=1)
    emitter.emit(_start(1))
    emitter.emit(_start(2))
    assert [emitter.start_was_dropped("1", 1), emitter.start_was_dropped("1", 1), emitter.start_was_dropped("2", 1)] == [True, False, False]


def test_the_first_event_asks_for_a_flush_and_a_failure_for_one_at_once() -> None:
    """Waiting for company is for good news."""
    wakes: list[bool] = []
    emitter = _emitter(wakes=wakes)
    emitter.emit(_start(1))
    emitter.emit(_end(1))
    emitter.emit(_start(2))
    emitter.emit(_end(2, "timeout"))
    assert wakes == [False, True]


WRONG = ({"target": ""}, {"target": 5}, {"duration_ms": -1}, {"duration_ms": "soon"}, {"outcome": "fine"}, {"quality": 3}, {"at_ms": None}, {"colour": 1})


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_values_are_logged_never_raised(wrong: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Reporting must not hurt the caller."""
    emitter = _emitter()
    fields: dict[str, Any] = {"request_id": "r", "target": "t", "outcome": "ok", "duration_ms": 5.0} | wrong
    emitter.completed(**fields)
    known = "colour" in wrong
    assert (len(_sent(emitter)), emitter.dropped, bool(caplog.records)) == ((1, 0, False) if known else (0, 1, True))


def test_one_event_that_cannot_be_encoded_does_not_spoil_its_batch(caplog: pytest.LogCaptureFixture) -> None:
    """The others arrive."""
    emitter = _emitter()
    emitter.emit(_start(1))
    impossible: Any = object()
    emitter.emit(Started(at_ms=1.0, request_id="bad", target=impossible))
    emitter.emit(_start(2))
    assert [event.request_id for event in _sent(emitter) if isinstance(event, Started)] == ["1", "2"]
    assert emitter.dropped == 1
    assert caplog.records


def test_numbers_of_numpy_are_numbers() -> None:
    """Measurements often come from arrays."""
    emitter = _emitter()
    emitter.emit(Started(at_ms=np.float64(5), request_id="r", target="t", input_tokens=int(np.int64(7))))
    emitter.completed("r", "t", "ok", np.float64(12.5), output_tokens=7)
    started, completed = _sent(emitter)
    assert (started.at_ms, isinstance(completed, Completed)) == (5.0, True)


def test_a_completion_of_its_own_says_that_it_had_no_start() -> None:
    """Unless the caller reported one."""
    emitter = _emitter()
    emitter.started("a", "t")
    emitter.completed("a", "t", "ok", 5.0, start_reported=True)
    emitter.completed("b", "t", "ok", 5.0)
    assert [event.start_reported for event in _sent(emitter) if isinstance(event, Completed)] == [True, False]


def test_feedback_finds_its_way_by_reference() -> None:
    """A reference holds all that is needed; garbage is logged."""
    emitter = _emitter()
    emitter.feedback('["r-1", "east", 1700000000123.0]', quality=0.9)
    emitter.feedback("no reference", quality=0.9)
    (event,) = _sent(emitter)
    assert isinstance(event, Feedback)
    assert (event.request_id, event.target, event.completed_at_ms, event.quality) == ("r-1", "east", 1700000000123.0, 0.9)


def test_closing_without_a_log_says_whether_something_was_left() -> None:
    """True when all was delivered; closing again changes nothing."""
    emitter = _emitter()
    assert emitter.close()
    emitter.emit(_start(1))
    assert not emitter.close()
    emitter.on_close(lambda timeout_s: timeout_s == 2.0)
    assert emitter.close(2.0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_begins_anew() -> None:
    """Another name, an empty buffer: the parent's events are not sent twice."""
    emitter = _emitter()
    emitter.emit(_start(1))
    name = emitter.name
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        emitter.emit(_start(2))
        ok = emitter.name != name and [e.request_id for e in _sent(emitter) if isinstance(e, Started)] == ["2"]
        os.write(write, b"y" if ok else b"n")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"y"
    assert (emitter.name, emitter.waiting) == (name, 1)
    os.close(read)
    os.close(write)
