"""How fresh what routers know is: from the moment something happened to the arrival of the first snapshot that counts it.

Exact, and from the log alone: a tick names the last offset of every partition that went into its snapshot, so the snapshot that first
counts an event is known, and each router's arrivals were noted when they were seen.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from routecast.models.config import Kafka
from routecast.models.events import Completed, Started, decode_events
from routecast.models.report import Freshness
from routecast.models.tick import TickRecord, decode_tick
from routecast.streams.brokers.reading import PartitionReader, decoded, reader
from routecast.streams.router import Router
from routecast.streams.topics import EVENTS, TICKS

Version = tuple[int, int]


class Arrivals:
    """When each router began to use which snapshot, as `look` sees it."""

    def __init__(self, routers: Sequence[Router]) -> None:
        self._routers = routers
        self._versions: list[list[Version]] = [[] for _ in routers]
        self._at_ms: list[list[float]] = [[] for _ in routers]

    def look(self) -> None:
        """Note what is new."""
        for router, versions, at_ms in zip(self._routers, self._versions, self._at_ms, strict=True):
            snapshot = router.snapshot
            if snapshot is not None and (not versions or snapshot.version > versions[-1]):
                versions.append(snapshot.version)
                at_ms.append(router.clock.now_ms())

    @property
    def silent(self) -> int:
        """Routers that were seen with no more than one snapshot."""
        return sum(len(versions) < 2 for versions in self._versions)

    def after(self, version: Version) -> list[float]:
        """For each router that got this snapshot or a later one: when, epoch ms."""
        found = ((bisect_left(versions, version), at_ms) for versions, at_ms in zip(self._versions, self._at_ms, strict=True))
        return [at_ms[i] for i, at_ms in found if i < len(at_ms)]


async def ends(settings: Kafka) -> dict[int, int]:
    """Per partition of the events, the offset that the next record will get. Raises Unreachable."""
    async with reader(settings) as read:
        return await read.ends(EVENTS, await read.partitions(EVENTS))


async def freshness(settings: Kafka, begin: Mapping[int, int], arrivals: Arrivals) -> Freshness | None:
    """Of all starts and ends on the log since `begin`; None where no router got a snapshot that counts one. Raises Unreachable."""
    async with reader(settings) as read:
        ticks = await _ticks(read)
        lags = [await _lags(read, partition, first, ticks, arrivals) for partition, first in begin.items()]
    return _spread(np.concatenate(lags)) if any(map(len, lags)) else None


async def _ticks(read: PartitionReader) -> list[TickRecord]:
    end = (await read.ends(TICKS, [0]))[0]
    records = [decoded(record.value, decode_tick) async for record in read.stretch(TICKS, 0, 0, end)]
    return sorted((it for it in records if isinstance(it, TickRecord)), key=lambda tick: (tick.term, tick.seq))


async def _lags(read: PartitionReader, partition: int, first: int, ticks: Sequence[TickRecord], arrivals: Arrivals) -> NDArray[np.float64]:
    counted = [tick.offsets.get(partition, -1) for tick in ticks]
    lags: list[float] = []
    end = (await read.ends(EVENTS, [partition]))[partition]
    async for record in read.stretch(EVENTS, partition, first, end):
        i = bisect_left(counted, record.offset)
        if i == len(ticks) or record.value is None:
            continue
        there_ms = arrivals.after((ticks[i].term, ticks[i].seq))
        events = decode_events(record.value)[0]
        lags += [at_ms - event.at_ms for event in events if isinstance(event, Started | Completed) for at_ms in there_ms]
    return np.array(lags)


def _spread(lags_ms: NDArray[np.float64]) -> Freshness:
    p50, p95, p99 = (float(value) for value in np.quantile(lags_ms, (0.5, 0.95, 0.99)))
    return Freshness(n=len(lags_ms), p50_ms=p50, p95_ms=p95, p99_ms=p99, max_ms=float(lags_ms.max()))
