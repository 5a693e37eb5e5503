"""The folds of the partitions that this worker owns: recovery from the log, folding, flushing. No Faust in here.

Delivery: every event of the log counts exactly once in the rows, whatever is delivered again, skipped or taken over. A partition's
state is always rebuilt from its rows and from the events behind them, never from acknowledgements: Kafka's committed offset may run
ahead of what was flushed. Ordering: offsets of a partition rise; a gap is read again from the log. Lost in a crash: nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from routecast.analytics.fold import PartitionFold
from routecast.analytics.fold import Record as Row
from routecast.models.events import decode_events
from routecast.models.rows import PaneRow, TotalsRow, decode_row, totals_key
from routecast.streams.clock import Clock
from routecast.streams.memory import Record
from routecast.streams.topics import EVENTS, PANES, STATE, Topic

REFRESH_S = 300.0
"""How often an owner writes its totals rows again, so that a stale row of a stalled owner cannot survive compaction."""
MOST_RECORD_BYTES = 16 * 1024 * 1024
"""A larger record, once decompressed, is bad as a whole."""
_RETRY_S = 0.3
_MADE_ANEW = (
    "%s/%d ends at offset %d, but its rows hold events up to %d: the topic was made anew, or brokers lost records. New events do not count before "
    "they get there: stop all workers, delete the topics %s and %s, and start the workers"
)

_log = logging.getLogger(__name__)


class Reader(Protocol):
    """What recovery needs of a log."""

    def stretch(self, topic: Topic, partition: int, first: int, end: int) -> AsyncIterator[Record]:
        """Records from an offset to before another."""
        ...

    async def ends(self, topic: Topic, partitions: list[int]) -> dict[int, int]:
        """Next offsets."""
        ...

    async def committed(self, topic: Topic, partition: int) -> int:
        """Where the group goes on."""
        ...


Write = Callable[[int, Iterable[Row]], Awaitable[None]]
"""Writes rows of a partition, in order; returns once the log has confirmed all of them."""
Bury = Callable[[str, bytes, str], None]
"""Dead-letters: place, value, reason."""


class Folding:
    """Folds by partition. All methods belong to one event loop."""

    def __init__(self, clock: Clock, write: Write, bury: Bury) -> None:
        self._clock = clock
        self._write = write
        self._bury = bury
        self._folds: dict[int, PartitionFold] = {}
        self.owned: frozenset[int] = frozenset()
        """Partitions that this worker owns."""
        self._generation = 0
        self.behind = asyncio.Event()
        """Set while something was delivered that could not be folded yet: `catch_up` reads it again."""
        self._delivered: dict[int, int] = {}  # where reading again may stop
        self._seen: dict[int, int] = {}  # offset of each partition at the last look for silent ones
        self._refresh_at_s: dict[int, float] = {}
        self.folded = 0
        """Events folded since the start, those read again included."""
        self.bad = 0
        """What could not be read, counted likewise."""

    def own(self, partitions: Iterable[int]) -> int:
        """Own exactly these partitions, none of them ready; the generation to recover with."""
        self._generation += 1
        self.owned = frozenset(partitions)
        self._folds.clear()
        self._delivered.clear()
        return self._generation

    async def recover(self, generation: int, opened: Callable[[], AbstractAsyncContextManager[Reader]]) -> None:
        """Make the owned partitions ready, unless the generation is over; tries again until it works, each time with a reader of its own."""
        left = sorted(self.owned)
        while left and generation == self._generation:
            try:
                async with opened() as read:
                    while left and generation == self._generation:
                        fold = await self._recovered(left[0], read)
                        if generation == self._generation:
                            self._folds[fold.partition] = fold
                        del left[0]
            except Exception:  # noqa: BLE001 - the log may be away for long; Faust would swallow what is raised here
                _log.warning("partitions %s cannot be recovered yet, trying again", left, exc_info=True)
                await asyncio.sleep(_RETRY_S)

    async def _recovered(self, partition: int, read: Reader) -> PartitionFold:
        rows: dict[bytes, PaneRow | TotalsRow] = {}
        end = (await read.ends(PANES, [partition]))[partition]
        async for record in read.stretch(PANES, partition, 0, end):
            _keep(rows, record)
        fold = PartitionFold.restored(partition, rows.values())
        first, end = fold.offset + 1, (await read.ends(EVENTS, [partition]))[partition]
        if end < first:
            _log.error(_MADE_ANEW, EVENTS, partition, end, fold.offset, PANES, STATE)
        torn = max((row.fence for row in rows.values()), default=-1) + 1  # a flush that broke off left rows ahead of the totals: no cut may close below them
        async for record in read.stretch(EVENTS, partition, first, min(end, max(torn, await read.committed(EVENTS, partition)))):
            self._apply(fold, record)
        _log.info("partition %d recovered: %d rows up to offset %d, events up to %d", partition, len(rows), first - 1, fold.offset)
        return fold

    def fold(self, partition: int, record: Record) -> None:
        """Fold one record of an owned partition that is ready, if it is the next one.

        One that comes too early is left to `catch_up`: it need not wait in memory, the log has it.
        """
        fold = self._folds.get(partition)
        if fold is None or record.offset <= fold.offset:
            return
        if record.offset == fold.offset + 1:
            self._apply(fold, record)
        else:
            self._delivered[partition] = record.offset + 1
            self.behind.set()

    async def catch_up(self, read: Reader) -> None:
        """Read again what was delivered too early, and look behind partitions that have been silent since the last call: acknowledged is not folded."""
        self.behind.clear()
        for partition, fold in list(self._folds.items()):
            end = self._delivered.pop(partition, 0)
            if not end and self._seen.get(partition) == fold.offset:
                end = (await read.ends(EVENTS, [partition]))[partition]
            self._seen[partition] = fold.offset
            if end > fold.offset + 1:
                await self._again(fold, end, read)

    async def _again(self, fold: PartitionFold, end: int, read: Reader) -> None:
        """Offsets that the log has no records for (older than its retention) are simply not there."""
        async for record in read.stretch(EVENTS, fold.partition, fold.offset + 1, end):
            if self._folds.get(fold.partition) is not fold:
                return
            if record.offset > fold.offset:
                self._apply(fold, record)

    def _apply(self, fold: PartitionFold, record: Record) -> None:
        value = record.value or b""
        place = f"{EVENTS}/{fold.partition}/{record.offset}"
        if len(value) > MOST_RECORD_BYTES:
            fold.apply(record.offset, record.append_ms, [], 1)
            self.bad += 1
            self._bury(place, value, f"record of {len(value)} bytes is larger than {MOST_RECORD_BYTES}")
            return
        events, bad = decode_events(value)
        fold.apply(record.offset, record.append_ms, events, len(bad))
        self.folded += len(events)
        self.bad += len(bad)
        for item in bad:
            self._bury(place, item.raw, item.reason)

    async def flush(self) -> None:
        """Write what has changed, each partition's closing row only when the log has confirmed the rows before it."""
        now_s = self._clock.monotonic_s()
        for partition, fold in list(self._folds.items()):
            if self._folds.get(partition) is not fold:
                continue
            stale = now_s >= self._refresh_at_s.setdefault(partition, now_s + REFRESH_S)
            if stale:
                self._refresh_at_s[partition] = now_s + REFRESH_S
            if stale or fold.dirty:
                await self._flush(partition, fold.flush(all_totals=stale))

    async def _flush(self, partition: int, rows: list[Row]) -> None:
        closing = next(i for i, (key, _) in enumerate(rows) if key == totals_key(partition, 0))
        await self._write(partition, rows[:closing])
        await self._write(partition, rows[closing:])

    @property
    def reached(self) -> dict[int, int]:
        """The last offset that is folded, of every partition that is ready."""
        return {partition: fold.offset for partition, fold in self._folds.items()}

    @property
    def ready(self) -> bool:
        """Whether every owned partition is."""
        return len(self._folds) == len(self.owned)


def _keep(rows: dict[bytes, PaneRow | TotalsRow], record: Record) -> None:
    """Take a row of the changelog, the higher fence winning."""
    if record.value is None:
        rows.pop(record.key, None)
        return
    try:
        row = decode_row(record.key, record.value)
    except msgspec.DecodeError:
        _log.warning("changelog record %r is not a row and is left out", record.key)
        return
    known = rows.get(record.key)
    if known is None or row.fence >= known.fence:
        rows[record.key] = row
