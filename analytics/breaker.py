"""Fleet-wide breaker: Bernoulli multi-CUSUM on the outcomes of a target, grouped at ticks (Page 1954; Lorden 1971).

Each hypothesis "the failure ratio is 10, 30 or 80 %" keeps a log-likelihood ratio against the usual ratio, never below 0; the
target trips when one passes the bound. It needs about 4 requests when a target is dead and 20 when 30 % fail, where a ratio over
the last hundred needs 50 or never trips.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BAD: Floats = np.array([0.1, 0.3, 0.8])
_BOUND = 12.0
_LEAST_USUAL, _MOST_USUAL = 0.02, 0.10


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
