"""How much more a series varies over minutes than independent observations would: bursts, queues and slow wandering make their evidence worth less."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TAU_S = 86_400.0
_PRIOR = 10.0
"""Blocks of independent observations that are taken for granted."""
_MOST = 50.0
"""What one block may say at the most: the beginning of a change is not how the series usually is."""


class Dispersion:
    """Index of dispersion of `n` series, from blocks of standardised deviations: E[(Σ z)² / n], 1 where they are independent (Cox and Lewis 1966).

    Args:
        block_s: length of a block, seconds.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_n", "_z", "_blocks", "_sum", "_begun_ms")

    def __init__(self, block_s: float) -> None:
        self._block_ms = block_s * 1000.0
        self._n, self._z, self._blocks, self._sum = (np.zeros(0) for _ in range(4))
        self._begun_ms = 0.0

    def grow(self, n: int) -> None:
        """Make room for `n` series."""
        self._n, self._z, self._blocks, self._sum = (np.pad(a, (0, n - len(a))) for a in (self._n, self._z, self._blocks, self._sum))

    @property
    def factor(self) -> Floats:
        """By how much the evidence of each series is to be divided; at least 1."""
        factor: Floats = np.maximum(1.0, (self._sum + _PRIOR) / (self._blocks + _PRIOR))
        return factor

    def update(self, at_ms: float, n: Floats, z: Floats) -> None:
        """Take sums of `n` standardised deviations of each series; 0 where there are none, or none that is usual."""
        self._n += n
        self._z += z
        if not self._begun_ms <= at_ms < self._begun_ms + self._block_ms:
            self._close(at_ms)

    def _close(self, at_ms: float) -> None:
        decay = math.exp(-max(0.0, at_ms - self._begun_ms) / 1000.0 / _TAU_S)
        seen = self._n > 0.0
        self._blocks = self._blocks * decay + seen
        self._sum = self._sum * decay + np.where(seen, np.minimum(_MOST, self._z**2 / np.maximum(self._n, 1.0)), 0.0)
        self._n[:], self._z[:] = 0.0, 0.0
        self._begun_ms = at_ms
