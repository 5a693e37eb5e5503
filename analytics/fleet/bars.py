"""How durations are distributed over the fixed bounds, per target, as a distribution that only grows.

Rows hold a sketch for each ten seconds and are written again as they fill; what a row has more than the last time is added. Counts beyond a
bound within a bucket of the sketch count as up to it: 1 % at most.

Memory: the counts of each kept row, 60 bytes a target, which is 4 kB for each pane of 64 targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, Literal, NamedTuple

import numpy as np

from routecast.analytics.merge import Merge, PaneKey
from routecast.analytics.sketch import BUCKETS, Integers, bucket_of, decode_many
from routecast.models.rows import PaneRow, Tally, TargetPane
from routecast.models.telemetry import BOUNDS_S, Bars

Measure = Literal["duration", "ttft"]

_US: Final = 1_000_000
BAR_OF: Final = np.searchsorted([bucket_of(round(bound * _US)) for bound in BOUNDS_S], np.arange(BUCKETS))
"""The bar of each bucket of a sketch; a bound within a bucket counts all of it, 1 % at most beyond."""
N_BARS: Final = len(BOUNDS_S) + 1
AT_ONCE: Final = 24
"""Rows that take 10 ms where each has 256 targets."""


def bars_of(sketches: Sequence[bytes]) -> Integers:
    """[sketches × bars] Counts of many sketches. Raises DecodeError."""
    sketch, buckets, counts = decode_many(sketches)
    return np.bincount(sketch * N_BARS + BAR_OF[buckets], counts, len(sketches) * N_BARS).astype(np.int64).reshape(-1, N_BARS)


class _Counted(NamedTuple):
    """What was added of a row."""

    row: PaneRow
    numbers: Integers
    counts: Integers
    """The bars, and the sum in microseconds as the last column."""


class GrowingBars:
    """One measure of all configured targets, and of all others together.

    Args:
        measure: which duration.
        targets: names that have bars of their own.
    """

    def __init__(self, measure: Measure, targets: Iterable[str]) -> None:
        self._measure: Measure = measure
        self._numbers = {name: number for number, name in enumerate(targets, start=1)}
        self._total = np.zeros((len(self._numbers) + 1, N_BARS + 1), np.int64)
        self._counted: dict[tuple[int, PaneKey], _Counted] = {}

    def take(self, merge: Merge, most: int = AT_ONCE) -> bool:
        """Add what is new in the kept rows, the oldest first and so many at once; whether that was all.

        Call it more often than every ten minutes: rows that came and went in between are never counted.
        """
        changed = self._changed(merge)
        for pane_ms, key, row in islice(changed, most):
            self._counted[pane_ms, key] = self._count(row, self._counted.get((pane_ms, key)))
        for gone in [place for place in self._counted if place[0] not in merge.panes]:
            del self._counted[gone]
        return next(changed, None) is None

    def _changed(self, merge: Merge) -> Iterator[tuple[int, PaneKey, PaneRow]]:
        for pane_ms, chunks in merge.panes.items():
            for key, row in chunks.items():
                known = self._counted.get((pane_ms, key))
                if known is None or known.row is not row:
                    yield pane_ms, key, row

    def _count(self, row: PaneRow, known: _Counted | None) -> _Counted:
        tallies = [self._tally(pane) for pane in row.targets]
        sums = np.array([tally.sum_us for tally in tallies], np.int64)
        counts = np.column_stack((bars_of([tally.sketch for tally in tallies]), sums)) if tallies else np.zeros((0, N_BARS + 1), np.int64)
        numbers = np.array([self._numbers.get(pane.target, 0) for pane in row.targets], np.int64)
        if known is not None:
            np.subtract.at(self._total, known.numbers, known.counts)
        np.add.at(self._total, numbers, counts)
        return _Counted(row, numbers, counts)

    def _tally(self, pane: TargetPane) -> Tally:
        return pane.duration if self._measure == "duration" else pane.ttft

    def bars(self) -> Mapping[str, Bars]:
        """By target; what others had is under an empty name. Without any duration there is nothing."""
        found = {name: self._total[number] for name, number in {"": 0, **self._numbers}.items()}
        return {name: Bars(tuple(row[:-1].tolist()), int(row[-1]) / _US) for name, row in found.items() if row[:-1].any()}
