"""A stretch of a log into a file: what was appended between two times or offsets, to be looked at, exported and replayed.

It begins with nothing, not with a checkpoint: what was published then follows from more than it holds, and is not verified. Delivery: each record
once, in the order of its partition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from routecast.models.errors import CheckFailed
from routecast.streams.recordings.ranges import Bound, Range
from routecast.streams.recordings.recorder import Reader, States
from routecast.streams.recordings.recording import RecordingWriter
from routecast.streams.topics import CONTROL, EVENTS, STATE, TICKS, TRIPS, Topic

_BESIDE: Final[tuple[Topic, ...]] = (CONTROL, TRIPS, TICKS)


class TimedReader(Reader, Protocol):
    """A log that knows what was appended when."""

    async def since(self, topic: Topic, partition: int, at_ms: float) -> int:
        """Offset of the first record that was appended at this time, epoch ms, or later; the end where there is none."""
        ...


async def record_range(read: TimedReader, out: RecordingWriter, within: Range, tell: Callable[[int, float], None] = lambda *_: None) -> None:
    """Record the events within the range that are on the log now, and of the same time words, trips and ticks; and all configurations.

    `tell` hears how many events were recorded and the append time they have reached, epoch ms. Raises CheckFailed where there is no event within.
    """
    first_ms, last_ms = math.inf, -math.inf
    for partition in await read.partitions(EVENTS):
        first, end = await _stretch(read, EVENTS, partition, within)
        async for record in read.stretch(EVENTS, partition, first, end):
            out.add(EVENTS, partition, record)
            first_ms, last_ms = min(first_ms, record.append_ms), max(last_ms, record.append_ms)
            tell(out.events, record.append_ms)
    if first_ms > last_ms:
        raise CheckFailed("no event was appended within this range: see the oldest and newest with `routecast tail events`")
    for record in (await States.of(read)).others:
        out.add(STATE, 0, record)
    beside = Range(_time(within.begin, first_ms), _time(within.end, last_ms + 1.0))
    for topic in _BESIDE:
        for partition in await read.partitions(topic):
            first, end = await _stretch(read, topic, partition, beside)
            async for record in read.stretch(topic, partition, first, end):
                out.add(topic, partition, record)


async def _stretch(read: TimedReader, topic: Topic, partition: int, within: Range) -> tuple[int, int]:
    """First offset, and the one before which to end."""
    newest = (await read.ends(topic, [partition]))[partition]
    ends = [bound if bound is None or isinstance(bound, Mapping) else await read.since(topic, partition, bound) for bound in within]
    first, end = (bound.get(partition) if isinstance(bound, Mapping) else bound for bound in ends)
    return first or 0, newest if end is None else min(end, newest)


def _time(bound: Bound, otherwise: float) -> float | None:
    """Of topics beside the events: where the bound is in offsets, the times of the events that were recorded."""
    return otherwise if isinstance(bound, Mapping) else bound
