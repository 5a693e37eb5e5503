"""The embedded log `memory://`: partitions, offsets and append times in this process, for one process's routing and for tests.

Guarantees: a partition keeps the order of its appends, offsets are dense from 0, append times never go back. Nothing survives the
process. Records stay until `trim` drops the oldest (offsets go on), which whoever drives the log calls once all have been read.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

from routecast.streams.clock import Clock


class Record(NamedTuple):
    """One record as it was appended."""

    offset: int
    append_ms: float
    key: bytes
    value: bytes | None
    """None is a tombstone."""


class _Partition:
    __slots__ = ("end", "records", "size")

    def __init__(self) -> None:
        self.records: deque[Record] = deque()
        self.end = 0
        self.size = 0
        """Bytes of the values that are kept."""


class MemoryLog:
    """A log of named topics. Safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self._lock = threading.Lock()
        self._last_ms = 0.0

    def append(self, topic: str, value: bytes | None, *, key: bytes = b"", partition: int = 0) -> int:
        """Append a record; its offset."""
        with self._lock:
            self._last_ms = max(self._last_ms, self._clock.now_ms())
            found = self._partition(topic, partition)
            found.records.append(Record(found.end, self._last_ms, key, value))
            found.end += 1
            found.size += len(value or b"")
            return found.end - 1

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> list[Record]:
        """At most `limit` records from this offset on, or from the oldest kept; none when there is nothing new."""
        with self._lock:
            found = self._partition(topic, partition)
            fresh = found.end - max(offset, found.end - len(found.records))
            if fresh <= 0:
                return []
            first = len(found.records) - fresh
            return [found.records[i] for i in range(first, min(first + limit, len(found.records)))]

    def end(self, topic: str, partition: int) -> int:
        """The offset that the next record of this partition will get."""
        with self._lock:
            return self._partition(topic, partition).end

    def partitions(self, topic: str) -> list[int]:
        """Partitions of a topic that have ever been used."""
        with self._lock:
            return sorted(partition for name, partition in self._partitions if name == topic)

    def trim(self, kept: int, fewer: Mapping[str, int] | None = None, roomy: Mapping[str, int] | None = None) -> None:
        """Drop the oldest records of every partition that holds more than `kept`, or than what `fewer` says for its topic.

        Of the topics in `roomy` more stay, as many as have no more bytes in a partition than it says.
        """
        limits, bytes_of = fewer or {}, roomy or {}
        with self._lock:
            for (topic, _), partition in self._partitions.items():
                most, room = limits.get(topic, kept), bytes_of.get(topic, 0)
                while len(partition.records) > most and partition.size > room:
                    partition.size -= len(partition.records.popleft().value or b"")

    def _partition(self, topic: str, partition: int) -> _Partition:
        key = (topic, partition)
        found = self._partitions.get(key)
        if found is None:
            found = self._partitions[key] = _Partition()
        return found


class MemoryReader:
    """Reads the embedded log as `routecast.streams.brokers.reading.PartitionReader` reads Kafka."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def stretch(self, topic: str, partition: int, first: int, end: int) -> AsyncIterator[Record]:
        """The records of a partition from offset `first` to before `end`, or from the oldest that is kept."""
        while first < end and (records := self._log.read(topic, partition, first)):
            for record in records:
                if record.offset >= end:
                    return
                yield record
            first = records[-1].offset + 1

    async def ends(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """Per partition, the offset that the next record will get."""
        return {partition: self._log.end(topic, partition) for partition in partitions}

    async def since(self, topic: str, partition: int, at_ms: float) -> int:
        """The offset of the first record of a partition that was appended at this time (epoch ms) or later; the end where there is none."""
        records = self._log.read(topic, partition, 0, limit=self._log.end(topic, partition))
        return next((record.offset for record in records if record.append_ms >= at_ms), self._log.end(topic, partition))

    async def partitions(self, topic: str) -> list[int]:
        """Partitions of a topic; none where nothing was ever written to it."""
        return self._log.partitions(topic)
