"""The contract of a log; another log joins by another parameter of the fixture."""

from __future__ import annotations

import threading

import pytest

from routecast.streams.memory import MemoryLog


class _Clock:
    """Time as the test sets it."""

    def __init__(self) -> None:
        self.ms = 1000.0

    def now_ms(self) -> float:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000


@pytest.fixture
def clock() -> _Clock:
    """The log's clock."""
    return _Clock()


@pytest.fixture
def log(clock: _Clock) -> MemoryLog:
    """The log under test."""
    return MemoryLog(clock)


def test_a_partition_keeps_the_order_of_its_appends(log: MemoryLog) -> None:
    """Offsets are dense from 0, in every partition of every topic."""
    assert [log.append("events", value, partition=1) for value in (b"a", b"b", b"c")] == [0, 1, 2]
    assert log.append("events", b"x", partition=0) == 0
    assert [(record.offset, record.value) for record in log.read("events", 1, 0)] == [(0, b"a"), (1, b"b"), (2, b"c")]
    assert log.end("events", 1) == 3


def test_append_times_never_go_back(log: MemoryLog, clock: _Clock) -> None:
    """Even when the clock does."""
    for ms in (1000.0, 2000.0, 500.0):
        clock.ms = ms
        log.append("events", b"")
    assert [record.append_ms for record in log.read("events", 0, 0)] == [1000.0, 2000.0, 2000.0]


def test_reading_goes_on_where_it_stopped(log: MemoryLog) -> None:
    """By offset and limit; nothing at the end."""
    for i in range(10):
        log.append("events", bytes([i]))
    assert [record.offset for record in log.read("events", 0, 4, 3)] == [4, 5, 6]
    assert log.read("events", 0, 10) == []
    assert log.read("nothing", 0, 0) == []


def test_trimming_drops_the_oldest_and_keeps_offsets(log: MemoryLog) -> None:
    """A reader that is behind goes on at the oldest that is kept."""
    for i in range(10):
        log.append("events", bytes([i]))
    log.trim(3)
    assert [record.offset for record in log.read("events", 0, 0)] == [7, 8, 9]
    assert log.append("events", b"") == 10


def test_a_tombstone_has_a_key_and_no_value(log: MemoryLog) -> None:
    """What compaction would remove."""
    log.append("panes", None, key=b"pane/0/0/0")
    (record,) = log.read("panes", 0, 0)
    assert (record.key, record.value) == (b"pane/0/0/0", None)


def test_appends_of_many_threads_lose_nothing(log: MemoryLog) -> None:
    """Every record has an offset of its own."""
    threads = [threading.Thread(target=lambda: [log.append("events", b"x") for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [record.offset for record in log.read("events", 0, 0, 5000)] == list(range(4000))
