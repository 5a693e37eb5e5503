"""Retry budget: extra attempts are paid for by ordinary ones, so that retries cannot multiply the load of a service that fails.

A token bucket after Finagle's RetryBudget: what requests deposit fades with a time constant instead of expiring all at once. The same
bucket, counted in tokens of the model instead of attempts, pays for hedges.
"""

from __future__ import annotations

import math

TAU_S = 10.0
"""Deposits fade with this time constant: a quiet hour must not pay for a storm."""
_REFILL_S = 60.0
_KEPT = 2.0
"""Deposits worth so many extra attempts do not fade: requests that come rarely pay for one too."""
_NOTHING = 1e-9


class RetryBudget:
    """Every request deposits `ratio` of its size, every extra attempt withdraws its whole size.

    Over any stretch of time withdrawals are at most `ratio` × deposits + `reserve` × (1 + minutes). Memory: six numbers.

    Args:
        ratio: extra load allowed on average, 0..1.
        reserve: what may be withdrawn without deposits; it comes back within a minute, so that rare requests can be retried too.
    """

    __slots__ = ("_at_s", "_earned", "_free", "_kept", "_ratio", "_reserve")

    def __init__(self, ratio: float, reserve: float, now_s: float) -> None:
        self._ratio = ratio
        self._reserve = self._free = reserve
        self._earned = self._kept = 0.0
        self._at_s = now_s

    def deposit(self, now_s: float, size: float = 1.0) -> None:
        """A request of this size begins, at a monotonic time in seconds."""
        self._advance(now_s)
        self._earned += self._ratio * size
        self._kept = _KEPT * size

    def withdraw(self, now_s: float, size: float = 1.0) -> bool:
        """Pay for an extra attempt of this size; False, and nothing is taken, when there is too little."""
        self._advance(now_s)
        if self.available + _NOTHING < size:
            return False
        earned = min(self._earned, size)
        self._earned -= earned
        self._free = max(0.0, self._free - (size - earned))
        return True

    @property
    def available(self) -> float:
        """What an extra attempt may weigh, as of the last call."""
        return self._earned + self._free

    def _advance(self, now_s: float) -> None:
        elapsed_s = max(0.0, now_s - self._at_s)
        self._at_s = max(self._at_s, now_s)
        kept = min(self._earned, self._kept)
        self._earned = kept + (self._earned - kept) * math.exp(-elapsed_s / TAU_S)
        self._free = min(self._reserve, self._free + self._reserve * elapsed_s / _REFILL_S)
