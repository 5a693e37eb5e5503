"""A range of a recording, by append time or by offset, and its records in the order of their append times."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from routecast.streams.memory import Record
from routecast.streams.recordings.recording import Recording

Bound: TypeAlias = float | Mapping[int, int] | None
"""An append time, epoch ms; or an offset of each partition; None: none. Of a partition that is not named, everything is within the bound."""


class Range(NamedTuple):
    """From `begin` to before `end`."""

    begin: Bound = None
    end: Bound = None

    def records(self, recording: Recording, topic: str, partition: int, first: float = 0) -> Iterator[Record]:
        """The records of a partition within the range, from the offset `first` on, in the order of the log."""
        first, begin_ms = max(first, _offset(self.begin, partition, 0)), _ms(self.begin, -math.inf)
        last, end_ms = _offset(self.end, partition, math.inf), _ms(self.end, math.inf)
        for record in recording.records(topic, partition, int(first)):
            if record.offset >= last or record.append_ms >= end_ms:
                return
            if record.append_ms >= begin_ms:
                yield record

    def last_ms(self, recorded_ms: float) -> float:
        """The end in time of a recording of which the last record was appended at `recorded_ms`; later than that of an end in offsets."""
        return min(recorded_ms, _ms(self.end, math.inf))


EVERYTHING: Final = Range()


class Placed(NamedTuple):
    """A record and where it stands."""

    append_ms: float
    partition: int
    record: Record


def in_time(recording: Recording, topic: str, within: Range) -> Iterator[Placed]:
    """The records of all partitions, in the order of their append times. Memory: a part of each partition.

    Raises CheckFailed at a part that is damaged.
    """
    return heapq.merge(*(_placed(recording, topic, partition, within) for partition in recording.partitions(topic)), key=lambda placed: placed[:2])


def _placed(recording: Recording, topic: str, partition: int, within: Range) -> Iterator[Placed]:
    for record in within.records(recording, topic, partition):
        yield Placed(record.append_ms, partition, record)


def _offset(bound: Bound, partition: int, otherwise: float) -> float:
    return bound.get(partition, otherwise) if isinstance(bound, Mapping) else otherwise


def _ms(bound: Bound, otherwise: float) -> float:
    return otherwise if bound is None or isinstance(bound, Mapping) else bound
