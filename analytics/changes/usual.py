"""What is usual of many series: their mean level and its scatter over the last hours."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TAU_S = 6 * 3600.0
SCATTER_S = 24 * 3600.0
"""Time constant of the scatter, which changes less than the level and takes more to be known."""
_PRIOR_N = 4.0
"""Observations that the scatter known beforehand counts for."""
_ERRORS = 1.5
"""The mean of n is trusted to so many standard errors, 1/√n each."""


class Usual:
    """Decayed sums of `n` series in several readings of the same observations, one of which counts at a time.

    Args:
        readings: how many.
        sd: scatter to begin with.
        least_sd: and the least that is believed.
        scatter_s: time constant of the scatter.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_n", "_sums", "_squares_n", "_squares")

    def __init__(self, readings: int, *, sd: float, least_sd: float, scatter_s: float = SCATTER_S) -> None:
        self._sd, self._least_sd, self._scatter_s = sd, least_sd, scatter_s
        self._n, self._squares_n, self._squares, self._sums = np.zeros(0), np.zeros(0), np.zeros(0), np.zeros((0, readings))

    def grow(self, n: int) -> None:
        """Make room for `n` series."""
        more = n - len(self._n)
        self._n, self._squares_n, self._squares = (np.pad(a, (0, more)) for a in (self._n, self._squares_n, self._squares))
        self._sums = np.pad(self._sums, ((0, more), (0, 0)))

    @property
    def n(self) -> Floats:
        """Observations behind the figures."""
        return self._n

    def level(self, reading: Ints) -> Floats:
        """Mean of each series in the reading that counts; 0 where nothing is known."""
        return self._sums[np.arange(len(self._n)), reading] / np.maximum(self._n, 1e-9)

    @property
    def sd(self) -> Floats:
        """Standard deviation of single observations."""
        sd: Floats = np.maximum(self._least_sd, np.sqrt((self._squares + _PRIOR_N * self._sd**2) / (self._squares_n + _PRIOR_N)))
        return sd

    @property
    def unsure(self) -> Floats:
        """How far off the level may be, in standard deviations."""
        unsure: Floats = _ERRORS / np.sqrt(np.maximum(self._n, 1.0))
        return unsure

    def update(self, elapsed_s: float, learns: NDArray[np.bool_], n: Floats, sums: Floats, squares: Floats) -> None:
        """Take `n` observations since `elapsed_s` ago: [series × readings] sums, and squares of deviations. What does not learn stays as it is."""
        decay = np.where(learns, math.exp(-elapsed_s / TAU_S), 1.0)
        self._n = self._n * decay + learns * n
        self._sums = self._sums * decay[:, None] + learns[:, None] * sums
        decay = np.where(learns, math.exp(-elapsed_s / self._scatter_s), 1.0)
        self._squares_n = self._squares_n * decay + learns * n
        self._squares = self._squares * decay + learns * squares

    def shift(self, series: int, by: float) -> None:
        """The level of a series is another one now, in every reading."""
        self._sums[series] += by * self._n[series]
