"""Sums over time that moves on: what comes in is added and what goes out taken back, so that nothing is ever summed anew.

Counts and sketches are integers and can be taken back; extremes cannot, and are made anew from what is left, which is little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np

from routecast.analytics.merge import PaneKey
from routecast.analytics.windows.columns import HIGHS, LOWS, NO_LOW, SUMS, Columns, Ints
from routecast.analytics.windows.concurrency import Flows
from routecast.analytics.windows.window import WindowStats
from routecast.models.rows import SLOTS

_OPEN: Final = SUMS.index("open")
_LOOSE: Final = 5
"""Columns of a part that are kept apart; more are made one."""


class Row(NamedTuple):
    """A pane row, as figures are made from it."""

    fence: int
    columns: Columns
    flows: Flows


class Pane:
    """The rows of ten seconds, and what they say together."""

    __slots__ = ("_extremes", "_flows", "_open", "rows")

    def __init__(self) -> None:
        self.rows: dict[PaneKey, Row] = {}
        self._extremes: tuple[Ints, Ints] | None = None
        self._flows: Flows | None = None
        self._open: Ints | None = None

    def put(self, key: PaneKey, row: Row) -> Row | None:
        """Take a row; the one that it replaces."""
        old = self.rows.get(key)
        self.rows[key] = row
        self._extremes = self._flows = self._open = None
        return old

    @property
    def columns(self) -> list[Columns]:
        """Of its rows."""
        return [row.columns for row in self.rows.values()]

    @property
    def extremes(self) -> tuple[Ints, Ints]:
        """Highs and lows of every target up to the last that it names."""
        if self._extremes is None:
            self._extremes = _extremes(self.columns, max((_known(columns) for columns in self.columns), default=0))
        return self._extremes

    @property
    def open(self) -> Ints:
        """Requests that started here and have not ended, of every target up to the last that it names."""
        if self._open is None:
            self._open = np.zeros(max((_known(columns) for columns in self.columns), default=0), np.int64)
            for columns in self.columns:
                self._open[columns.numbers] += columns.sums[:, _OPEN]
        return self._open

    @property
    def flows(self) -> Flows:
        """[targets × 20] Of every target up to the last that it names."""
        if self._flows is None:
            self._flows = np.zeros((max((_known(columns) for columns in self.columns), default=0), SLOTS), np.int32)
            for row in self.rows.values():
                self._flows[row.columns.numbers] += row.flows
        return self._flows


def _known(columns: Columns) -> int:
    return int(columns.numbers.max(initial=-1)) + 1


def _extremes(parts: Iterable[Columns], n: int) -> tuple[Ints, Ints]:
    highs, lows = np.zeros((n, len(HIGHS)), np.int64), np.full((n, len(LOWS)), NO_LOW, np.int64)
    for columns in parts:
        highs[columns.numbers] = np.maximum(highs[columns.numbers], columns.highs)
        lows[columns.numbers] = np.minimum(lows[columns.numbers], columns.lows)
    return highs, lows


def summed(columns: Iterable[Columns], n: int) -> WindowStats:
    """The sum of these columns, for `n` subjects."""
    stats = WindowStats(n)
    for item in columns:
        stats.add(item)
    return stats


class Moving:
    """The sum of the panes that start within [from_ms, to_ms)."""

    def __init__(self) -> None:
        self.from_ms = self.to_ms = 0
        self.stats = WindowStats(0)

    def holds(self, pane_ms: int) -> bool:
        """Whether the sum contains this pane."""
        return self.from_ms <= pane_ms < self.to_ms

    def move(self, from_ms: int, to_ms: int, panes: Mapping[int, Pane], n: int) -> None:
        """Hold the panes of another span; `n` targets are known."""
        self.stats.grow(n)
        for pane_ms, pane in panes.items():
            held = self.holds(pane_ms)
            if held != (from_ms <= pane_ms < to_ms):
                self._change(pane, out=held)
        self.from_ms, self.to_ms = from_ms, to_ms

    def replace(self, pane_ms: int, old: Columns | None, new: Columns, n: int) -> None:
        """Follow a row that changed, if its pane is held."""
        if self.holds(pane_ms):
            self.stats.grow(n)
            if old is not None:
                self.stats.remove(old)
            self.stats.add(new)

    def forget(self, pane_ms: int, pane: Pane) -> None:
        """Let go of a pane that is kept no longer."""
        if self.holds(pane_ms):
            self._change(pane, out=True)

    def _change(self, pane: Pane, *, out: bool) -> None:
        for columns in pane.columns:
            if out:
                self.stats.remove(columns)
            else:
                self.stats.add(columns)

    def settle(self, panes: Mapping[int, Pane]) -> None:
        """Make the extremes anew."""
        self.stats.highs[:], self.stats.lows[:] = 0, NO_LOW
        for pane_ms, pane in panes.items():
            if self.holds(pane_ms):
                highs, lows = pane.extremes
                n = len(highs)
                np.maximum(self.stats.highs[:n], highs, out=self.stats.highs[:n])
                np.minimum(self.stats.lows[:n], lows, out=self.stats.lows[:n])


class ClosedParts:
    """Parts of a long window and their sum."""

    def __init__(self, part_ms: int) -> None:
        self._part_ms = part_ms
        self._parts: dict[int, list[Columns]] = {}
        self._sum = WindowStats(0)

    def close(self, start_ms: int, columns: Columns, n: int) -> None:
        """Add what happened from `start_ms` on to the part it belongs to; `n` targets are known."""
        part = self._parts.setdefault(start_ms - start_ms % self._part_ms, [])
        part.append(columns)
        if len(part) > _LOOSE:
            part[:] = [summed(part, n).columns()]
        self._sum.grow(n)
        self._sum.add(columns)

    def since(self, from_ms: int) -> WindowStats:
        """The sum of the parts that start at or after this time; older ones are forgotten."""
        old = [part_ms for part_ms in self._parts if part_ms < from_ms]
        for part_ms in old:
            for columns in self._parts.pop(part_ms):
                self._sum.remove(columns)
        if old:
            left = (columns for part in self._parts.values() for columns in part)
            self._sum.highs, self._sum.lows = _extremes(left, len(self._sum))
        return self._sum
