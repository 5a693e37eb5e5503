"""Targets that hang: requests are sent, none comes back, and no completion will speak against the target for a long time.

A request open for longer than eight times its prediction counts as a failure, once; where it ends badly later, that is not counted again. Only
where nothing succeeded for half of that time while more was sent: what a process left open that died says nothing of a target.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.fleet.load import LoadTracker

Floats = NDArray[np.float64]

_PATIENCE = 8.0
_LEAST_PATIENCE_MS = 3_000.0
"""Ends become known up to two seconds late."""
_LEFT_MS = 120_000.0


class Hangs:
    """Requests of `n` targets that are open for too long; advanced only at ticks."""

    STATE: ClassVar[tuple[str, ...]] = ("_booked", "_cutoff_ms", "_left", "_left_until_ms", "_patience_ms", "_succeeded_ms", "_started_ms")

    def __init__(self) -> None:
        self._booked: Floats = np.zeros(0)
        self._cutoff_ms: Floats = np.zeros(0)
        self._left: Floats = np.zeros(0)
        self._left_until_ms: Floats = np.zeros(0)
        self._patience_ms: Floats = np.zeros(0)
        self._succeeded_ms: Floats = np.zeros(0)
        self._started_ms: Floats = np.zeros(0)

    def grow(self, n: int) -> None:
        """Make room for `n` targets."""
        more = (0, n - len(self._booked))
        self._booked, self._patience_ms = np.pad(self._booked, more), np.pad(self._patience_ms, more, constant_values=np.inf)
        self._cutoff_ms = np.pad(self._cutoff_ms, more)
        self._left, self._left_until_ms = np.pad(self._left, more), np.pad(self._left_until_ms, more)
        self._succeeded_ms, self._started_ms = np.pad(self._succeeded_ms, more), np.pad(self._started_ms, more)

    def expect(self, time_s: Floats, utilisation: Floats) -> None:
        """From now on requests are expected to take so long, seconds, longer where more are in flight than a target serves at once; ∞: unknown."""
        self._patience_ms = np.maximum(_LEAST_PATIENCE_MS, _PATIENCE * 1000.0 * time_s * np.maximum(1.0, utilisation))

    def leave(self, targets: NDArray[np.int64], now_ms: float, load: LoadTracker) -> None:
        """These targets begin anew: what is open there now belongs to the outage, and does not count if it ends badly within two minutes."""
        self._left[targets] = load.in_flight()[targets]
        self._left_until_ms[targets] = now_ms + _LEFT_MS

    @property
    def patience_s(self) -> Floats:
        """How long a request may be open, seconds; 0 where that is not known."""
        return np.where(np.isfinite(self._patience_ms), self._patience_ms, 0.0) / 1000.0

    def update(self, now_ms: float, ok: Floats, broken: Floats, started: Floats, load: LoadTracker) -> tuple[Floats, Floats]:
        """Per target, failures that ended and were not counted yet, and requests that are now found to hang."""
        self._succeeded_ms = np.where(ok > 0, now_ms, self._succeeded_ms)
        self._started_ms = np.where(started > 0, now_ms, self._started_ms)
        since_ms = now_ms - self._patience_ms / 2
        silent = (self._succeeded_ms < since_ms) & (self._started_ms >= since_ms) & np.isfinite(self._patience_ms)
        still, older = np.zeros(len(ok)), np.zeros(len(ok))
        cutoff_ms = np.maximum(self._cutoff_ms, now_ms - self._patience_ms)
        for i in np.flatnonzero(silent | (self._booked > 0)):
            still[i], older[i] = load.open_before(int(i), self._cutoff_ms[i]), load.open_before(int(i), cutoff_ms[i])
        self._cutoff_ms = cutoff_ms
        ended = np.maximum(0.0, self._booked - still)
        new = np.where(silent, np.maximum(0.0, older - still), 0.0)
        self._booked = self._booked - ended + new
        kept = np.maximum(0.0, broken - ended)
        absorbed = np.where(now_ms < self._left_until_ms, np.minimum(self._left, kept), 0.0)
        self._left = self._left - absorbed
        return kept - absorbed, new
