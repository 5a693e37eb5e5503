"""What a request of a service really costs at each target: the reported cost, which knows of cached prompts and discounts, beside the list price.

Where a list price is configured, what is learned is the factor on it: reported cost ÷ list price of the same requests' tokens, so that a target
which happens to get the long requests does not look dear. Where none is, it is the reported cost itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.pane import MILLION
from routecast.models.config import TargetConfig
from routecast.models.rows import TargetTotals

Floats = NDArray[np.float64]

_TAU_S = 3_600.0
"""Prices change seldom, shares of cached prompts slowly."""
_NOTHING = 1e-9
_MOST_USD = 1e6
"""What a single request may be reported to cost at the most."""
_N, _USD, _LIST_USD = range(3)
_PER_MTOK = 1e-6


class EffectivePrice:
    """Decayed reported costs of `n` targets, and what the list would have asked."""

    STATE: ClassVar[tuple[str, ...]] = ("_sums",)

    def __init__(self) -> None:
        self._sums: Floats = np.zeros((3, 0))

    def grow(self, n: int) -> None:
        """Make room for `n` targets."""
        self._sums = np.pad(self._sums, ((0, 0), (0, n - self._sums.shape[1])))

    def update(self, elapsed_s: float, new: Sequence[TargetTotals], targets: Sequence[TargetConfig]) -> None:
        """Take what is new of every target since `elapsed_s` ago."""
        self._sums *= math.exp(-elapsed_s / _TAU_S)
        for i, item in enumerate(new):
            if item.cost_n:
                asked = list_usd(targets[i], item.cost_input_tokens, item.cost_output_tokens)
                self._sums[:, i] += (item.cost_n, item.cost_micro_usd / MILLION, asked)

    def usd(self, targets: Sequence[TargetConfig], input_tokens: float, output_tokens: float, weight: float) -> Floats:
        """Expected USD of a request with so many tokens, per target, 1e6 at the most; the list price counts as `weight` requests. 0 where nothing is known."""
        n, usd, listed = self._sums
        asked = np.array([list_usd(target, input_tokens, output_tokens) for target in targets])
        prior = weight * listed / np.maximum(n, _NOTHING)
        by_list = asked * (usd + prior) / np.maximum(listed + prior, _NOTHING)
        plain = (usd + weight * asked * (asked > 0)) / np.maximum(n + weight * (asked > 0), _NOTHING)
        return np.minimum(np.where(n <= _NOTHING, asked, np.where(listed > _NOTHING, by_list, plain)), _MOST_USD)


def list_usd(target: TargetConfig, input_tokens: float, output_tokens: float) -> float:
    """What the configured prices ask for so many tokens, USD."""
    return (input_tokens * target.input_usd_per_mtok + output_tokens * target.output_usd_per_mtok) * _PER_MTOK
