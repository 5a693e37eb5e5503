"""Evidence that something changed: sums of log-likelihood ratios that never fall below nothing (Page 1954; several hypotheses at once, Lorden 1971).

A sum rises while what is observed fits its hypothesis better than the usual, and is at nothing most of the time otherwise; when it passes its bound
there was a change, most likely when it left nothing. Observations may come in groups of any size: the sum of a group's steps is its step.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ALLOWANCES = (0.16, 0.41, 0.82)
"""Half of the shifts that are looked for, in standard deviations: where these vary by a factor of e^0.84, factors of 1.3, 2 and 4."""
BOUNDS = (13.2, 14.2, 14.6)
"""Of their sums, both ways: together one false alarm in two million observations, each of them its share."""
LEAST_Z, MOST_Z = -3.0, 4.0
"""What is further off than this is no further evidence."""


class Finding(NamedTuple):
    """A change, as the evidence tells of it."""

    column: int
    """Its hypothesis."""
    statistic: float
    bound: float
    since_ms: float
    n: float
    """Observations since then."""
    deviation: float
    """Their deviations from the usual, added up."""


class Cusum:
    """Sums of `n` series × hypotheses.

    Args:
        bounds: what the sum of each hypothesis must pass.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_sums", "_n", "_deviation", "_left_ms")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds: Floats = np.array(bounds)
        self._sums, self._n, self._deviation, self._left_ms = (np.zeros((0, len(bounds))) for _ in self.STATE)

    def grow(self, n: int) -> None:
        """Make room for `n` series."""
        more = n - len(self._sums)
        for name in self.STATE:
            setattr(self, name, np.pad(getattr(self, name), ((0, more), (0, 0))))

    def update(self, since_ms: float, steps: Floats, n: Floats, deviation: Floats) -> None:
        """Take observations that were made since then: [series × hypotheses] log-likelihood ratios, how many, and their deviations added up."""
        begins = (self._sums <= 0.0) & (n[:, None] > 0.0)
        self._sums = np.maximum(0.0, self._sums + steps)
        self._left_ms = np.where(begins, since_ms, self._left_ms)
        self._n = np.where(begins, 0.0, self._n) + n[:, None]
        self._deviation = np.where(begins, 0.0, self._deviation) + deviation[:, None]

    @property
    def doubt(self) -> Floats:
        """How near each series is to an alarm: its largest sum ÷ bound, above 1 where it is one."""
        doubt: Floats = (self._sums / self._bounds).max(axis=1)
        return doubt

    def finding(self, series: int) -> Finding:
        """What the hypothesis that is furthest says of a series."""
        column = int((self._sums[series] / self._bounds).argmax())
        sums, left_ms, n, deviation = (float(a[series, column]) for a in (self._sums, self._left_ms, self._n, self._deviation))
        return Finding(column, sums, float(self._bounds[column]), left_ms, n, deviation)

    def forget(self, series: Ints) -> None:
        """Restart these without evidence."""
        self._sums[series] = 0.0


def shift_steps(n: Floats, z: Floats, unsure: Floats) -> Floats:
    """[series × 6] Log-likelihood ratios of shifts up and down by twice each allowance.

    `z` are sums over `n` standardised deviations; `unsure` is how wrong the usual level may be, in standard deviations, and is not held against it.
    """
    k = np.array(ALLOWANCES)
    spare = (k + unsure[:, None]) * n[:, None]
    return np.hstack([2.0 * k * (z[:, None] - spare), 2.0 * k * (-z[:, None] - spare)])


def bounded(n: Floats, z: Floats, spread: Floats) -> Floats:
    """Sums of `n` standardised deviations of which outliers count no more than they should.

    `spread` is the scatter within a group ÷ the usual one: beyond twice that there are outliers, and the group counts for less in proportion.
    """
    mean = np.clip(z / np.maximum(n, 1.0) / np.maximum(1.0, spread / 2.0), LEAST_Z, MOST_Z)
    return mean * n
