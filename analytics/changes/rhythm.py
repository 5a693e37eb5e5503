"""What the hour of the week does to a level: learned over weeks, used once there are two."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]

HOURS = 168
_HOUR_MS = 3_600_000.0
_WEEK_MS = HOURS * _HOUR_MS
_MOST_WEEKS = 3.0
"""How many weeks the newest is averaged with at the most."""
_MILLIONTHS = 1e6
_MOST = 1000.0
_NEVER = 0
"""Stands for an hour that has taught nothing."""


class Rhythm:
    """Mean level of `n` series in each hour of the week, in millionths: 700 bytes a series.

    Levels are of the order of ten, logarithms for instance.

    Args:
        least_n: observations without which an hour teaches nothing.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_levels", "_n", "_sum", "_first_ms", "_hour")

    def __init__(self, least_n: float) -> None:
        self._least_n = least_n
        self._levels: SmallInts = np.zeros((0, HOURS), np.int32)
        self._n: Floats = np.zeros(0)
        self._sum: Floats = np.zeros(0)
        self._first_ms: Floats = np.zeros(0)
        """When each was first observed; 0 = never."""
        self._hour = -1
        """Hours since the epoch."""

    def grow(self, n: int) -> None:
        """Make room for `n` series."""
        more = n - len(self._n)
        self._levels = np.pad(self._levels, ((0, more), (0, 0)))
        self._n, self._sum, self._first_ms = (np.pad(a, (0, more)) for a in (self._n, self._sum, self._first_ms))

    def offset(self, at_ms: float) -> Floats:
        """How far above its weekly mean each series usually is at this time; 0 for the first two weeks, and where an hour has taught nothing."""
        hours = at_ms / _HOUR_MS - 0.5
        before, part = int(hours // 1), hours % 1
        mean = self._levels.sum(axis=1) / np.maximum(1, (self._levels != _NEVER).sum(axis=1))
        then, soon = (np.where(self._levels[:, hour % HOURS] == _NEVER, mean, self._levels[:, hour % HOURS]) for hour in (before, before + 1))
        return np.where(self.known(at_ms), ((1.0 - part) * then + part * soon - mean) / _MILLIONTHS, 0.0)

    def known(self, at_ms: float) -> NDArray[np.bool_]:
        """Of which series there are two weeks."""
        known: NDArray[np.bool_] = (self._first_ms > 0.0) & (at_ms - self._first_ms >= 2.0 * _WEEK_MS)
        return known

    def update(self, at_ms: float, n: Floats, total: Floats) -> None:
        """Take `n` observations of each series, added up."""
        hour = int(at_ms // _HOUR_MS)
        if hour != self._hour:
            self._turn(at_ms)
            self._hour = hour
        self._n += n
        self._sum += total
        self._first_ms = np.where((self._first_ms == 0.0) & (n > 0.0), at_ms, self._first_ms)

    def _turn(self, at_ms: float) -> None:
        """The hour is over."""
        weeks = np.clip((at_ms - self._first_ms) // _WEEK_MS, 0.0, _MOST_WEEKS)  # a clock may be set back behind the first
        mean = np.clip(self._sum / np.maximum(self._n, 1.0), -_MOST, _MOST) * _MILLIONTHS
        old = self._levels[:, self._hour % HOURS]
        learned = np.where(old == _NEVER, mean, old + (mean - old) / (weeks + 1.0)).round()
        learned = np.where(learned == _NEVER, 1, learned)
        self._levels[:, self._hour % HOURS] = np.where(self._n >= self._least_n, learned, old).astype(np.int32)
        self._n[:], self._sum[:] = 0.0, 0.0

    def shift(self, series: int, by: float) -> None:
        """The level of a series is another one now, at every hour."""
        levels = self._levels[series]
        moved = np.clip(levels + by * _MILLIONTHS, -_MOST * _MILLIONTHS, _MOST * _MILLIONTHS).round().astype(np.int32)
        self._levels[series] = np.where(levels == _NEVER, _NEVER, np.where(moved == _NEVER, 1, moved))
