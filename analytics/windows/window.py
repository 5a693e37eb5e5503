"""Statistics of many targets over one window: integers and dense sketches that add up in any order to the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from routecast.analytics.sketch import BUCKETS
from routecast.analytics.windows.columns import DURATIONS, HIGHS, LOWS, NO_LOW, SUMS, Columns, Ints


class Window(NamedTuple):
    """Statistics over [start_ms, end_ms), a row for each subject."""

    start_ms: int
    end_ms: int
    stats: WindowStats
    peaks: Ints | None = None
    """Most requests that were in flight at once; None where that is not known."""


class WindowStats:
    """Sums, extremes and sketches of `n` subjects over one window; 16 kB a subject.

    A subject is a number: a target's, or that of a group of targets.
    """

    __slots__ = ("highs", "lows", "sketches", "sums")

    def __init__(self, n: int) -> None:
        self.sums: Ints = np.zeros((n, len(SUMS)), np.int64)
        self.highs: Ints = np.zeros((n, len(HIGHS)), np.int64)
        self.lows: Ints = np.full((n, len(LOWS)), NO_LOW, np.int64)
        self.sketches: Ints = np.zeros((n, len(DURATIONS), BUCKETS), np.int64)

    def __len__(self) -> int:
        return len(self.sums)

    def sum(self, name: str) -> Ints:
        """This sum of every subject."""
        return self.sums[:, SUMS.index(name)]

    def high(self, name: str) -> Ints:
        """This maximum of every subject."""
        return self.highs[:, HIGHS.index(name)]

    def add(self, columns: Columns) -> None:
        """Add a pane row or a closed window; its numbers are below `n`."""
        numbers = columns.numbers
        self.sums[numbers] += columns.sums
        self.highs[numbers] = np.maximum(self.highs[numbers], columns.highs)
        self.lows[numbers] = np.minimum(self.lows[numbers], columns.lows)
        self.sketches.reshape(-1)[columns.cells] += columns.counts

    def remove(self, columns: Columns) -> None:
        """Take back sums and sketches that were added; extremes stay, and are to be made anew from what is left."""
        self.sums[columns.numbers] -= columns.sums
        self.sketches.reshape(-1)[columns.cells] -= columns.counts

    def grow(self, n: int) -> None:
        """Make room for `n` subjects."""
        if n > len(self):
            grown = WindowStats(n)
            grown.merge(self)
            self.sums, self.highs, self.lows, self.sketches = grown.sums, grown.highs, grown.lows, grown.sketches

    def merge(self, other: WindowStats) -> None:
        """Add another window of the same subjects; it may know fewer."""
        n = len(other)
        self.sums[:n] += other.sums
        self.highs[:n] = np.maximum(self.highs[:n], other.highs)
        self.lows[:n] = np.minimum(self.lows[:n], other.lows)
        self.sketches[:n] += other.sketches

    def copy(self) -> WindowStats:
        """The same figures, to go on with."""
        twin = WindowStats(0)
        twin.sums, twin.highs, twin.lows, twin.sketches = self.sums.copy(), self.highs.copy(), self.lows.copy(), self.sketches.copy()
        return twin

    def of(self, numbers: Ints) -> WindowStats:
        """The figures of these subjects alone, in this order."""
        some = WindowStats(0)
        some.sums, some.highs, some.lows, some.sketches = self.sums[numbers], self.highs[numbers], self.lows[numbers], self.sketches[numbers]
        return some

    def grouped(self, members: Sequence[Ints]) -> WindowStats:
        """Sums over groups: subject g of the result is everything of the subjects `members[g]`."""
        groups = WindowStats(len(members))
        for group, numbers in enumerate(members):
            groups.sums[group] = self.sums[numbers].sum(axis=0)
            groups.highs[group] = self.highs[numbers].max(axis=0, initial=0)
            groups.lows[group] = self.lows[numbers].min(axis=0, initial=NO_LOW)
            groups.sketches[group] = self.sketches[numbers].sum(axis=0)
        return groups

    def columns(self) -> Columns:
        """The figures of subjects that have any, to be kept: about 4 kB for a busy one."""
        numbers = np.flatnonzero(self.sums.any(axis=1) | self.highs.any(axis=1))
        flat = self.sketches.reshape(-1)
        cells = np.flatnonzero(flat)
        return Columns(numbers, self.sums[numbers], self.highs[numbers], self.lows[numbers], cells.astype(np.int32), flat[cells].astype(np.int32))
