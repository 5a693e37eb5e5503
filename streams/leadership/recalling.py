"""What a new leader recalls of the windows that others closed: hours of a day, and minutes of the hours that are not over.

It goes on beside leading: until then long windows are short, and say so. Nothing of it is part of a snapshot or a checkpoint.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from aiokafka.errors import KafkaError

from routecast.analytics.windows.history import HOUR_MS, LENGTHS_MS
from routecast.models.config import Kafka
from routecast.models.errors import DecodeError, RoutecastError
from routecast.models.metrics import CLOSED_WINDOWS, ClosedWindow, WindowRecord
from routecast.streams.brokers.reading import decoded, reader
from routecast.streams.leadership.windows import Windows
from routecast.streams.memory import Record
from routecast.streams.topics import METRICS, Topic

_RETRY_S: Final = 5.0
_log = logging.getLogger(__name__)


class Reader(Protocol):
    """What is needed of a log."""

    def stretch(self, topic: Topic, partition: int, first: int, end: int) -> AsyncIterator[Record]:
        """Records from an offset, or the oldest kept, to before another."""
        ...

    async def ends(self, topic: Topic, partitions: Sequence[int]) -> dict[int, int]:
        """Next offsets."""
        ...

    async def partitions(self, topic: Topic) -> list[int]:
        """Partitions of a topic."""
        ...

    async def since(self, topic: Topic, partition: int, at_ms: float) -> int:
        """Offset of the first record that was appended at this time or later."""
        ...


@asynccontextmanager
async def recalling(settings: Kafka, windows: Windows) -> AsyncGenerator[None]:
    """Recall beside whatever is done meanwhile; it ends with that."""
    task = asyncio.create_task(_always(settings, windows))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _always(settings: Kafka, windows: Windows) -> None:
    while True:
        try:
            async with reader(settings) as read:
                found = await recalled(read, windows.begin_ms)
            break
        except (KafkaError, RoutecastError, OSError):
            _log.warning("closed windows cannot be read; trying again", exc_info=True)
            await asyncio.sleep(_RETRY_S)
    for records in found:
        take_over(windows, records)
        await asyncio.sleep(0)  # a window of a thousand targets takes ten milliseconds
    windows.recalled()
    _log.info("recalled %d closed windows", len(found))


def take_over(windows: Windows, records: Sequence[WindowRecord]) -> None:
    """Take over one window; one that cannot be read is left out."""
    try:
        windows.recall([records])
    except DecodeError as error:
        _log.warning("window %s at %d cannot be read: %s", records[0].window, records[0].start_ms, error)


async def recalled(read: Reader, begin_ms: int) -> list[list[WindowRecord]]:
    """Of each closed window of a day before `begin_ms` the newest record of every subject.

    Hours, but the last that was published and what followed by the minute: an hour that nobody finished was never published.
    """
    day_ms = (begin_ms - LENGTHS_MS["24h"]) // HOUR_MS * HOUR_MS
    hours = await _newest(read, "1h", day_ms, begin_ms - HOUR_MS)
    last_ms = max(hours, default=day_ms)
    minutes = await _newest(read, "1m", last_ms, begin_ms - 1)
    found = [records for start_ms, records in hours.items() if start_ms < last_ms] + list(minutes.values())
    return [list(records.values()) for records in found]


async def _newest(read: Reader, window: ClosedWindow, from_ms: int, to_ms: int) -> dict[int, dict[str, WindowRecord]]:
    """By start, the records of the windows that start within [from_ms, to_ms]."""
    partitions = await read.partitions(METRICS)
    found: dict[int, dict[str, WindowRecord]] = {}
    if not partitions:
        return found
    partition = min(CLOSED_WINDOWS.index(window), len(partitions) - 1)
    first, end = await read.since(METRICS, partition, from_ms), (await read.ends(METRICS, [partition]))[partition]
    async for item in read.stretch(METRICS, partition, first, end):
        record = decoded(item.value, WindowRecord.decode)
        if record is not None and record.window == window and from_ms <= record.start_ms <= to_ms:
            _keep(found.setdefault(record.start_ms, {}), record)
    return found


def _keep(known: dict[str, WindowRecord], record: WindowRecord) -> None:
    before = known.get(record.key)
    if before is None or record.version >= before.version:
        known[record.key] = record
