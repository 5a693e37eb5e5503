"""The contract of a log, written once: another log joins as another parameter of the fixture `log`."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from itertools import pairwise

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


@pytest.fixture(params=[MemoryLog], ids=["memory"])
def log(request: pytest.FixtureRequest, clock: _Clock) -> MemoryLog:
    """The log under test, empty."""
    make: Callable[[_Clock], MemoryLog] = request.param
    return make(clock)


def _all(log: MemoryLog, topic: str, partition: int, limit: int = 1000) -> list[tuple[int, bytes | None]]:
    """Everything of a partition, read in pieces as a consumer would."""
    found: list[tuple[int, bytes | None]] = []
    while records := log.read(topic, partition, found[-1][0] + 1 if found else 0, limit):
        found += [(record.offset, record.value) for record in records]
    return found


class TestLog:
    """What every log must do."""

    def test_a_partition_keeps_the_order_of_its_appends(self, log: MemoryLog) -> None:
        """Offsets are dense from 0."""
        assert [log.append("events", value, partition=1) for value in (b"a", b"b", b"c")] == [0, 1, 2]
        assert _all(log, "events", 1) == [(0, b"a"), (1, b"b"), (2, b"c")]
        assert log.end("events", 1) == 3

    def test_partitions_and_topics_know_nothing_of_each_other(self, log: MemoryLog) -> None:
        """Random appends: each has its own order and its own offsets."""
        luck, truth = random.Random(1), dict[tuple[str, int], list[bytes]]()
        for i in range(500):
            place = (luck.choice(["events", "panes", "ticks"]), luck.randrange(3))
            assert log.append(place[0], b"%d" % i, partition=place[1]) == len(truth.setdefault(place, []))
            truth[place].append(b"%d" % i)
        assert {place: [value for _, value in _all(log, *place)] for place in truth} == truth
        assert {place: log.end(*place) for place in truth} == {place: len(values) for place, values in truth.items()}

    def test_append_times_never_go_back(self, log: MemoryLog, clock: _Clock) -> None:
        """Even when the clock does."""
        for ms in (1000.0, 2000.0, 500.0, 1999.0, 2500.0):
            clock.ms = ms
            log.append("events", b"")
        times = [record.append_ms for record in log.read("events", 0, 0)]
        assert times[0] >= 1000.0
        assert all(a <= b for a, b in pairwise(times))
        assert times[-1] >= 2500.0

    @pytest.mark.parametrize("limit", [1, 2, 3, 10, 11])
    def test_reading_goes_on_where_it_stopped(self, log: MemoryLog, limit: int) -> None:
        """In pieces of at most `limit`, nothing twice and nothing left out."""
        for i in range(10):
            log.append("events", bytes([i]))
        assert len(log.read("events", 0, 0, limit)) == min(limit, 10)
        assert _all(log, "events", 0, limit) == [(i, bytes([i])) for i in range(10)]
        assert [record.offset for record in log.read("events", 0, 4, 3)] == [4, 5, 6]

    def test_there_is_nothing_beyond_the_end(self, log: MemoryLog) -> None:
        """Until something comes."""
        assert (log.read("nothing", 0, 0), log.end("nothing", 0)) == ([], 0)
        log.append("events", b"a")
        assert log.read("events", 0, 1) == log.read("events", 0, 100) == []
        log.append("events", b"b")
        assert [record.value for record in log.read("events", 0, 1)] == [b"b"]

    def test_what_was_read_can_be_read_again(self, log: MemoryLog) -> None:
        """Readers do not disturb each other."""
        log.append("events", b"a", key=b"k")
        assert log.read("events", 0, 0) == log.read("events", 0, 0)

    def test_a_tombstone_has_a_key_and_no_value(self, log: MemoryLog) -> None:
        """What compaction will remove; an empty value is none."""
        log.append("panes", None, key=b"pane/0/0/0")
        log.append("panes", b"", key=b"pane/0/0/1")
        assert [(record.key, record.value) for record in log.read("panes", 0, 0)] == [(b"pane/0/0/0", None), (b"pane/0/0/1", b"")]

    def test_appends_of_many_threads_lose_nothing(self, log: MemoryLog) -> None:
        """Every record gets the offset that its appender was told, and each appender's order is kept."""
        told: list[dict[int, bytes]] = [{} for _ in range(4)]

        def work(name: int) -> None:
            for i in range(1000):
                value = b"%d-%d" % (name, i)
                told[name][log.append("events", value)] = value

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = _all(log, "events", 0)
        assert [offset for offset, _ in found] == list(range(4000))
        assert dict(found) == told[0] | told[1] | told[2] | told[3]
        assert all(list(offsets) == sorted(offsets) for offsets in told)

    def test_a_reader_follows_appends_of_other_threads(self, log: MemoryLog) -> None:
        """It sees every record once, in order, while they come."""
        seen: list[int] = []

        def follow() -> None:
            while len(seen) < 4000:
                seen.extend(record.offset for record in log.read("events", 0, len(seen), 7))

        threads = [threading.Thread(target=follow), *(threading.Thread(target=lambda: [log.append("events", b"x") for _ in range(1000)]) for _ in range(4))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == list(range(4000))


@pytest.mark.parametrize("kept", [0, 3, 10, 100])
def test_trimming_drops_the_oldest_and_keeps_offsets(clock: _Clock, kept: int) -> None:
    """A reader that is behind goes on at the oldest that is left."""
    log = MemoryLog(clock)
    for i in range(10):
        log.append("events", bytes([i]))
        log.append("panes", b"x", partition=1)
    log.trim(kept)
    left = list(range(max(0, 10 - kept), 10))
    assert [record.offset for record in log.read("events", 0, 0)] == [record.offset for record in log.read("panes", 1, 0)] == left
    assert [record.offset for record in log.read("events", 0, 9)] == left[-1:]
    assert (log.end("events", 0), log.append("events", b"")) == (10, 10)
    assert log.read("events", 0, 0)[-1].offset == 10
