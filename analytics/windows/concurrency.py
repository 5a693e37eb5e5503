"""How many requests were in flight at once: at every half-second of the kept panes, and at the most in each closed minute of a day.

Open requests are known now, from the slots of their starts; walking back over what started and ended gives every earlier half-second, as in
`routecast.analytics.fleet.load`, here for all targets and for groups of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.windows.columns import Ints
from routecast.models.rows import PANE_MS, SLOTS, PaneRow

Flows = NDArray[np.int32]
"""[subjects × half-seconds] Attempts that started less those that ended."""

MINUTE_MS: Final = 60_000
_MINUTES: Final = 26 * 60


def flows_of(row: PaneRow) -> Flows:
    """[targets × 20] The flows of a pane row: about 2 µs a target."""
    flows = np.zeros((len(row.targets), SLOTS), np.int32)
    found = [(i, slot.slot, slot.started - slot.completed) for i, pane in enumerate(row.targets) for slot in pane.slots]
    if found:
        targets, slots, values = np.array(found, np.int64).T
        flows[targets, slots] = values
    return flows


class Concurrency:
    """Requests in flight at the borders of half-seconds, a row for each subject.

    Args:
        first_ms: start of the first pane.
        flows: of this pane and of all that follow without a gap.
        open_: requests of each subject that are open now.
    """

    def __init__(self, first_ms: int, flows: Flows, open_: Ints) -> None:
        self._first_ms = first_ms
        self._flows = flows
        self._open = open_
        self._peaks: Ints | None = None

    def grouped(self, members: Sequence[Ints]) -> Concurrency:
        """Of groups of these subjects."""
        flows = [self._flows[numbers].sum(axis=0, dtype=np.int32) for numbers in members]
        open_ = [self._open[numbers].sum() for numbers in members]
        return Concurrency(self._first_ms, np.array(flows, np.int32).reshape(len(members), -1), np.array(open_, np.int64))

    def peak(self, start_ms: int, end_ms: int) -> Ints:
        """The most of each subject at the borders of the half-seconds of [start_ms, end_ms), both multiples of 10 s, as far as it is kept."""
        peaks = self._pane_peaks()
        first, end = ((ms - self._first_ms) // PANE_MS for ms in (start_ms, end_ms))
        known: Ints = peaks[:, max(0, first) : max(0, end)].max(axis=1, initial=0)
        return np.maximum(known, self._open) if end > peaks.shape[1] else known

    def _pane_peaks(self) -> Ints:
        if self._peaks is None:
            since = np.cumsum(self._flows[:, ::-1], axis=1, dtype=np.int64)[:, ::-1]
            borders = np.column_stack([self._open[:, None] - since, self._open])
            within = borders[:, :-1].reshape(len(borders), -1, SLOTS).max(axis=2, initial=0)
            self._peaks = np.maximum(within, borders[:, SLOTS::SLOTS])
        return self._peaks


class PeakHistory:
    """Peaks of the closed minutes of a day, a row for each subject; 6 kB a subject."""

    def __init__(self) -> None:
        self._ring: NDArray[np.int32] = np.zeros((0, _MINUTES), np.int32)
        self._minutes: Ints = np.full(_MINUTES, -1, np.int64)
        """Which minute each column holds."""

    def put(self, start_ms: int, peaks: Ints) -> None:
        """Take the peaks of the minute that starts then; of several of one minute, the largest."""
        if len(peaks) > len(self._ring):
            self._ring = np.pad(self._ring, ((0, len(peaks) - len(self._ring)), (0, 0)))
        minute = start_ms // MINUTE_MS
        column = minute % _MINUTES
        if self._minutes[column] != minute:
            self._ring[:, column], self._minutes[column] = 0, minute
        self._ring[: len(peaks), column] = np.maximum(self._ring[: len(peaks), column], peaks)

    def most(self, start_ms: int, end_ms: int, n: int) -> Ints:
        """The largest of the minutes that start within [start_ms, end_ms), of `n` subjects; 0 where none is known."""
        held = (self._minutes >= start_ms // MINUTE_MS) & (self._minutes * MINUTE_MS < end_ms)
        found: Ints = np.zeros(n, np.int64)
        known = self._ring[:n, held].max(axis=1, initial=0)
        found[: len(known)] = known
        return found
