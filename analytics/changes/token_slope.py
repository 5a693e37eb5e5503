"""How the time of an answer grows with its length: what a long answer may take before it counts as slow."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.changes.usual import TAU_S
from routecast.analytics.fleet.capacity_fit import LatencyGroups

Floats = NDArray[np.float64]

_PRIOR = 20.0
"""Weight of the slope 0 before anything is known: twenty answers, the lengths of which differ by a factor of e."""
_MOST_SLOPE = 1.5


class TokenSlope:
    """Slope of ln L over ln(output tokens + 64) of one service, by least squares through sums of groups; 0 where nothing tells tokens.

    Sums of groups suffice: a group's deviations, divided by the root of its size, are as good an observation as any single answer's.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_n", "_tokens", "_xx", "_xy")

    def __init__(self) -> None:
        self._n = self._tokens = self._xx = self._xy = 0.0

    def longer(self, groups: LatencyGroups) -> Floats:
        """By how much the answers of each group are expected to take longer than usual ones, Σ of logarithms."""
        slope = min(_MOST_SLOPE, max(0.0, self._xy / (self._xx + _PRIOR)))
        return slope * self._further(groups)

    def update(self, elapsed_s: float, groups: LatencyGroups, deviation: Floats) -> None:
        """Take groups since `elapsed_s` ago, with the sums of their deviations from the usual logarithm of latency, tokens not counted."""
        decay = math.exp(-elapsed_s / TAU_S)
        further, told = self._further(groups), groups.tokens_n >= groups.n
        weight = told / np.maximum(1.0, groups.n)
        self._n = self._n * decay + float(np.sum(groups.tokens_n * np.ones(len(groups.n))))
        self._tokens = self._tokens * decay + float(np.sum(groups.sum_ln_tokens * np.ones(len(groups.n))))
        self._xx = self._xx * decay + float((weight * further**2).sum())
        self._xy = self._xy * decay + float((weight * further * deviation).sum())

    def _further(self, groups: LatencyGroups) -> Floats:
        mean = self._tokens / self._n if self._n > 0.0 else 0.0
        return np.asarray((groups.sum_ln_tokens - groups.tokens_n * mean) * np.ones(len(groups.n)), np.float64) if mean else np.zeros(len(groups.n))
