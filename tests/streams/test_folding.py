"""The folding of a worker against a log that delivers as badly as Kafka may: again, with gaps, to several owners one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routecast.analytics.fold import PartitionFold
from routecast.analytics.fold import Record as Row
from routecast.analytics.merge import Merge
from routecast.models.errors import Unreachable
from routecast.models.events import Completed, Event, Started, encode_events
from routecast.models.rows import TargetTotals, decode_row, totals_key
from routecast.streams.clock import FixedClock
from routecast.streams.folding import MOST_RECORD_BYTES, REFRESH_S, Folding
from routecast.streams.memory import MemoryLog, Record
from routecast.streams.topics import Topic

T0 = 1_700_000_000_000.0
Buried = list[tuple[str, bytes, str]]


class Log:
    """The embedded log as recovery reads it; what was acknowledged is set by the test."""

    def __init__(self) -> None:
        self.clock = FixedClock(T0)
        self.memory = MemoryLog(self.clock)
        self.acknowledged = 0
        self.broken = 0
        """How many reads will fail."""
        self.closed = 0
        """How many attempts to reach it will fail."""

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Log]:
        """A reader of it."""
        if self.closed:
            self.closed -= 1
            raise Unreachable("away")
        yield self

    async def stretch(self, topic: Topic, partition: int, first: int, end: int) -> AsyncIterator[Record]:
        """As the log has them."""
        if self.broken:
            self.broken -= 1
            raise ConnectionError("away")
        for record in self.memory.read(topic, partition, first, 100_000):
            if record.offset < end:
                yield record

    async def ends(self, topic: Topic, partitions: list[int]) -> dict[int, int]:
        """As the log has them."""
        return {partition: self.memory.end(topic, partition) for partition in partitions}

    async def committed(self, topic: Topic, partition: int) -> int:
        """What the test says."""
        assert (topic, partition) == ("events", 0)
        return self.acknowledged

    async def write(self, partition: int, rows: Iterable[Row]) -> None:
        """To the changelog."""
        for key, value in rows:
            self.memory.append("panes", value, key=key, partition=partition)

    def request(self, i: int) -> None:
        """Append one request, start and end in one record."""
        at_ms = T0 + i * 700.0
        self.clock.at_ms = at_ms
        started = Started(at_ms=at_ms, request_id=str(i), target=f"t{i % 3}", service="chat")
        ended = Completed(at_ms=at_ms, request_id=str(i), target=f"t{i % 3}", started_at_ms=at_ms, duration_ms=0.0, outcome="ok", service="chat")
        self.memory.append("events", encode_events([started, ended]))

    def merged(self) -> dict[str, TargetTotals]:
        """What a leader makes of the changelog."""
        merge = Merge()
        for row in self.memory.read("panes", 0, 0, 1_000_000):
            merge.add(row.key, row.value)
        return merge.target_totals()

    def truth(self) -> dict[str, TargetTotals]:
        """What one fold that never stopped makes of the events."""
        fold, merge = PartitionFold(0), Merge()
        folding = Folding(self.clock, self.write, lambda *_: None)
        for record in self.memory.read("events", 0, 0, 1_000_000):
            folding._apply(fold, record)
        for key, value in fold.flush():
            merge.add(key, value)
        return merge.target_totals()


def _folding(log: Log, buried: Buried | None = None) -> Folding:
    found = buried if buried is not None else []
    return Folding(log.clock, log.write, lambda place, value, reason: found.append((place, value, reason)))


async def _owned(log: Log, buried: Buried | None = None) -> Folding:
    folding = _folding(log, buried)
    await folding.recover(folding.own([0]), log.opened)
    return folding


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 30))


def _deliver(folding: Folding, log: Log, offsets: Iterable[int]) -> None:
    for offset in offsets:
        (record,) = log.memory.read("events", 0, offset, 1)
        folding.fold(0, record)


async def _folded(log: Log, buried: Buried | None = None) -> Folding:
    """A folding that was delivered everything."""
    folding = await _owned(log, buried)
    _deliver(folding, log, range(log.memory.end("events", 0)))
    return folding


Step = tuple[str, int]
HAPPENINGS = ["requests", "deliver", "flush", "torn flush", "crash", "acknowledge", "stall", "wake", "catch up"]
steps = st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.integers(1, 8)), max_size=40)


@settings(max_examples=150)
@given(steps)
def test_counts_are_exact_through_crashes_redelivery_gaps_and_torn_flushes(history: list[Step]) -> None:
    """Whatever was acknowledged before it was flushed, wherever a flush broke off, and whatever owners write that lost the partition long ago."""

    async def main() -> None:
        log, stalled = Log(), list[Folding]()
        folding, delivered, made = await _owned(log), 0, 0
        for what, n in history:
            if what == "requests":
                for _ in range(n):
                    log.request(made)
                    made += 1
            elif what == "deliver" and delivered < made:
                first = max(0, delivered - n // 2) if n % 2 else min(made - 1, delivered + n // 3)  # again, or with a gap
                until = min(made, first + n)
                _deliver(folding, log, range(first, until))
                delivered = max(delivered, until)
            elif what == "acknowledge":
                log.acknowledged = delivered
            elif what == "flush":
                await folding.flush()
            elif what == "catch up":
                await folding.catch_up(log)
            elif what == "wake":
                await asyncio.gather(*(other.flush() for other in stalled))
            else:
                if what == "stall":
                    stalled.append(folding)
                elif what == "torn flush":
                    await log.write(0, [row for fold in folding._folds.values() for row in fold.flush()][:-n])
                folding = await _owned(log)
                delivered = log.acknowledged
        for _ in range(3):  # what is known to be behind; then a look; then what the look tells of a silent partition
            await folding.catch_up(log)
        await folding.flush()
        assert log.merged() == log.truth()

    _run(main())


def test_events_that_were_acknowledged_but_not_flushed_are_read_again() -> None:
    """Kafka goes on behind them; the rows do not."""

    async def main() -> None:
        log = Log()
        for i in range(10):
            log.request(i)
        first = await _owned(log)
        _deliver(first, log, range(10))
        log.acknowledged = 10
        second = await _owned(log)
        await second.flush()
        assert sum(totals.ok for totals in log.merged().values()) == 10

    _run(main())


def test_what_is_delivered_before_its_partition_is_ready_is_read_again() -> None:
    """It does not wait in memory; nothing hangs where the partition has gone meanwhile."""

    async def main() -> None:
        log = Log()
        log.request(0)
        log.request(1)
        folding = _folding(log)
        generation = folding.own([0])
        _deliver(folding, log, [0])
        assert (folding.folded, folding.ready) == (0, False)
        await folding.recover(generation, log.opened)
        assert (folding.folded, folding.ready) == (0, True)
        _deliver(folding, log, [1])
        assert folding.behind.is_set()
        await folding.catch_up(log)
        assert folding.folded == 2 * 2
        folding.own([])
        _deliver(folding, log, [0])
        await folding.catch_up(log)
        assert folding.folded == 2 * 2

    _run(main())


def test_no_cut_closes_below_the_rows_of_a_flush_that_broke_off() -> None:
    """Else a leader would see totals without the panes that belong to them, and compute what nobody can compute again."""

    async def main() -> None:
        log = Log()
        for i in range(6):
            log.request(i)
        first = await _owned(log)
        _deliver(first, log, range(2))
        await first.flush()
        _deliver(first, log, range(2, 6))
        await log.write(0, first._folds[0].flush()[:-1])
        log.acknowledged = 3
        second = await _owned(log)
        await second.flush()
        fences = {key: decode_row(key, value).fence for key, value in ((row.key, row.value) for row in log.memory.read("panes", 0, 0)) if value}
        assert set(fences.values()) == {5}

    _run(main())


def test_a_silent_partition_is_looked_behind() -> None:
    """What was acknowledged and never delivered, with nothing after it to show that it is missing."""

    async def main() -> None:
        log = Log()
        folding = await _owned(log)
        log.request(0)
        await folding.catch_up(log)
        assert folding.folded == 0
        await folding.catch_up(log)
        assert folding.folded == 2

    _run(main())


def test_recovery_that_is_superseded_leaves_no_state() -> None:
    """The partitions were revoked and came back while it was reading."""

    async def main() -> None:
        log = Log()
        folding = _folding(log)
        old = folding.own([0])
        new = folding.own([0])
        await folding.recover(old, log.opened)
        assert not folding.ready
        await folding.recover(new, log.opened)
        assert folding.ready

    _run(main())


def test_recovery_tries_again_until_the_log_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is away for a while loses nobody's partition."""
    monkeypatch.setattr("routecast.streams.folding._RETRY_S", 0.0)

    async def main() -> None:
        log = Log()
        log.closed, log.broken = 2, 3
        folding = await _owned(log)
        assert folding.ready
        assert (log.closed, log.broken) == (0, 0)

    _run(main())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "truncated"),
        (b"\xff\xfe\x00", "malformed"),
        (b"null", "got `null`"),
        (b"[" * 100_000, "expected `object`"),
        (b'{"type":"request.started"}', "missing required field"),
        (b'{"type":"nonsense","at_ms":1}', "Invalid value 'nonsense'"),
        (b"[" + b" " * MOST_RECORD_BYTES + b"]", "is larger than"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_garbage_is_buried_with_its_place_and_spoils_no_neighbour(value: bytes, reason: str) -> None:
    """Its neighbours count, it is counted as bad, and folding goes on."""

    async def main() -> None:
        log, buried = Log(), Buried()
        log.request(0)
        log.memory.append("events", value)
        log.request(1)
        folding = await _folded(log, buried)
        await folding.flush()
        assert sum(totals.ok for totals in log.merged().values()) == 2
        assert [place for place, *_ in buried] == ["events/0/1"]
        assert reason.lower() in buried[0][2].lower()

    _run(main())


def test_one_bad_object_does_not_spoil_its_array() -> None:
    """Only the bad one is buried, as it was written."""

    async def main() -> None:
        log, buried = Log(), Buried()
        good: list[Event] = [Completed(at_ms=T0, request_id="r", target="t", started_at_ms=T0, duration_ms=1.0, outcome="ok", start_reported=False)]
        log.memory.append("events", encode_events(good)[:-1] + b',{"type":"request.started","at_ms":-1}]')
        folding = await _folded(log, buried)
        await folding.flush()
        assert log.merged()["t"].ok == 1
        assert [value for _, value, _ in buried] == [b'{"type":"request.started","at_ms":-1}']

    _run(main())


def test_a_topic_of_events_that_was_made_anew_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Its offsets begin again, below those that the rows hold: new events would be taken for old ones without a word."""

    async def main() -> None:
        log = Log()
        for i in range(3):
            log.request(i)
        await (await _folded(log)).flush()
        rows = log.memory.read("panes", 0, 0)
        anew = Log()
        await anew.write(0, [(row.key, row.value) for row in rows])
        assert caplog.messages == []
        await _owned(anew)

    _run(main())
    (said,) = caplog.messages
    assert "events/0 ends at offset 0, but its rows hold events up to 2" in said
    assert "delete the topics panes and state" in said


def test_totals_rows_are_written_again_every_five_minutes() -> None:
    """So that the row of a stalled owner cannot outlive compaction."""

    async def main() -> None:
        log = Log()
        log.request(0)
        folding = await _owned(log)
        await folding.flush()
        written = log.memory.end("panes", 0)
        log.clock.at_ms += 1000 * (REFRESH_S - 1)
        await folding.flush()
        assert log.memory.end("panes", 0) == written
        log.clock.at_ms += 2000
        await folding.flush()
        assert [row.key for row in log.memory.read("panes", 0, written)] == [totals_key(0, 0)]

    _run(main())


def test_the_closing_row_follows_once_the_rows_before_it_are_confirmed() -> None:
    """A reader that sees it may trust what came before."""

    async def main() -> None:
        log, confirmed = Log(), asyncio.Event()
        log.request(0)

        async def slow(partition: int, rows: Iterable[Row]) -> None:
            await log.write(partition, rows)
            await confirmed.wait()

        folding = Folding(log.clock, slow, lambda *_: None)
        await folding.recover(folding.own([0]), log.opened)
        _deliver(folding, log, [0])
        flushing = asyncio.create_task(folding.flush())
        await asyncio.sleep(0)
        keys = [row.key for row in log.memory.read("panes", 0, 0)]
        assert keys
        assert totals_key(0, 0) not in keys
        confirmed.set()
        await flushing
        assert log.memory.read("panes", 0, 0)[-1].key == totals_key(0, 0)

    _run(main())
