"""Changes of a single series of raw values, one after the other: for notebooks and the command line. The fleet's, in groups at ticks, is `levels.py`.

>>> detector = ChangeDetector(usual=(0.0, 1.0))
>>> found = [i for i, x in enumerate([0.0, 0.5, -0.5] * 20 + [2.0] * 10) if detector.update(x).detected]
>>> found, detector.shift.began, detector.shift.before, round(detector.shift.after, 2)
([67], 60, 0.0, 2.0)

Latencies are to be handed in as logarithms: what varies by factors is then found by factors.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from routecast.analytics.changes.cusum import ALLOWANCES, BOUNDS, LEAST_Z, MOST_Z

_LEAST_N = 30
"""Values that must be known before anything is usual."""
_MOST_N = 5_000
"""Values behind what is usual: older ones fade."""
_DOUBTED = 0.25
"""What comes while a sum is a quarter of the way to its bound teaches nothing of what is usual."""
_ERRORS = 1.5


class Shift(NamedTuple):
    """A change that was found."""

    began: int
    """Number of the first value at the new level, from 0, as estimated."""
    before: float
    after: float
    statistic: float
    """Log-likelihood ratio."""
    bound: float
    n: int
    """Values since it began."""


class _Side:
    """Evidence of one hypothesis."""

    __slots__ = ("allowance", "bound", "n", "sign", "sum", "total", "total2")

    def __init__(self, sign: float, allowance: float, bound: float) -> None:
        self.sign, self.allowance, self.bound = sign, allowance, bound
        self.sum = self.total = self.total2 = 0.0
        self.n = 0

    def update(self, z: float, x: float, unsure: float) -> float:
        """Take a value; the sum ÷ its bound."""
        grown = self.sum + 2.0 * self.allowance * (self.sign * z - self.allowance - unsure)
        if grown <= 0.0:
            self.sum = self.total = self.total2 = 0.0
            self.n = 0
            return 0.0
        self.sum = grown
        self.n += 1
        self.total += x
        self.total2 += x * x
        return grown / self.bound


class ChangeDetector:
    """Two-sided multi-CUSUM of values that are independent and roughly normal, with outliers; constant memory, about 2 µs a value.

    It learns what is usual from the first 30 values and goes on learning while nothing is suspected. After a change the new level is the usual one, and
    the next change is looked for from there. One false alarm in two million values where what is usual is known.

    Args:
        usual: mean and standard deviation, where they are known; they are then not learned, not even after a change of the level.
        bounds: log-likelihood ratios that the evidence of the three sizes of shift must pass.
    """

    __slots__ = ("_known", "_mean", "_n", "_seen", "_sides", "_squares", "detected", "shift")

    def __init__(self, usual: tuple[float, float] | None = None, bounds: tuple[float, float, float] = BOUNDS) -> None:
        self._known = usual
        self._mean, self._squares, self._n = 0.0, 0.0, 0.0
        self._sides = [_Side(sign, k, bound) for sign in (1.0, -1.0) for k, bound in zip(ALLOWANCES, bounds, strict=True)]
        self._seen = 0
        self.detected = False
        """Whether the last value completed the evidence of a change."""
        self.shift: Shift | None = None
        """The last change that was found."""

    @property
    def usual(self) -> tuple[float, float]:
        """Mean and standard deviation of what is usual; (0, 0) before there is any."""
        return self._known or (self._mean, math.sqrt(self._squares / self._n) if self._n else 0.0)

    @property
    def doubt(self) -> float:
        """How near the evidence is to an alarm, 0..1."""
        return max(side.sum / side.bound for side in self._sides)

    def update(self, x: float) -> ChangeDetector:
        """Take a value."""
        self.detected = False
        doubt = 0.0
        if self._known is not None or self._n >= _LEAST_N:
            doubt = self._look(x)
        if doubt > 1.0:
            self._alarm()
        elif doubt <= _DOUBTED and self._known is None:
            self._learn(x)
        self._seen += 1
        return self

    def _look(self, x: float) -> float:
        mean, sd = self.usual
        off = x - mean
        z = min(MOST_Z, max(LEAST_Z, off / sd)) if sd > 0.0 else math.copysign(-LEAST_Z, off) if off else 0.0
        unsure = 0.0 if self._known else _ERRORS / math.sqrt(self._n)
        return max([side.update(z, off, unsure) for side in self._sides])

    def _learn(self, x: float) -> None:
        self._n += 1.0
        off = x - self._mean
        self._mean += off / self._n
        self._squares += off * (x - self._mean)
        if self._n > _MOST_N:
            self._squares *= _MOST_N / self._n
            self._n = _MOST_N

    def _alarm(self) -> None:
        side = max(self._sides, key=lambda side: side.sum / side.bound)
        mean, _ = self.usual
        off = side.total / side.n
        self.detected = True
        self.shift = Shift(self._seen - side.n + 1, mean, mean + off, side.sum, side.bound, side.n)
        self._mean, self._n, self._squares = mean + off, float(side.n), max(0.0, side.total2 - side.n * off * off)
        for each in self._sides:
            each.sum = each.total = each.total2 = 0.0
            each.n = 0
