"""Means of blocks of time as observations, for arms whose requests are not independent: they share a block, or a session.

While a block lasts, the sums of its arm grow. When the arm's next block begins, what was added since the last one is one observation, late
answers included. Every block counts the same, however many requests it had: a busy hour does not decide alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routecast.analytics.experiments.measures import Sums, Watched
from routecast.analytics.experiments.moments import Moments

_NONE = Sums(0.0, 0.0, 0.0)


class UnitMeans:
    """Of one arm. Memory: a few numbers for each measure."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {"block": -1, "base": {}, "sums": {}}
        self._block: int = state["block"]
        self._base = {name: Sums(*sums) for name, sums in state["base"].items()}
        self._sums = {name: Sums(*sums) for name, sums in state["sums"].items()}

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"block": self._block, "base": {k: list(v) for k, v in self._base.items()}, "sums": {k: list(v) for k, v in self._sums.items()}}

    def take(self, block: int, now: Mapping[Watched, Sums]) -> None:
        """See the sums of the arm while `block` is the newest of its own."""
        if block <= self._block:
            return
        for watched, sums in now.items() if self._block >= 0 else ():
            before, units = self._base[watched], self._sums.get(watched, _NONE)
            if sums.n > before.n:
                mean = (sums.total - before.total) / (sums.n - before.n)
                self._sums[watched] = Sums(units.n + 1, units.total + mean, units.squares + mean * mean)
        self._block, self._base = block, dict(now)

    def moments(self, watched: Watched) -> Moments:
        """Of the means of the blocks that are over."""
        return Moments.of(*self._sums.get(watched, _NONE))
