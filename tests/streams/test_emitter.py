from __future__ import annotations

import math
import random
import threading
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.models.events import Completed, Event, Feedback, Outcome, RouterStats, Started, decode_events
from routecast.streams.emitter import BATCH, Emitter


class _Clock:
    """Time as the test sets it."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000.0

    def now_ms(self) -> float:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000


def _emitter(capacity: int = 1000, wakes: list[bool] | None = None, clock: _Clock | None = None) -> Emitter:
    return Emitter(clock or _Clock(), random.Random(1), capacity=capacity, wake=wakes.append if wakes is not None else None)


def _sent(emitter: Emitter) -> list[Event]:
    events: list[Event] = []
    while (record := emitter.take()) is not None:
        good, bad = decode_events(record)
        assert bad == []
        events += good
    return events


def _start(i: int | str, **fields: Any) -> Started:
    return Started(at_ms=1.0, request_id=str(i), target="t", **fields)


def _end(i: int | str, outcome: Outcome = "ok", **fields: Any) -> Completed:
    return Completed(at_ms=2.0, request_id=str(i), target="t", started_at_ms=1.0, duration_ms=1.0, outcome=outcome, **fields)


def _ids(events: list[Event]) -> list[str]:
    return [event.request_id for event in events if isinstance(event, Started | Completed)]


def test_events_leave_in_order_in_batches() -> None:
    """What was emitted first is sent first, at most five hundred in a record."""
    emitter = _emitter(capacity=5000)
    for i in range(BATCH + 10):
        emitter.emit(_start(i))
    first, second = emitter.take() or b"", emitter.take() or b""
    assert emitter.take() is None
    assert [len(decode_events(record)[0]) for record in (first, second)] == [BATCH, 10]
    assert _ids([*decode_events(first)[0], *decode_events(second)[0]]) == [str(i) for i in range(BATCH + 10)]


def test_events_of_many_threads_are_all_sent_in_the_order_of_each_thread() -> None:
    """While another thread takes them away."""
    emitter, done, sent = _emitter(capacity=100_000), threading.Event(), list[Event]()

    def work(name: int) -> None:
        for i in range(2000):
            emitter.emit(_start(f"{name}-{i}"))

    def take() -> None:
        while not done.is_set():
            sent.extend(_sent(emitter))

    taker = threading.Thread(target=take)
    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in (taker, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    taker.join()
    sent += _sent(emitter)
    for name in range(4):
        assert [i for i in _ids(sent) if i.startswith(f"{name}-")] == [f"{name}-{i}" for i in range(2000)]
    assert (len(sent), emitter.dropped) == (8000, 0)


def test_ids_are_unique_across_threads_and_emitters() -> None:
    """A request's end must find its start."""
    emitters, ids = [Emitter(rng=random.Random(seed)) for seed in range(2)], list[str]()

    def work() -> None:
        for _ in range(2000):
            ids.extend(emitter.request_id() for emitter in emitters)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 2 * 4 * 2000


def test_a_full_buffer_drops_the_oldest_and_counts() -> None:
    """Memory stays bounded when the log is away."""
    emitter = _emitter(capacity=10)
    for i in range(25):
        emitter.emit(_start(i))
    assert (emitter.waiting, emitter.dropped, emitter.emitted) == (10, 15, 25)
    assert _ids(_sent(emitter)) == [str(i) for i in range(15, 25)]


def test_the_end_of_a_call_whose_start_was_dropped_says_so() -> None:
    """Else something would be in flight less than nothing. Of other calls and of other attempts nothing is said."""
    emitter = _emitter(capacity=3)
    for i in range(5):
        emitter.emit(_start(i))
    assert _ids(_sent(emitter)) == ["2", "3", "4"]
    for event in (_end(1), _end(1, attempt=2), _end(2)):
        emitter.emit(event)
    assert [event.start_reported for event in _sent(emitter) if isinstance(event, Completed)] == [False, True, True]


