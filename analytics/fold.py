"""The fold: events of one partition in offset order → pane rows and totals rows, with fences, watermark and lateness.

What makes it exact through redelivery, crashes and rebalances:

- a row carries its *fence*, the last offset applied to it; an offset at or below a row's fence is skipped for that row alone;
- the *watermark* is the latest event time seen, never ahead of the append time, stored with the totals: lateness and expiry are
  functions of offsets alone;
- a flush writes the dirty panes first and the totals row of chunk 0 last, which makes it a consistent cut;
- requests still open when their pane expires are booked `lost`, so what is in flight cannot leak.

Ordering: `apply` wants the offsets of a partition in rising order; an offset that comes again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from routecast.analytics.chunk import Chunk, chunk_of, newest
from routecast.analytics.experiments.arm_sums import ArmSums
from routecast.analytics.pane import Pane
from routecast.analytics.place import Place
from routecast.analytics.totals import book, judge, label
from routecast.models.events import Completed, Event, Feedback, Resources, RouterStats, Started
from routecast.models.rows import KEPT_MS, PANE_MS, SLOT_MS, SLOTS, PaneRow, RouterSeen, TotalsRow, encode_row, pane_key, totals_key

AHEAD_MS = 60_000
"""Events stamped further ahead of their append time than this are clamped to it."""

ROUTER_SEEN_MS = 30_000
"""A router that was silent for longer is gone."""

_MOST_WAITING = 50_000
"""Events of which durations may wait to be added up while nothing is flushed: 5 MB."""
_GONE = -1

Record = tuple[bytes, bytes | None]
"""Key and value for the changelog; None is a tombstone."""


class PartitionFold:
    """State of the fold for one partition."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.offset, self.watermark_ms = -1, 0.0
        self._chunks: list[Chunk] = [Chunk(0)]
        self._places: dict[str, Place] = {}
        self._turn_ms = PANE_MS
        """End of the pane of the watermark."""
        self._gone_ms = self._swept_ms = self._turn_ms - 2 * PANE_MS - KEPT_MS
        """Panes that start at or before the first have expired; up to the second they were looked through."""
        self._waiting, self._applying = 0, -1
        self._routers: dict[str, RouterSeen] = {}
        self._arms = ArmSums()
        self._events = self._bad = self._clamped = 0
        self._last_rows: list[Record] = []
        self._tombstones: list[bytes] = []

    @classmethod
    def restored(cls, partition: int, rows: Iterable[PaneRow | TotalsRow]) -> PartitionFold:
        """The fold as its newest rows tell it; `offset` is where reading the events goes on after."""
        fold = cls(partition)
        best = newest(rows)
        for totals in sorted((row for row in best if isinstance(row, TotalsRow)), key=lambda row: row.chunk):
            fold._restore_totals(totals)
        for row in best:
            if isinstance(row, PaneRow):
                fold._restore_pane(row)
        return fold

    def _restore_totals(self, row: TotalsRow) -> None:
        chunk = chunk_of(self._chunks, row.chunk)
        chunk.restore_totals(row)
        self._places |= {target: Place(target, chunk) for target in chunk.targets}
        if row.chunk == 0:
            self.offset = row.fence
            self._see(row.watermark_ms)
            self._swept_ms = self._gone_ms
            self._events, self._bad, self._clamped = row.events, row.bad, row.clamped
            self._routers = {seen.emitter: seen for seen in row.routers}
            self._arms = ArmSums(row.arms)

    def _restore_pane(self, row: PaneRow) -> None:
        if row.pane_ms <= self._gone_ms:
            self._tombstones.append(pane_key(self.partition, row.pane_ms, row.chunk))
        else:
            chunk_of(self._chunks, row.chunk).restore_pane(row)

    def apply(self, offset: int, append_ms: float, events: Sequence[Event], bad: int = 0) -> None:
        """Fold one record: its offset, the log's append time (epoch ms), its events and how many of its objects were bad."""
        if offset <= self.offset:
            return
        self._applying = offset
        self._count(offset, len(events), bad)
        for event in events:
            at_ms = event.at_ms
            if at_ms > append_ms:
                at_ms = self._ahead(at_ms, append_ms)
            elif at_ms > self.watermark_ms:
                self.watermark_ms = at_ms
                if at_ms >= self._turn_ms:
                    self._turn()
            if isinstance(event, Completed):
                self._completed(event, at_ms)
            elif isinstance(event, Started):
                self._started(event, at_ms)
            else:
                self._other(event, at_ms)
        self.offset = offset
        if self._gone_ms != self._swept_ms:
            self._expire()

    def _count(self, offset: int, events: int, bad: int) -> None:
        if offset > self._chunks[0].fence:
            self._events += events
            self._bad += bad
            self._chunks[0].dirty = True
        self._waiting += events
        if self._waiting > _MOST_WAITING:
            self._waiting = 0
            for chunk in self._chunks:
                chunk.settle()

    def _ahead(self, at_ms: float, append_ms: float) -> float:
        """When an event counts that is ahead of its append time."""
        self._see(append_ms)
        if at_ms <= append_ms + AHEAD_MS:
            return at_ms
        if self._applying > self._chunks[0].fence:
            self._clamped += 1
        return append_ms

    def _see(self, at_ms: float) -> None:
        """Let the watermark rise to this time."""
        if at_ms > self.watermark_ms:
            self.watermark_ms = at_ms
            if at_ms >= self._turn_ms:
                self._turn()

    def _turn(self) -> None:
        """The watermark has entered another pane: the oldest are gone."""
        pane_ms = int(self.watermark_ms) // PANE_MS * PANE_MS
        self._turn_ms, self._gone_ms = pane_ms + PANE_MS, pane_ms - PANE_MS - KEPT_MS
        self._close_places()
        for chunk in self._chunks:
            chunk.rest(pane_ms - PANE_MS)

    def _close_places(self) -> None:
        for place in self._places.values():
            place.close()

    def _other(self, event: Event, at_ms: float) -> None:
        if isinstance(event, Feedback):
            self._feedback(event, at_ms)
        elif isinstance(event, Resources):
            self._resources(event, at_ms)
        elif isinstance(event, RouterStats) and event.emitter:
            self._routers[event.emitter] = RouterSeen(event.emitter, at_ms, event.services)

    def _started(self, event: Started, at_ms: float) -> None:
        if (decision := event.decision) is not None and decision.arm:
            self._arms.started(event, at_ms, decision.arm)
        place = self._places.get(event.target) or self._place(event.target)
        half, first = int(at_ms) // SLOT_MS, event.attempt == 1
        index, pane = half - place.begin, place.pane
        if not 0 <= index < SLOTS:
            index, pane = self._elsewhere(place, half)
        if pane is not None:
            pane.started(index, first=first)
        if index < 0:
            self._late(place, at_ms, event)
        totals = place.totals or place.open_totals(self._applying)
        if totals is not None:
            label(totals, event)
            totals.started += 1
            if first:
                totals.first_attempts += 1
            if index < 0:
                totals.late += 1
                totals.lost += 1

    def _completed(self, event: Completed, at_ms: float) -> None:
        if (decision := event.decision) is not None and decision.arm:
            self._arms.completed(event, at_ms, decision.arm)
        place = self._places.get(event.target) or self._place(event.target)
        us, began_ms = round(event.duration_ms * 1000), event.started_at_ms
        half, start_half = int(at_ms) // SLOT_MS, int(min(at_ms, began_ms)) // SLOT_MS
        start_index, start_pane = start_half - place.begin, place.pane
        if not 0 <= start_index < SLOTS:
            start_index, start_pane = self._elsewhere(place, start_half)
        if start_pane is not None:
            start_pane.ended(start_index, event)
        index, pane = half - place.begin, place.pane
        if not 0 <= index < SLOTS:
            index, pane = self._elsewhere(place, half)
        if pane is not None:
            pane.completed(index, event, us)
        elif index < 0:
            self._late(place, at_ms, event)
        totals = place.totals or place.open_totals(self._applying)
        if totals is None:
            return
        label(totals, event)
        book(totals, event, us, at_ms)
        if not event.start_reported:
            totals.started += 1
            totals.first_attempts += event.attempt == 1
        elif start_index < 0:
            totals.lost -= 1
        totals.late += index < 0

    def _feedback(self, event: Feedback, at_ms: float) -> None:
        if event.arm:
            self._arms.judged(event, at_ms)
        place = self._places.get(event.target) or self._place(event.target)
        index, pane = self._elsewhere(place, int(min(event.completed_at_ms, at_ms)) // SLOT_MS)
        if pane is not None:
            pane.judged(event)
        elif index < 0:
            self._late(place, at_ms, event)
        totals = place.totals or place.open_totals(self._applying)
        if totals is not None:
            totals.late += index < 0
            judge(totals, event)

    def _late(self, place: Place, at_ms: float, event: Started | Completed | Feedback) -> None:
        """Show in the pane it came in what is too late for its own."""
        index, pane = self._elsewhere(place, int(at_ms) // SLOT_MS)
        if index < 0:
            _, pane = self._elsewhere(place, int(self.watermark_ms) // SLOT_MS)
        if pane is not None:
            pane.came_late(event)

    def _resources(self, event: Resources, at_ms: float) -> None:
        place = self._places.get(event.target) or self._place(event.target)
        _, pane = self._elsewhere(place, int(at_ms) // SLOT_MS)
        if pane is not None:
            pane.resources(event)

    def _place(self, target: str) -> Place:
        """The place of a target that is new here: in the first chunk that has room, as a torn flush may bring a later one back alone."""
        chunk = next((chunk for chunk in self._chunks if chunk.has_room), None) or chunk_of(self._chunks, len(self._chunks))
        chunk.add(target)
        place = self._places[target] = Place(target, chunk)
        return place

    def _elsewhere(self, place: Place, half: int) -> tuple[int, Pane | None]:
        """Index and pane of a half-second outside the place's pane; −1 where that has expired, no pane where its row holds this offset."""
        index = half % SLOTS
        pane_ms = (half - index) * SLOT_MS
        if pane_ms <= self._gone_ms:
            return _GONE, None
        pane = place.chunk.open_pane(place.target, pane_ms, self._applying)
        if pane is not None and pane_ms + PANE_MS == self._turn_ms:
            place.begin, place.pane = half - index, pane
        return index, pane

    def _expire(self) -> None:
        """Let go of what has become too old."""
        self._swept_ms = self._gone_ms
        for chunk in self._chunks:
            for pane_ms in sorted(p for p in chunk.panes if p <= self._gone_ms):
                self._let_go(chunk, pane_ms)
        silent_ms = self.watermark_ms - ROUTER_SEEN_MS
        self._routers = {emitter: seen for emitter, seen in self._routers.items() if seen.at_ms >= silent_ms}

    def _let_go(self, chunk: Chunk, pane_ms: int) -> None:
        key, pane_chunk = pane_key(self.partition, pane_ms, chunk.number), chunk.panes[pane_ms]
        if pane_chunk.dirty:  # else what a cut holds would depend on whether a flush came between the last change and the expiry
            self._last_rows.append((key, encode_row(chunk.pane_row(self.partition, pane_ms, self.offset))))
        self._tombstones.append(key)
        chunk.let_go(pane_ms, self.offset)

    @property
    def dirty(self) -> bool:
        """Whether a flush would write anything."""
        return any(chunk.dirty or any(pane.dirty for pane in chunk.panes.values()) for chunk in self._chunks)

    def flush(self, *, all_totals: bool = False) -> list[Record]:
        """Changed rows (and all totals rows where asked), the totals row of chunk 0 last, then tombstones: to be written in this order.

        The rows count as written: a writer whose write fails must give up this state and restore it from the changelog.
        """
        records = self._last_rows
        for chunk in self._chunks:
            dirty = [chunk.pane_row(self.partition, pane_ms, self.offset) for pane_ms, pane in sorted(chunk.panes.items()) if pane.dirty]
            records += [(pane_key(self.partition, row.pane_ms, chunk.number), encode_row(row)) for row in dirty]
        chunks = [chunk for chunk in reversed(self._chunks) if chunk.dirty or all_totals or chunk.number == 0]
        records += [(totals_key(self.partition, chunk.number), encode_row(self._totals_row(chunk))) for chunk in chunks]
        records += [(key, None) for key in self._tombstones]
        self._last_rows, self._tombstones, self._waiting = [], [], 0
        self._close_places()
        return records

    def _totals_row(self, chunk: Chunk) -> TotalsRow:
        row = chunk.totals_row(self.partition, self.offset, self.watermark_ms)
        if chunk.number == 0:
            row.events, row.bad, row.clamped = self._events, self._bad, self._clamped
            row.routers, row.arms = [self._routers[emitter] for emitter in sorted(self._routers)], self._arms.rows()
        return row
