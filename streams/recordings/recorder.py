"""From a log into a file: everything that is needed to compute later snapshots again.

Delivery: each record once, in the order of its partition; after a failure of the log it goes on where it stopped. Consistency: whatever a
recorded tick or checkpoint names is recorded too, whenever the recording ends. Lost when the recorder is killed: the whole file, as its
directory is written last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import msgspec
from aiokafka.errors import KafkaError

from routecast.models.errors import CheckFailed, DecodeError
from routecast.models.manifest import Base
from routecast.models.rows import KEPT_MS, PANE_MS, TotalsRow, decode_row
from routecast.models.tick import TickRecord, decode_tick
from routecast.streams.brokers.reading import decoded
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.memory import Record
from routecast.streams.recordings.recording import BASE, RecordingWriter
from routecast.streams.topics import CONTROL, EVENTS, PANES, STATE, TICKS, TRIPS, Topic

ROUND_S = 1.0
"""Time between two looks at the log."""
READABLE_MS: Final = KEPT_MS - 60_000.0
"""How old a checkpoint may be to begin with: the changelog keeps every row for ten minutes after a newer one came."""
_RETRY_S = 2.0
_BACK = 64
"""Ticks to look back at first for that of the checkpoint."""
_GRACE_S = 5.0
"""How long a stop waits for what is on the log by then."""
_TOPICS: Final[tuple[Topic, ...]] = (STATE, TICKS, CONTROL, TRIPS, EVENTS)
"""What names something before what is named."""

From = Literal["newest", "oldest", "beginning"]

_log = logging.getLogger(__name__)


class Reader(Protocol):
    """What a recorder needs of a log."""

    def stretch(self, topic: Topic, partition: int, first: int, end: int) -> AsyncIterator[Record]:
        """Records from an offset, or the oldest kept, to before another."""
        ...

    async def ends(self, topic: Topic, partitions: Sequence[int]) -> dict[int, int]:
        """Next offsets."""
        ...

    async def partitions(self, topic: Topic) -> list[int]:
        """Partitions of a topic."""
        ...


class Progress(NamedTuple):
    """How far a recording is."""

    events: int
    at_ms: float
    """When the last recorded event was appended; 0 before the first."""


class Recorder:
    """Copies a log into a recording.

    Args:
        read: the log.
        out: the file, which the caller closes.
        begin: the newest checkpoint, the oldest one whose rows can still be read, or the beginning of the log.
        within_ms: how much older than the newest the oldest may be.

    Memory: that of the writer, and the rows of the fold while it begins.
    """

    def __init__(self, read: Reader, out: RecordingWriter, begin: From = "newest", within_ms: float = READABLE_MS) -> None:
        self._read = read
        self._out = out
        self._begin: From = begin
        self._within_ms = within_ms
        self._next: dict[tuple[Topic, int], int] = {}
        self._reached_ms = 0.0

    async def begin(self) -> None:
        """Find where to begin and write the base. Raises CheckFailed where there is no such place."""
        places = await States.of(self._read)
        chosen = places.choose(self._begin, self._within_ms)
        for record in places.configurations(chosen):
            self._add(STATE, 0, record)
        if chosen is None:
            return
        checkpoint = await self._checkpoint(chosen)
        self._out.base = Base(term=checkpoint.term, seq=checkpoint.seq, at_ms=checkpoint.at_ms, offsets=checkpoint.offsets)
        for partition, offset in checkpoint.offsets.items():
            for record in await cut(self._read, partition, offset, checkpoint.at_ms):
                self._out.add(BASE, partition, record)
            self._next[EVENTS, partition] = offset + 1
        self._next[CONTROL, 0] = checkpoint.control + 1
        self._next[TRIPS, 0] = checkpoint.trips + 1
        self._next[TICKS, 0] = await _tick_of(self._read, checkpoint)

    async def _checkpoint(self, offset: int) -> Checkpoint:
        found = [record async for record in self._read.stretch(STATE, 0, offset, offset + 1)]
        checkpoint = decoded(found[0].value, Checkpoint.decode) if found else None
        if checkpoint is None:
            raise CheckFailed(f"the checkpoint at {STATE}/0/{offset} cannot be read: wait half a minute for the next one, or use --from beginning")
        self._add(STATE, 0, found[0])
        return checkpoint

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return Progress(self._out.events, self._reached_ms)

    async def copy(self) -> None:
        """Record everything that has come since the last time."""
        ends: list[tuple[Topic, int, int]] = []
        for topic in _TOPICS:
            for partition, end in (await self._read.ends(topic, await self._read.partitions(topic))).items():
                ends.append((topic, partition, end))
        for topic, partition, end in reversed(ends):  # so that the file never names what it lacks, even if this is cut short
            first = self._next.get((topic, partition), 0)
            if first < end:
                async for record in self._read.stretch(topic, partition, first, end):
                    self._add(topic, partition, record)
                self._next[topic, partition] = end

    def _add(self, topic: Topic, partition: int, record: Record) -> None:
        self._out.add(topic, partition, record)
        self._next[topic, partition] = record.offset + 1
        if topic == EVENTS:
            self._reached_ms = max(self._reached_ms, record.append_ms)

    async def follow(self, stop: asyncio.Event) -> None:
        """Record until `stop` is set, and then what is on the log by then. A log that is away for a while is waited for."""
        stopped = asyncio.create_task(stop.wait())
        copying = asyncio.create_task(self._try_copy())
        while not stopped.done():
            await asyncio.wait({copying, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if copying.done():
                await asyncio.wait({stopped}, timeout=copying.result())
                copying = asyncio.create_task(self._try_copy())
        await asyncio.wait({copying}, timeout=_GRACE_S)
        copying.cancel()
        (result,) = await asyncio.gather(copying, return_exceptions=True)
        if isinstance(result, Exception):
            raise result

    async def _try_copy(self) -> float:
        """Seconds to wait before the next time."""
        try:
            await self.copy()
        except (KafkaError, OSError) as error:
            _log.warning("the log cannot be read (%s), trying again", error)
            return _RETRY_S
        return ROUND_S


class States(NamedTuple):
    """Where what is in the topic `state`; values of configurations alone, which are few."""

    checkpoints: list[tuple[int, float]]
    """(offset, append time)."""
    others: list[Record]

    @classmethod
    async def of(cls, read: Reader) -> States:
        """Read the topic."""
        states = cls([], [])
        if await read.partitions(STATE):
            async for record in read.stretch(STATE, 0, 0, (await read.ends(STATE, [0]))[0]):
                if record.key == b"checkpoint" and record.value is not None:
                    states.checkpoints.append((record.offset, record.append_ms))
                elif record.key != b"checkpoint":
                    states.others.append(record)
        return states

    def choose(self, begin: From, within_ms: float = READABLE_MS) -> int | None:
        """Offset of the checkpoint to begin with; None for the beginning of the log."""
        if begin == "beginning" or not self.checkpoints:
            return None
        newest, newest_ms = self.checkpoints[-1]
        return newest if begin == "newest" else next(offset for offset, at_ms in self.checkpoints if at_ms >= newest_ms - within_ms)

    def configurations(self, before: int | None) -> list[Record]:
        """Configurations that were logged before this offset; none where the recording begins with the log, which tells them itself."""
        return [] if before is None else [record for record in self.others if record.offset < before]


async def cut(read: Reader, partition: int, offset: int, at_ms: float) -> list[Record]:
    """The rows of a partition as they were when they contained the events up to this offset, the closing one last.

    Rows that the fold and a leader at `at_ms` have let go of are left out. Raises CheckFailed where the changelog no longer tells.
    """
    rows: dict[bytes, tuple[int, Record]] = {}
    dead: set[bytes] = set()
    async for record in read.stretch(PANES, partition, 0, (await read.ends(PANES, [partition]))[partition]):
        if record.value is None:
            dead.add(record.key)
            continue
        try:
            row = decode_row(record.key, record.value)
        except msgspec.DecodeError:
            continue
        if row.fence <= offset and (record.key not in rows or row.fence >= rows[record.key][0]):
            rows[record.key] = (row.fence, record)
        if isinstance(row, TotalsRow) and row.chunk == 0 and row.fence == offset:
            return [kept for _, kept in sorted(rows.values(), key=lambda item: item[1].offset) if not (kept.key in dead and expired(kept.key, at_ms))]
    raise CheckFailed(
        f"the changelog {PANES}/{partition} no longer holds the rows at offset {offset}: begin with the newest checkpoint (--from newest), "
        "or wait half a minute for the next one"
    )


def expired(key: bytes, at_ms: float) -> bool:
    """Whether this pane row is too old for a leader that ticks at this time."""
    return int(key.split(b"/")[2]) + PANE_MS <= at_ms - KEPT_MS


async def _tick_of(read: Reader, checkpoint: Checkpoint) -> int:
    """Offset of the tick after which the checkpoint was taken, or of the oldest tick there is."""
    end, back = (await read.ends(TICKS, [0]))[0], _BACK
    while True:
        async for record in read.stretch(TICKS, 0, max(0, end - back), end):
            try:
                tick = decode_tick(record.value or b"")
            except DecodeError:
                continue
            if isinstance(tick, TickRecord) and (tick.term, tick.seq) == (checkpoint.term, checkpoint.seq):
                return record.offset
        if back >= end:
            return 0
        back *= 8
