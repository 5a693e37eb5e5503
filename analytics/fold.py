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

import math
from collections.abc import Iterable, Sequence
from copy import copy

from routecast.analytics.chunk import Chunk, PaneChunk
from routecast.analytics.pane import Pane, ln_ms
from routecast.analytics.totals import book, judge
from routecast.models.events import Completed, Event, Feedback, Resources, RouterStats, Started
from routecast.models.rows import CHUNK_TARGETS, KEPT_MS, PANE_MS, PaneRow, RouterSeen, TargetTotals, TotalsRow, encode_row, pane_key, totals_key

AHEAD_MS = 60_000
"""Events stamped further ahead of their append time than this are clamped to it."""

ROUTER_SEEN_MS = 30_000
"""A router that was silent for longer is gone."""

Record = tuple[bytes, bytes | None]
"""Key and value for the changelog; None is a tombstone."""


class PartitionFold:
    """State of the fold for one partition."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.offset = -1
        self.watermark_ms = 0.0
        self._chunks: list[Chunk] = [Chunk(0)]
        self._chunk_of: dict[str, Chunk] = {}
        self._gone_ms = -math.inf
        """Panes that start at or before this have expired."""
        self._swept = -math.inf  # the boundary at which panes were last looked through
        self._routers: dict[str, RouterSeen] = {}
        self._events = self._bad = self._clamped = 0
        self._last_rows: list[Record] = []
        self._tombstones: list[bytes] = []
        self._applying = -1

    @classmethod
    def restored(cls, partition: int, rows: Iterable[PaneRow | TotalsRow]) -> PartitionFold:
        """The fold as its newest rows tell it; `offset` is where reading the events goes on after."""
        fold = cls(partition)
        best: dict[tuple[int, int], PaneRow | TotalsRow] = {}
        for row in rows:
            key = (row.pane_ms if isinstance(row, PaneRow) else -1, row.chunk)
            if key not in best or row.fence >= best[key].fence:
                best[key] = row
        for row in sorted((r for r in best.values() if isinstance(r, TotalsRow)), key=lambda r: r.chunk):
            fold._restore_totals(row)
        for row in best.values():
            if isinstance(row, PaneRow):
                fold._restore_pane(row)
        return fold

    def _restore_totals(self, row: TotalsRow) -> None:
        chunk = self._chunk(row.chunk)
        chunk.fence, chunk.dirty = row.fence, False
        for totals in row.targets:
            chunk.targets[totals.target] = copy(totals)
            self._chunk_of[totals.target] = chunk
        if row.chunk == 0:
            self.offset = row.fence
            self._see(row.watermark_ms)
            self._swept = self._gone_ms // PANE_MS
            self._events, self._bad, self._clamped = row.events, row.bad, row.clamped
            self._routers = {seen.emitter: seen for seen in row.routers}

    def _chunk(self, number: int) -> Chunk:
        while len(self._chunks) <= number:
            self._chunks.append(Chunk(len(self._chunks)))
        return self._chunks[number]

    def _restore_pane(self, row: PaneRow) -> None:
        if row.pane_ms <= self._gone_ms:
            self._tombstones.append(pane_key(self.partition, row.pane_ms, row.chunk))
            return
        pane_chunk = self._chunk(row.chunk).panes[row.pane_ms] = PaneChunk(row.fence)
        pane_chunk.targets = {target.target: Pane.restored(target) for target in row.targets}
        pane_chunk.dirty = False

    def apply(self, offset: int, append_ms: float, events: Sequence[Event], bad: int = 0) -> None:
        """Fold one record: its offset, the log's append time (epoch ms), its events and how many of its objects were bad."""
        if offset <= self.offset:
            return
        self._applying = offset
        if offset > self._chunks[0].fence:
            self._events += len(events)
            self._bad += bad
            self._chunks[0].dirty = True
        furthest_ms = append_ms + AHEAD_MS
        for event in events:
            at_ms = event.at_ms
            if at_ms > furthest_ms:
                at_ms = append_ms
                if offset > self._chunks[0].fence:
                    self._clamped += 1
            if at_ms > self.watermark_ms:
                self._see(min(at_ms, append_ms))
            if isinstance(event, Completed):
                self._completed(event, at_ms)
            elif isinstance(event, Started):
                self._started(event, at_ms)
            else:
                self._other(event, at_ms)
        self.offset = offset
        self._expire()

    def _see(self, at_ms: float) -> None:
        """Let the watermark rise to this time."""
        self.watermark_ms = max(self.watermark_ms, at_ms)
        self._gone_ms = self.watermark_ms - PANE_MS - KEPT_MS

    def _other(self, event: Event, at_ms: float) -> None:
        if isinstance(event, Feedback):
            self._feedback(event, at_ms)
        elif isinstance(event, Resources):
            self._resources(event, at_ms)
        elif isinstance(event, RouterStats) and event.emitter:
            self._routers[event.emitter] = RouterSeen(event.emitter, at_ms, event.services)

    def _started(self, event: Started, at_ms: float) -> None:
        chunk, pane_ms, first = self._chunk_for(event.target), _pane_ms(at_ms), event.attempt == 1
        pane = self._pane(chunk, event.target, pane_ms)
        if pane is not None:
            pane.started(at_ms - pane_ms, first=first)
        totals = self._totals(chunk, event)
        if totals is None:
            return
        totals.started += 1
        totals.first_attempts += first
        if pane_ms <= self._gone_ms:
            totals.late += 1
            totals.lost += 1

    def _completed(self, event: Completed, at_ms: float) -> None:
        chunk, target = self._chunk_for(event.target), event.target
        started_ms = min(event.started_at_ms, at_ms)
        start_pane_ms, pane_ms = _pane_ms(started_ms), _pane_ms(at_ms)
        start_pane = self._pane(chunk, target, start_pane_ms)
        if start_pane is not None:
            if not event.start_reported:
                start_pane.started(started_ms - start_pane_ms, first=event.attempt == 1)
            start_pane.ended(started_ms - start_pane_ms, ln_ms(event.duration_ms) if event.outcome == "ok" else None)
        pane = start_pane if pane_ms == start_pane_ms else self._pane(chunk, target, pane_ms)
        if pane is not None:
            pane.completed(at_ms - pane_ms, event)
        totals = self._totals(chunk, event)
        if totals is None:
            return
        if not event.start_reported:
            totals.started += 1
            totals.first_attempts += event.attempt == 1
        elif start_pane_ms <= self._gone_ms:
            totals.lost -= 1
        totals.late += pane_ms <= self._gone_ms
        book(totals, event)

    def _feedback(self, event: Feedback, at_ms: float) -> None:
        chunk = self._chunk_for(event.target)
        completed_ms = min(event.completed_at_ms, at_ms)
        pane_ms = _pane_ms(completed_ms)
        pane = self._pane(chunk, event.target, pane_ms)
        if pane is not None:
            pane.judged(event)
        if self._applying > chunk.fence:
            totals = chunk.targets[event.target]
            totals.late += pane_ms <= self._gone_ms
            judge(totals, event)
            chunk.dirty = True

    def _resources(self, event: Resources, at_ms: float) -> None:
        pane = self._pane(self._chunk_for(event.target), event.target, _pane_ms(at_ms))
        if pane is not None:
            pane.resources(event)

    def _chunk_for(self, target: str) -> Chunk:
        chunk = self._chunk_of.get(target)
        if chunk is None:
            chunk = self._chunk_of[target] = self._chunk_with_room()
            chunk.targets[target] = TargetTotals(target)
            chunk.dirty = True
        return chunk

    def _chunk_with_room(self) -> Chunk:
        """The first that has room, since a torn flush may bring a later chunk back without the last targets of an earlier one."""
        for chunk in self._chunks:
            if len(chunk.targets) < CHUNK_TARGETS:
                return chunk
        return self._chunk(len(self._chunks))

    def _totals(self, chunk: Chunk, event: Started | Completed) -> TargetTotals | None:
        """The totals to add to; None where they already hold this offset."""
        if self._applying <= chunk.fence:
            return None
        chunk.dirty = True
        totals = chunk.targets[event.target]
        totals.provider = event.provider or totals.provider
        totals.model = event.model or totals.model
        totals.service = event.service or totals.service
        totals.region = event.region or totals.region
        return totals

    def _pane(self, chunk: Chunk, target: str, pane_ms: int) -> Pane | None:
        """The pane to add to; None where it has expired or already holds this offset."""
        if pane_ms <= self._gone_ms:
            return None
        pane_chunk = chunk.panes.get(pane_ms)
        if pane_chunk is None:
            pane_chunk = chunk.panes[pane_ms] = PaneChunk()
        if self._applying <= pane_chunk.fence:
            return None
        pane_chunk.dirty = True
        pane = pane_chunk.targets.get(target)
        if pane is None:
            pane = pane_chunk.targets[target] = Pane(target)
        return pane

    def _expire(self) -> None:
        """Let go of what has become too old; there is something only when the boundary has passed the start of a pane."""
        boundary = self._gone_ms // PANE_MS
        if boundary == self._swept:
            return
        self._swept = boundary
        for chunk in self._chunks:
            for pane_ms in sorted(p for p in chunk.panes if p <= self._gone_ms):
                self._let_go(chunk, pane_ms)
        silent_ms = self.watermark_ms - ROUTER_SEEN_MS
        self._routers = {emitter: seen for emitter, seen in self._routers.items() if seen.at_ms >= silent_ms}

    def _let_go(self, chunk: Chunk, pane_ms: int) -> None:
        key, pane_chunk = pane_key(self.partition, pane_ms, chunk.number), chunk.panes.pop(pane_ms)
        if pane_chunk.dirty:  # else what a cut holds would depend on whether a flush came between the last change and the expiry
            self._last_rows.append((key, self._pane_value(pane_ms, chunk.number, pane_chunk)))
        self._tombstones.append(key)
        self._book_lost(chunk, pane_chunk)

    def _book_lost(self, chunk: Chunk, pane_chunk: PaneChunk) -> None:
        if self.offset <= chunk.fence:
            return
        for target, pane in pane_chunk.targets.items():
            open_ = sum(slot.started - slot.ended for slot in pane.slots.values())
            if open_:
                chunk.targets[target].lost += open_
                chunk.dirty = True

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
            dirty = [(pane_ms, pane) for pane_ms, pane in sorted(chunk.panes.items()) if pane.dirty]
            records += [(pane_key(self.partition, pane_ms, chunk.number), self._pane_value(pane_ms, chunk.number, pane)) for pane_ms, pane in dirty]
        chunks = [chunk for chunk in reversed(self._chunks) if chunk.dirty or all_totals or chunk.number == 0]
        records += [(totals_key(self.partition, chunk.number), self._totals_value(chunk)) for chunk in chunks]
        records += [(key, None) for key in self._tombstones]
        self._last_rows, self._tombstones = [], []
        return records

    def _pane_value(self, pane_ms: int, number: int, chunk: PaneChunk) -> bytes:
        chunk.fence, chunk.dirty = max(chunk.fence, self.offset), False
        return encode_row(PaneRow(self.partition, pane_ms, number, chunk.fence, [pane.row() for pane in chunk.targets.values()]))

    def _totals_value(self, chunk: Chunk) -> bytes:
        chunk.fence, chunk.dirty = max(chunk.fence, self.offset), False
        row = TotalsRow(self.partition, chunk.number, chunk.fence, self.watermark_ms, list(chunk.targets.values()))
        if chunk.number == 0:
            row.events, row.bad, row.clamped = self._events, self._bad, self._clamped
            row.routers = [self._routers[emitter] for emitter in sorted(self._routers)]
        return encode_row(row)


def _pane_ms(at_ms: float) -> int:
    """Start of the pane of this time."""
    return int(at_ms) // PANE_MS * PANE_MS