def test_a_start_that_is_dropped_after_its_end_was_emitted_counts_too() -> None:
    """The end waits in the buffer while its start makes room."""
    emitter = _emitter(capacity=2)
    for event in (_start(1), _end(1), _start(2)):
        emitter.emit(event)
    first, second = _sent(emitter)
    assert isinstance(first, Completed)
    assert (first.request_id, first.start_reported, _ids([second])) == ("1", False, ["2"])


def test_a_start_that_could_not_be_written_was_not_reported() -> None:
    """Its end says so, even in the same batch."""
    emitter = _emitter()
    for event in (_start(1, attempt=5000), _end(1, attempt=1), msgspec.structs.replace(_start(2), at_ms=math.nan), _end(2)):
        emitter.emit(event)
    assert [(event.request_id, event.start_reported) for event in _sent(emitter) if isinstance(event, Completed)] == [("1", True), ("2", False)]


def test_every_start_that_is_sent_has_exactly_one_end() -> None:
    """Random histories over a tiny buffer: starts that were sent, and ends that say nothing else, are the same calls."""
    luck = random.Random(3)
    for capacity in (1, 2, 3, 5, 50):
        emitter, open_, sent, n = _emitter(capacity=capacity), list[str](), list[Event](), 0
        for _ in range(3000):
            action = luck.random()
            if action < 0.4:
                n += 1
                open_.append(str(n))
                emitter.emit(_start(n))
            elif action < 0.8 and open_:
                emitter.emit(_end(open_.pop(luck.randrange(len(open_)))))
            elif action > 0.9:
                sent += _sent(emitter)
        sent += _sent(emitter)
        started = {event.request_id for event in sent if isinstance(event, Started)}
        ended = [event.request_id for event in sent if isinstance(event, Completed) and event.start_reported]
        assert len(ended) == len(set(ended))
        assert set(ended) <= started


def test_the_first_event_asks_for_a_flush_and_a_failure_for_one_at_once() -> None:
    """Waiting for company is for good news."""
    wakes: list[bool] = []
    emitter = _emitter(wakes=wakes)
    for event in (_start(1), _end(1), _start(2), _end(2, "timeout"), _end(3, "cancelled"), _end(4, "rate_limited")):
        emitter.emit(event)
    assert wakes == [False, True, True]
    emitter.take()
    emitter.emit(_start(5))
    assert wakes == [False, True, True, False]


def test_somebody_is_asked_again_after_a_batch_that_was_nothing_but_wrong() -> None:
    """Or what comes after it would wait for ever."""
    wakes: list[bool] = []
    emitter = _emitter(wakes=wakes)
    for _ in range(BATCH):
        emitter.emit(_start(1, attempt=object()))
    emitter.started("", "", at_ms=None)
    emitter.emit(_start(2))
    assert _ids(_sent(emitter)) == ["1"] * BATCH + ["2"]
    for _ in range(BATCH):
        emitter.emit(msgspec.structs.replace(_start(1), at_ms=math.nan))
    emitter.emit(_start(3))
    assert _ids(_sent(emitter)) == ["3"]
    emitter.emit(_start(4))
    assert wakes == [False, False, False]


