"""A recording through the fold again: the live functions on recorded records at recorded times. No clock and no log.

Folding is a function of offsets, append times and events, so whoever folds the same records up to the same offset has the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from routecast.analytics.fold import PartitionFold
from routecast.analytics.fold import Record as Row
from routecast.analytics.merge import Merge
from routecast.analytics.totals import difference
from routecast.models.config import Config
from routecast.models.errors import CheckFailed
from routecast.models.events import BadEvent, Control, Event, Tripped, decode_events
from routecast.models.replay import TargetReplay
from routecast.models.rows import KEPT_MS, TargetTotals, decode_row
from routecast.models.tick import TickRecord
from routecast.streams.folding import MOST_RECORD_BYTES
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.leadership.leader import Leader, Message, trips_of, word_of
from routecast.streams.memory import Record
from routecast.streams.recordings.ranges import EVERYTHING, Range
from routecast.streams.recordings.recorder import expired
from routecast.streams.recordings.recording import BASE, Recording
from routecast.streams.topics import CONTROL, EVENTS, TRIPS

Rows = Mapping[bytes, bytes]
"""Newest value per key of a partition's changelog."""
Progress = Callable[[int, float], None]
"""Told now and then how many events were folded and the append time they have reached, epoch ms."""

_OFTEN = 64


class Replayed(NamedTuple):
    """What the recorded events say."""

    targets: tuple[TargetReplay, ...]
    events: int
    bad: int


class PartitionReplay:
    """One partition's fold, fed from a recording, and its rows as the changelog would hold them.

    Args:
        recording: the file.
        partition: of the events.
        rows: from where it begins; empty for the first event.
        told: called with how many events a record had and when it was appended.
        within: only these records.
    """

    def __init__(self, recording: Recording, partition: int, rows: Rows, told: Callable[[int, float], None], within: Range = EVERYTHING) -> None:
        self.partition = partition
        self.fold = PartitionFold.restored(partition, (decode_row(key, value) for key, value in rows.items()))
        self._rows = dict(rows)
        self._dead: set[bytes] = set()
        self._told = told
        self._records: Iterator[Record] = within.records(recording, EVENTS, partition, self.fold.offset + 1)
        self._waiting: Record | None = next(self._records, None)

    @property
    def next_ms(self) -> float:
        """When the next record was appended, epoch ms; infinite after the last."""
        return math.inf if self._waiting is None else self._waiting.append_ms

    def advance(self, offset: float, until_ms: float = math.inf) -> list[Row]:
        """Fold up to and with this offset, but only what was appended before `until_ms`; rows that changed, the closing one last."""
        before = self.fold.offset
        while (record := self._waiting) is not None and record.offset <= offset and record.append_ms < until_ms:
            events, bad = readable(record.value)
            self.fold.apply(record.offset, record.append_ms, events, len(bad))
            self._told(len(events), record.append_ms)
            self._waiting = next(self._records, None)
        if self.fold.offset == before and not self.fold.dirty:
            return []
        changed = self.fold.flush()
        self._dead.update(key for key, value in changed if value is None)
        self._rows.update((key, value) for key, value in changed if value is not None)
        return changed

    def forget(self, at_ms: float) -> None:
        """Let go of the rows that fold and leader have let go of at this time: whoever plays for long calls it now and then."""
        gone = {key for key in self._dead if expired(key, at_ms)}
        self._dead -= gone
        for key in gone:
            del self._rows[key]

    def rows(self, at_ms: float) -> Rows:
        """All rows, closing ones last; those that fold and leader have let go of at this time are left out."""
        self.forget(at_ms)
        return dict(sorted(self._rows.items(), key=lambda item: closing_last(item[0])))


def closing_last(key: bytes) -> tuple[bool, int]:
    """Sorts the rows of a partition as a flush writes them."""
    kind, *_, chunk = key.split(b"/")
    return kind == b"totals", -int(chunk)


def readable(value: bytes | None) -> tuple[list[Event], list[BadEvent]]:
    """The events of a record and what of it was bad, as workers see it."""
    if value is not None and len(value) > MOST_RECORD_BYTES:
        return [], [BadEvent(b"", "too large")]
    return decode_events(value or b"")


class Start(NamedTuple):
    """From what a leader began: everything it publishes follows from it, from its ticks and from operators' words."""

    config: Config
    term: int
    at_ms: float
    offsets: Mapping[int, int]
    """Per partition of the events, what its rows contained."""
    checkpoint: Checkpoint | None
    rows: Mapping[int, Rows]
    """Per partition, rows at these offsets or at earlier ones."""


