"""Breaker: Bernoulli multi-CUSUM on the outcomes of a target (Page 1954; Lorden 1971), here for a router, one outcome after the other.

Each hypothesis "the failure ratio is 10, 30 or 80 %" keeps a log-likelihood ratio against the usual ratio, never below 0; the
target trips when one passes the bound. It needs about 4 requests when a target is dead and 20 when 30 % fail, where a ratio over
the last hundred needs 50 or never trips.
"""

from __future__ import annotations

import math

HYPOTHESES = (0.1, 0.3, 0.8)
BOUND = 12.0
LEAST_USUAL, MOST_USUAL = 0.02, 0.10
"""Bounds of the ratio that may count as usual."""
_USUAL_N = 1_000
"""Requests behind the ratio that a router takes for usual."""


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
        return max(sums) > BOUND

    def forget(self) -> None:
        """Restart without evidence; what is usual stays known."""
        self._sums = None


Steps = tuple[float, float, float]


def _steps(usual: float) -> tuple[Steps, Steps]:
    """Steps of the three hypotheses at a success and at a failure; one that is left out falls to nothing at once."""
    p0 = min(MOST_USUAL, max(LEAST_USUAL, usual))
    good = [math.log((1.0 - p) / (1.0 - p0)) if 2.0 * p0 <= p else -math.inf for p in HYPOTHESES]
    bad = [math.log(p / p0) if 2.0 * p0 <= p else -math.inf for p in HYPOTHESES]
    return (good[0], good[1], good[2]), (bad[0], bad[1], bad[2])
