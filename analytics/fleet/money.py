"""What money is worth in seconds of expected cost: as configured, and what it takes to keep to a budget (the dual variable of that constraint).

Source: online dual ascent for budgeted choices (Agrawal and Devanur, 2014): the price of money rises while requests cost more than the budget and
falls while they cost less, down to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from routecast.models.rows import TargetTotals

_TAU_S = 10.0
_STEP_PER_S = 0.05
_DAMPING = 0.5
"""What is over the budget right now counts beside the sum of what was: prices act late, and the sum alone swings."""
_MOST = 100.0
"""Where even that keeps nobody from dear targets there is no cheaper one."""
_MICRO = 1e-6


class Money:
    """Of one service. Requests of which no cost was reported do not count.

    Args:
        usd_per_second: what a second is worth, USD; 0: nothing is paid for speed, price does not count.
        usd_per_request: mean price of a request to keep to, USD; 0: no budget.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_price", "_over", "_usd", "_n")

    def __init__(self, usd_per_second: float, usd_per_request: float) -> None:
        self._usd_per_second, self._budget_usd = usd_per_second, usd_per_request
        self._price = self._over = self._usd = self._n = 0.0

    def update(self, elapsed_s: float, new: Sequence[TargetTotals]) -> None:
        """Take what requests were reported to cost since `elapsed_s` ago."""
        keep = math.exp(-elapsed_s / _TAU_S)
        self._usd = self._usd * keep + sum(item.cost_micro_usd for item in new) * _MICRO
        self._n = self._n * keep + sum(item.cost_n for item in new)
        if self._budget_usd > 0 and self._n > 0:
            self._over = self._usd / self._n / self._budget_usd - 1.0
            self._price = min(_MOST, max(0.0, self._price + _STEP_PER_S * elapsed_s * self._over))

    def seconds_per_usd(self, reference_s: float) -> float:
        """What a US dollar counts in expected costs, seconds; `reference_s` is what a usual request takes."""
        configured = 1.0 / self._usd_per_second if self._usd_per_second > 0 else 0.0
        price = max(0.0, self._price + _DAMPING * self._over)
        return configured + (price * reference_s / self._budget_usd if self._budget_usd > 0 else 0.0)