class LeaderReplay:
    """A leader once more, and the folds behind it.

    Raises CheckFailed where the recording lacks events that the start or a tick names.
    """

    def __init__(self, recording: Recording, start: Start, told: Callable[[int, float], None]) -> None:
        self._recording, self._told = recording, told
        named = {*start.rows, *start.offsets, *recording.partitions(EVENTS)}
        self._partitions = {p: PartitionReplay(recording, p, start.rows.get(p, {}), told) for p in sorted(named)}
        self._words = operators_words(recording)
        self._word = next(self._words, None)
        self._trips = routers_words(recording)
        self._trip = next(self._trips, None)
        for _ in self._advance(start.offsets):
            pass
        merge = Merge()
        for rows in self.rows(start.at_ms, start.offsets).values():
            for key, value in rows.items():
                merge.add(key, value)
        self._leader = Leader(start.config, start.term, start.at_ms, merge, start.checkpoint)

    def _advance(self, offsets: Mapping[int, int]) -> Iterator[Row]:
        """Rows that changed up to these offsets, partition by partition."""
        for partition, offset in offsets.items():
            found = self._partitions.get(partition) or self._partitions.setdefault(partition, PartitionReplay(self._recording, partition, {}, self._told))
            changed = found.advance(offset)
            if found.fold.offset != offset:
                raise CheckFailed(f"a tick names {EVENTS}/{partition}/{offset}, which is not in the file")
            yield from changed

    def tick(self, tick: TickRecord) -> list[Message]:
        """Do what the leader did up to this tick; what it published."""
        for look in tick.looks:
            self._take(look.offsets)
            self._leader.look(look.at_ms)
        self._take(tick.offsets)
        while self._word is not None and self._word[0] <= tick.control:
            self._leader.hear(*self._word)
            self._word = next(self._words, None)
        while self._trip is not None and self._trip[0] <= tick.trips:
            self._leader.heed(*self._trip)
            self._trip = next(self._trips, None)
        return self._leader.tick(tick.at_ms)

    def _take(self, offsets: Mapping[int, int]) -> None:
        for key, value in self._advance(offsets):
            self._leader.take(key, value)

    def checkpoint(self) -> bytes:
        """The checkpoint after the last tick."""
        return self._leader.checkpoint().value

    def rows(self, at_ms: float, partitions: Iterable[int]) -> dict[int, Rows]:
        """The rows of these partitions as they are now, for a leader at this time."""
        return {partition: self._partitions[partition].rows(at_ms) for partition in partitions}


def operators_words(recording: Recording) -> Iterator[tuple[int, Control | None]]:
    """What operators said, as leaders hear it, with the offset."""
    for record in recording.records(CONTROL, 0):
        if record.value is not None:
            yield record.offset, word_of(record.value)[0]


def routers_words(recording: Recording) -> Iterator[tuple[int, float, Sequence[Tripped]]]:
    """What routers said of their breakers, as leaders hear it, with offset and append time."""
    for record in recording.records(TRIPS, 0):
        yield record.offset, record.append_ms, trips_of(record.value or b"")[0]


def base_rows(recording: Recording) -> dict[int, Rows]:
    """Per partition, the rows from which the recording begins; none where it begins with the first event."""
    return {p: {record.key: record.value or b"" for record in recording.records(BASE, p)} for p in recording.partitions(BASE)}


class Count:
    """Counts events and tells about it now and then."""

    def __init__(self, progress: Progress) -> None:
        self.events = 0
        self._records = 0
        self._progress = progress

    def __call__(self, events: int, at_ms: float) -> None:
        """Count the events of one record."""
        self.events += events
        self._records += 1
        if self._records % _OFTEN == 0:
            self._progress(self.events, at_ms)


def replay(recording: Recording, progress: Progress, within: Range = EVERYTHING) -> Replayed:
    """Fold the events of a recording, or of a range of it; what they add up to."""
    base = base_rows(recording) if within.begin is None else {}
    before, after = Merge(), Merge()
    count = Count(progress)
    for partition in sorted({*base, *recording.partitions(EVENTS)}):
        rows = base.get(partition, {})
        for key in sorted(rows, key=closing_last):
            before.add(key, rows[key])
            after.add(key, rows[key])
        for key, value in _totals(PartitionReplay(recording, partition, rows, count, within)):
            after.add(key, value)
    old, new = before.target_totals(), after.target_totals()
    targets = tuple(_target(difference(totals, old.get(name))) for name, totals in new.items())
    return Replayed(targets, count.events, _bad(after) - _bad(before))


def _totals(partition: PartitionReplay) -> Iterator[Row]:
    """Its totals rows, stretch by stretch of recorded time, so that no row is kept for longer than it must."""
    while partition.next_ms < math.inf:
        at_ms = partition.next_ms + KEPT_MS
        yield from (row for row in partition.advance(math.inf, at_ms) if row[0].startswith(b"totals/"))
        partition.forget(at_ms)


def _bad(merge: Merge) -> int:
    return sum(row.bad for row in merge.totals.values())


def _target(new: TargetTotals) -> TargetReplay:
    return TargetReplay(
        target=new.target, started=new.started, ok=new.ok, error=new.error, timeout=new.timeout, rate_limited=new.rate_limited,
        cancelled=new.cancelled, caller_fault=new.caller_fault, mean_ok_ms=new.ok_us / new.ok / 1000 if new.ok else None,
    )  # fmt: skip