LOST: list[dict[str, Any]] = [
    {"target": ""}, {"target": 5}, {"target": "\ud800"}, {"target": "t" * 1_000_000}, {"request_id": None}, {"duration_ms": -1}, {"duration_ms": "soon"},
    {"duration_ms": math.nan}, {"duration_ms": math.inf}, {"duration_ms": 10**400}, {"duration_ms": Fraction(10**400)}, {"duration_ms": np.array([1.0, 2.0])},
    {"duration_ms": None}, {"outcome": "fine"}, {"outcome": []}, {"at_ms": None}, {"at_ms": -1}, {"at_ms": object()}, {"started_at_ms": "x"},
]  # fmt: skip
MENDED: list[dict[str, Any]] = [
    {"quality": 3}, {"cost_usd": "much"}, {"output_tokens": 1.5}, {"model": "m" * 1_000_000}, {"error_type": 7}, {"region": object()}, {"http_status": 7},
    {"limits": {"remaining_requests": 1, "x": object()}}, {"decision": "d"}, {"provider": [[[]]]}, {"attempt": 0},
]  # fmt: skip
TAKEN: list[dict[str, Any]] = [
    {}, {"colour": 1}, {"kind": 1}, {"emitter": "somebody else"}, {"fields": 1}, {"quality": np.float32(0.5)}, {"limits": {"remaining_requests": 1}},
    {"duration_ms": np.float32(5)}, {"duration_ms": np.int64(5)}, {"duration_ms": Fraction(5)}, {"at_ms": np.float64(1.7e12)}, {"output_tokens": np.int16(5)},
    {"ttft_ms": math.inf}, {"cost_usd": math.nan},
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "sent", "dropped", "logged"),
    [*((wrong, 0, 1, True) for wrong in LOST), *((wrong, 1, 0, True) for wrong in MENDED), *((right, 1, 0, False) for right in TAKEN)],
    ids=lambda value: next(iter(value), "plain") if isinstance(value, dict) else "",
)
def test_nothing_is_raised_whatever_is_reported(fields: dict[str, Any], sent: int, dropped: int, logged: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong figure is left out, a report that cannot do without it is dropped; either is logged."""
    emitter = _emitter()
    plain: dict[str, Any] = {"request_id": "r", "target": "t", "outcome": "ok", "duration_ms": 5.0}
    emitter.completed(**(plain | fields))
    emitter.started("after", "t")
    events = _sent(emitter)
    assert _ids(events)[-1] == "after"
    assert (len(events) - 1, emitter.dropped, bool(caplog.records)) == (sent, dropped, logged)
    assert {event.emitter for event in events} == {emitter.name}


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=3), st.lists(st.integers(), max_size=2),
    st.decimals(), st.fractions(), st.complex_numbers(), st.just(object()), st.just(np.array([1, 2])),
)  # fmt: skip


@given(st.lists(st.dictionaries(st.sampled_from([field.name for field in msgspec.structs.fields(Completed)]), ANYTHING, max_size=4), max_size=5))
def test_the_right_ones_arrive_among_anything(wrong: list[dict[str, Any]]) -> None:
    """Whatever the other reports hold, nothing is raised, every record can be read, and order is kept."""
    emitter = _emitter()
    for i, fields in enumerate(wrong):
        emitter.started(f"s{i}", "t")
        filled: dict[str, Any] = {"at_ms": 1, "request_id": "?", "target": "t", "started_at_ms": 1, "outcome": "ok", "duration_ms": 1.0} | fields
        emitter.completed(**filled)
        emitter.emit(Completed(**filled))
    assert [i for i in _ids(_sent(emitter)) if i.startswith("s")] == [f"s{i}" for i in range(len(wrong))]


class _Hostile(float):
    """A number that cannot be read."""

    def __float__(self) -> float:
        raise RuntimeError("no")


@pytest.mark.parametrize("thing", [None, 5, {"type": "marker"}, object(), "text", _start(1, model=object()), _start(1, input_tokens=_Hostile())])
def test_what_is_no_event_spoils_nothing(thing: Any) -> None:
    """Its neighbours in the batch arrive."""
    emitter = _emitter()
    for event in (_start("before"), thing, _start("after")):
        emitter.emit(event)
    assert [i for i in _ids(_sent(emitter)) if i != "1"] == ["before", "after"]


def test_a_hostile_number_costs_only_its_report() -> None:
    """Whatever exception reading it raises."""
    emitter = _emitter()
    emitter.completed("r", "t", "ok", _Hostile(5))
    assert (_sent(emitter), emitter.dropped) == ([], 1)


def test_a_completion_began_its_duration_before_it_ended() -> None:
    """Unless the caller knows better; never before the epoch."""
    emitter = _emitter()
    emitter.completed("a", "t", "ok", 250.0)
    emitter.completed("b", "t", "ok", 250.0, at_ms=1000.0)
    emitter.completed("c", "t", "ok", 250.0, at_ms=100.0)
    emitter.completed("d", "t", "ok", 250.0, started_at_ms=7.0)
    quarter: Any = np.float32(250)
    emitter.completed("e", "t", "ok", quarter, at_ms=1_700_000_000_123.0)
    began = [event.started_at_ms for event in _sent(emitter) if isinstance(event, Completed)]
    assert began == [1_699_999_999_750.0, 750.0, 0.0, 7.0, 1_699_999_999_873.0]


def test_a_completion_of_its_own_says_that_it_had_no_start() -> None:
    """Unless the caller reported one."""
    emitter = _emitter()
    emitter.started("a", "t", urgency="high", input_tokens=5)
    emitter.completed("a", "t", "ok", 5.0, start_reported=True)
    emitter.completed("b", "t", "ok", 5.0)
    assert [event.start_reported for event in _sent(emitter) if isinstance(event, Completed)] == [True, False]


def test_feedback_finds_its_way_by_reference() -> None:
    """A reference holds all that is needed."""
    emitter = _emitter()
    emitter.feedback('["r-1", "east", 1700000000123.0]', quality=0.9, satisfaction=0.5)
    (event,) = _sent(emitter)
    assert event == Feedback(
        at_ms=1_700_000_000_000.0, emitter=emitter.name, request_id="r-1", target="east", completed_at_ms=1700000000123.0, quality=0.9, satisfaction=0.5
    )


GARBAGE: list[Any] = ["", "no reference", "[]", '["r", "t"]', '["r", 5, 1]', "{}", "\ud800", "[" * 100_000, None, 5, b"\xff", object(), ["r", "t", 1.0]]


@pytest.mark.parametrize("reference", GARBAGE, ids=lambda reference: repr(reference)[:12])
def test_a_reference_that_is_none_is_logged_never_raised(reference: Any, caplog: pytest.LogCaptureFixture) -> None:
    """In a line of readable length, and counted."""
    emitter = _emitter()
    emitter.feedback(reference, quality=0.5)
    assert (_sent(emitter), emitter.dropped) == ([], 1)
    assert "no call.ref" in caplog.text
    assert len(caplog.text) < 500


def test_the_same_fault_with_every_request_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """One line in ten seconds, which says how many were lost."""
    clock = _Clock()
    emitter = _emitter(capacity=10, clock=clock)
    for i in range(1000):
        emitter.feedback("garbage", quality=0.5)
        emitter.completed("r", "", "ok", 1.0)
        emitter.emit(_start(i))
        clock.ms += 20.0
    assert len(caplog.records) == 2
    assert "(1 events lost so far" in caplog.messages[0]
    assert emitter.dropped == 1000 + 1000 + 990


def test_a_batch_of_stats_passes_as_it_is() -> None:
    """Events of every kind take the same way."""
    emitter = _emitter()
    stats = RouterStats(at_ms=1.0, emitter="e", services=("s",), dropped=3)
    emitter.emit(stats)
    assert _sent(emitter) == [stats]


def test_closing_without_a_log_says_whether_something_was_left() -> None:
    """True when nothing waits; closing again changes nothing."""
    emitter = _emitter()
    assert emitter.close()
    emitter.emit(_start(1))
    assert not emitter.close()
    assert not emitter.close()


def test_closing_is_done_once_within_the_time_given() -> None:
    """The second call finds nothing left to do."""
    emitter, timeouts = _emitter(), list[float]()

    def closer(timeout_s: float) -> bool:
        timeouts.append(timeout_s)
        return timeout_s > 1

    emitter.on_close(closer)
    assert emitter.close(2.0)
    emitter.close(2.0)
    emitter.on_close(closer)
    assert not emitter.close(0.5)
    assert timeouts == [2.0, 0.5]


def test_reporting_to_a_closed_emitter_is_harmless() -> None:
    """Bounded and counted like anything else."""
    with _emitter(capacity=3) as emitter:
        pass
    for i in range(5):
        emitter.started(str(i), "t")
    assert (emitter.waiting, emitter.dropped) == (3, 2)


def test_a_name_and_a_partition_come_from_the_random_numbers() -> None:
    """Different emitters, different ones; the same seed, the same."""
    one, same, other = (Emitter(rng=random.Random(seed)) for seed in (1, 1, 2))
    assert (one.name, one.partition_draw) == (same.name, same.partition_draw)
    assert one.name != other.name
    assert one.partition_draw != other.partition_draw
