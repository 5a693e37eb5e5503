"""How many requests of a service arrive, as a series that changes can be found in: the logarithm of the count of a minute."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from routecast.analytics.changes.episodes import Episode
from routecast.analytics.changes.levels import Levels, Seen

BLOCK_S = 60.0
_LEAST_BLOCKS = 300.0
"""Of the 360 that six hours of decay let count: half a day. Before that nobody knows what is usual."""
_HALF = 0.5
"""Stands for a minute without requests, which has no logarithm."""
HANGS_TOGETHER_S = 3_600.0


class Throughput:
    """Arrivals of one service, minute by minute.

    Bursts make minutes differ, and so they are one observation each, compared with how much minutes usually differ; what hangs together over an hour,
    as the rhythm of a day does until it is known, counts for less (`dispersion.py`).
    """

    STATE: ClassVar[tuple[str, ...]] = ("_arrived", "_s")

    def __init__(self) -> None:
        self._arrived = self._s = 0.0
        self.levels = Levels(sd=1.0, least_sd=0.1, least_n=_LEAST_BLOCKS, block_s=HANGS_TOGETHER_S)
        self.levels.grow(1)

    def update(self, at_ms: float, elapsed_s: float, arrived: float) -> list[Episode]:
        """Take how many arrived since `elapsed_s` ago; what is to be said of it."""
        self._arrived += arrived
        self._s += elapsed_s
        if self._s < BLOCK_S:
            return []
        one, per_min = np.ones(1), math.log((self._arrived + _HALF) * 60.0 / self._s)
        deviation = per_min - self.levels.expected(at_ms)
        block_s, self._arrived, self._s = self._s, 0.0, 0.0
        return self.levels.update(at_ms, block_s, Seen(one, np.array([[per_min]]), deviation, deviation**2, one))
