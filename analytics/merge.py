"""Rows of all partitions, as the leader merges them: consistent cuts in, counts and what is new out.

A partition's rows count only when the totals row of chunk 0 arrives, which closes a flush. Where two rows have one key, the higher
fence wins; buffered rows with a fence above the closing row's wait for theirs, and a closing row below the last one is ignored.
Tombstones clean up the log and say nothing here: panes expire by the time of the ticks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from routecast.analytics.experiments.arm_sums import merged
from routecast.analytics.totals import added
from routecast.models.errors import DecodeError
from routecast.models.rows import PANE_MS, SLOT_MS, ArmTotals, PaneRow, RouterSeen, Slot, TargetTotals, TotalsRow, decode_row

PaneKey = tuple[int, int]
"""(partition, chunk)."""


class SlotNews(NamedTuple):
    """What became known of one half-second of one target since the last look."""

    target: str
    slot_ms: int
    first_attempts: int
    started: int
    completed: int
    ended: int
    n: int
    sum_ln: int
    sum_ln2: int
    tokens_n: int = 0
    sum_ln_tokens: int = 0


class Merge:
    """All partitions' rows, cut by cut. Memory: the kept panes and the totals; nothing grows with the number of requests."""

    def __init__(self) -> None:
        self.panes: dict[int, dict[PaneKey, PaneRow]] = {}
        self.totals: dict[PaneKey, TotalsRow] = {}
        self._buffered: dict[int, dict[bytes, PaneRow | TotalsRow]] = {}
        self._parts: dict[str, dict[PaneKey, TargetTotals]] = {}
        self._together: dict[str, TargetTotals] = {}
        self._stale: set[str] = set()
        """Targets whose totals have to be added up anew."""
        self._news: dict[tuple[str, int], list[int]] = {}
        self._expired_ms = -math.inf

    def add(self, key: bytes, value: bytes | None) -> bool:
        """Take one changelog record; True where it closed a cut.

        Raises DecodeError when the value is not a row of this table.
        """
        if value is None:
            for rows in self._buffered.values():
                rows.pop(key, None)
            return False
        try:
            row = decode_row(key, value)
        except msgspec.DecodeError as error:
            raise DecodeError(f"changelog record {key!r} is not a row: {error}") from error
        buffered = self._buffered.setdefault(row.partition, {})
        known = buffered.get(key)
        if known is None or row.fence >= known.fence:
            buffered[key] = row
        return isinstance(row, TotalsRow) and row.chunk == 0 and self._close(row)

    @property
    def offsets(self) -> dict[int, int]:
        """Per partition, the last event offset that the merged rows contain."""
        return {partition: row.fence for (partition, chunk), row in sorted(self.totals.items()) if chunk == 0}

    def _close(self, closing: TotalsRow) -> bool:
        last = self.totals.get((closing.partition, 0))
        if last is not None and closing.fence < last.fence:
            del self._buffered[closing.partition][f"totals/{closing.partition}/0".encode()]
            return False
        waiting = self._buffered[closing.partition]
        self._buffered[closing.partition] = {key: row for key, row in waiting.items() if row.fence > closing.fence}
        for row in waiting.values():
            if row.fence <= closing.fence:
                self._apply(row)
        return True

    def _apply(self, row: PaneRow | TotalsRow) -> None:
        key = (row.partition, row.chunk)
        if isinstance(row, TotalsRow):
            old_totals = self.totals.get(key)
            if old_totals is None or row.fence >= old_totals.fence:
                self.totals[key] = row
                self._note_totals(key, row, old_totals)
            return
        if row.pane_ms + PANE_MS <= self._expired_ms:
            return
        chunks = self.panes.setdefault(row.pane_ms, {})
        old = chunks.get(key)
        if old is None or row.fence >= old.fence:
            self._note(row, old)
            chunks[key] = row

    def _note(self, row: PaneRow, old: PaneRow | None) -> None:
        before = {pane.target: pane.slots for pane in old.targets} if old else {}
        for pane in row.targets:
            slots = before.get(pane.target, ())
            if slots == pane.slots:
                continue
            known = {slot.slot: slot for slot in slots}
            for slot in pane.slots:
                same = known.get(slot.slot)
                difference = () if slot == same else _difference(slot, same)
                if any(difference):
                    news = self._news.setdefault((pane.target, row.pane_ms + slot.slot * SLOT_MS), [0] * _FIGURES)
                    for i, value in enumerate(difference):
                        news[i] += value

    def _note_totals(self, key: PaneKey, row: TotalsRow, old: TotalsRow | None) -> None:
        now, before = {totals.target: totals for totals in row.targets}, {totals.target: totals for totals in old.targets} if old else {}
        for target in before.keys() - now.keys():
            del self._parts[target][key]
        for target, totals in now.items():
            self._parts.setdefault(target, {})[key] = totals
        self._stale |= before.keys() ^ now.keys()
        self._stale |= {target for target, totals in now.items() if totals != before.get(target)}

    def take_news(self) -> list[SlotNews]:
        """What is new since the last call, by target and time; the order of rows and partitions leaves no trace."""
        news, self._news = self._news, {}
        return [SlotNews(target, slot_ms, *figures) for (target, slot_ms), figures in sorted(news.items())]

    def all_slots(self) -> list[SlotNews]:
        """All that is known of the slots of the kept panes, as one who has seen nothing yet would learn it."""
        known: dict[tuple[str, int], list[int]] = {}
        for pane_ms, chunks in self.panes.items():
            for row in chunks.values():
                for pane in row.targets:
                    for slot in pane.slots:
                        figures = known.setdefault((pane.target, pane_ms + slot.slot * SLOT_MS), [0] * _FIGURES)
                        for i, value in enumerate(_difference(slot, None)):
                            figures[i] += value
        return [SlotNews(target, slot_ms, *figures) for (target, slot_ms), figures in sorted(known.items())]

    def expire(self, before_ms: float) -> None:
        """Forget panes that ended at or before this time (epoch ms), and take no news of them any more."""
        self._expired_ms = max(self._expired_ms, before_ms)
        for pane_ms in [p for p in self.panes if p + PANE_MS <= before_ms]:
            del self.panes[pane_ms]

    def target_totals(self) -> dict[str, TargetTotals]:
        """Eternal sums of every target, all partitions together, by name."""
        stale, self._stale = self._stale, set()
        for target in stale:
            parts = self._parts[target]
            if parts:
                self._together[target] = added([parts[key] for key in sorted(parts)])
            else:
                self._together.pop(target, None)
        return {target: self._together[target] for target in sorted(self._together)}

    def arms(self) -> dict[str, ArmTotals]:
        """Eternal sums of the arms of experiments, all partitions together, by label."""
        return merged(self.totals[key].arms for key in sorted(self.totals))

    def routers(self, now_ms: float, within_ms: float = 30_000) -> int:
        """How many routers gave a sign of life within this time."""
        return sum(1 for _ in self._alive(now_ms, within_ms))

    def routers_by_service(self, now_ms: float, within_ms: float = 30_000) -> Counter[str]:
        """How many of them route each service; those that do not say so stand under the empty name, and may route any."""
        return Counter(service for seen in self._alive(now_ms, within_ms) for service in set(seen.services) or {""})

    def _alive(self, now_ms: float, within_ms: float) -> Iterator[RouterSeen]:
        return (seen for row in self.totals.values() for seen in row.routers if seen.at_ms >= now_ms - within_ms)


_NOTHING = Slot(0)
_FIGURES = len(SlotNews._fields) - 2
"""Of a slot, beside its target and its time."""


def _difference(new: Slot, old: Slot | None) -> tuple[int, ...]:
    old = old or _NOTHING
    return (
        new.first_attempts - old.first_attempts,
        new.started - old.started,
        new.completed - old.completed,
        new.ended - old.ended,
        new.n - old.n,
        new.sum_ln - old.sum_ln,
        new.sum_ln2 - old.sum_ln2,
        new.tokens_n - old.tokens_n,
        new.sum_ln_tokens - old.sum_ln_tokens,
    )
