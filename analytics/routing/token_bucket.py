"""Token bucket (Turner 1986): what a rate limit lets pass, in requests or in tokens."""

from __future__ import annotations

import math


class TokenBucket:
    """Fills evenly up to its capacity; from any moment on it lets no more than rate × time + capacity pass.

    Times are epoch milliseconds; a clock that is set back fills nothing. Memory: four numbers.

    Example:
        bucket = TokenBucket(per_s=2.0, capacity=10.0, now_ms=0.0)
        assert bucket.take(10.0, now_ms=0.0)
        assert not bucket.take(1.0, now_ms=499.0)
        assert bucket.take(1.0, now_ms=500.0)

    """

    __slots__ = ("_at_ms", "_level", "capacity", "per_s")

    def __init__(self, per_s: float, capacity: float, now_ms: float) -> None:
        """Full at first; `per_s` ≥ 0, `capacity` > 0."""
        self.per_s = per_s
        self.capacity = capacity
        self._level = capacity
        self._at_ms = now_ms

    def level(self, now_ms: float) -> float:
        """What is left, at most the capacity; below 0 what was taken beyond it."""
        elapsed_ms = now_ms - self._at_ms
        if elapsed_ms > 0:
            self._level = min(self.capacity, self._level + elapsed_ms * self.per_s / 1000.0)
        self._at_ms = now_ms
        return self._level

    def take(self, amount: float, now_ms: float) -> bool:
        """Take `amount`; False, and nothing taken, where less is left."""
        if self.level(now_ms) < amount:
            return False
        self._level -= amount
        return True

    def debit(self, amount: float, now_ms: float) -> None:
        """Take `amount` whatever is left: it happened."""
        self._level = self.level(now_ms) - amount

    def credit(self, amount: float, now_ms: float) -> None:
        """Give back what was taken and not used."""
        self._level = min(self.capacity, self.level(now_ms) + amount)

    def settle(self, estimate: float, true: float, now_ms: float) -> None:
        """Replace what was taken as an estimate by what it was."""
        if true > estimate:
            self.debit(true - estimate, now_ms)
        else:
            self.credit(estimate - true, now_ms)

    def fill_to(self, level: float, now_ms: float) -> None:
        """Believe that this much is left."""
        self._level = min(self.capacity, level)
        self._at_ms = now_ms

    def wait_ms(self, amount: float, now_ms: float) -> float:
        """Time until `amount` is left; inf where it never will be."""
        lacking = amount - self.level(now_ms)
        if lacking <= 0:
            return 0.0
        return lacking / self.per_s * 1000.0 if self.per_s > 0 and amount <= self.capacity else math.inf
