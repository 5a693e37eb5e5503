"""Breaker: Bernoulli multi-CUSUM on the outcomes of a target (Page 1954; Lorden 1971), for the fleet grouped at ticks, for a router one by one.

Each hypothesis "the failure ratio is 10, 30 or 80 %" keeps a log-likelihood ratio against the usual ratio, never below 0; the
target trips when one passes the bound. It needs about 4 requests when a target is dead and 20 when 30 % fail, where a ratio over
the last hundred needs 50 or never trips.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_HYPOTHESES = (0.1, 0.3, 0.8)
_BAD: Floats = np.array(_HYPOTHESES)
_BOUND = 12.0
_LEAST_USUAL, _MOST_USUAL = 0.02, 0.10
_USUAL_N = 1_000
"""Requests behind the ratio that a router takes for usual."""


class MultiCusum:
    """Evidence of failure of `n` targets."""

    STATE: ClassVar[tuple[str, ...]] = ("_sums",)

    def __init__(self, n: int = 0) -> None:
        self._sums: Floats = np.zeros((n, len(_BAD)))

    def grow(self, n: int) -> None:
        """Make room for `n` targets."""
        self._sums = np.pad(self._sums, ((0, n - len(self._sums)), (0, 0)))

    def update(self, ok: Floats, failed: Floats, usual: Floats) -> NDArray[np.bool_]:
        """Take new outcomes (429 and the caller's own faults are none); which targets trip.

        `usual` is the long-run failure ratio of each target, bounded to 2–10 %; hypotheses below twice it are left out.
        """
        p0 = np.clip(usual, _LEAST_USUAL, _MOST_USUAL)[:, None]
        steps = failed[:, None] * np.log(_BAD / p0) + ok[:, None] * np.log((1.0 - _BAD) / (1.0 - p0))
        self._sums = np.where(2.0 * p0 <= _BAD, np.maximum(0.0, self._sums + steps), 0.0)
        return np.asarray((self._sums > _BOUND).any(axis=1), np.bool_)

    def forget(self, targets: NDArray[np.int64]) -> None:
        """Restart these targets without evidence."""
        self._sums[targets] = 0.0


class OwnCusum:
    """Evidence of failure of one target, from one router's own calls; an outcome costs well below a microsecond.

    The usual ratio is learned from the same outcomes, over the last thousand, and begins at nothing.
    """

    __slots__ = ("_bad_steps", "_good_steps", "_sums", "usual")

    def __init__(self) -> None:
        self.usual = 0.0
        """Long-run failure ratio, 0..1."""
        self._sums: tuple[float, float, float] | None = None
        self._good_steps, self._bad_steps = _steps(0.0)

    def ok(self) -> None:
        """Take a success."""
        self.usual -= self.usual / _USUAL_N
        sums = self._sums
        if sums is not None:
            low, middle, high = self._good_steps
            a, b, c = sums[0] + low, sums[1] + middle, sums[2] + high
            self._sums = (max(0.0, a), max(0.0, b), max(0.0, c)) if a > 0.0 or b > 0.0 or c > 0.0 else None

    def failed(self) -> bool:
        """Take a failure (429 and the caller's own faults are none); whether the target trips."""
        self._good_steps, self._bad_steps = _steps(self.usual)
        self.usual += (1.0 - self.usual) / _USUAL_N
        a, b, c = self._sums or (0.0, 0.0, 0.0)
        low, middle, high = self._bad_steps
        self._sums = sums = (max(0.0, a + low), max(0.0, b + middle), max(0.0, c + high))
        return max(sums) > _BOUND

    def forget(self) -> None:
        """Restart without evidence; what is usual stays known."""
        self._sums = None


Steps = tuple[float, float, float]


def _steps(usual: float) -> tuple[Steps, Steps]:
    """Steps of the three hypotheses at a success and at a failure; one that is left out falls to nothing at once."""
    p0 = min(_MOST_USUAL, max(_LEAST_USUAL, usual))
    good = [math.log((1.0 - p) / (1.0 - p0)) if 2.0 * p0 <= p else -math.inf for p in _HYPOTHESES]
    bad = [math.log(p / p0) if 2.0 * p0 <= p else -math.inf for p in _HYPOTHESES]
    return (good[0], good[1], good[2]), (bad[0], bad[1], bad[2])
