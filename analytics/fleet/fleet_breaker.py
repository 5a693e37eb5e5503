"""The breaker's multi-CUSUM for the fleet: outcomes of many targets, grouped at ticks. `analytics/routing/breaker.py` says what it does."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.routing.breaker import BOUND, HYPOTHESES, LEAST_USUAL, MOST_USUAL

Floats = NDArray[np.float64]

_BAD: Floats = np.array(HYPOTHESES)


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
        p0 = np.clip(usual, LEAST_USUAL, MOST_USUAL)[:, None]
        steps = failed[:, None] * np.log(_BAD / p0) + ok[:, None] * np.log((1.0 - _BAD) / (1.0 - p0))
        self._sums = np.where(2.0 * p0 <= _BAD, np.maximum(0.0, self._sums + steps), 0.0)
        return np.asarray((self._sums > BOUND).any(axis=1), np.bool_)

    def forget(self, targets: NDArray[np.int64]) -> None:
        """Restart these targets without evidence."""
        self._sums[targets] = 0.0
