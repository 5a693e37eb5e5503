"""What one rate limit of one target still allows this router: the fleet's bucket, read off headers and its own use in between.

A router sees only a part a of the traffic. It keeps the bucket of the whole fleet and takes 1/a from it for each of its own requests (at
most 64), so that all routers together take what is there, each in proportion to its traffic. An answer's header replaces the estimate: it
tells what was left when its request was let in, so what this router has used since then is taken off again and what has been
filled since is added.
"""

from __future__ import annotations

import math

from routecast.analytics.routing.token_bucket import TokenBucket
from routecast.models.limits import Quota

BURST_S = 10.0
"""Seconds of a configured limit that may be used at once; headers know better."""
_MINUTE_S = 60.0
"""What a limit is per, where nobody says."""
_LEAST_RATE = 1.0 / 86_400.0
"""Slowest filling believed, in limits per second."""
_FASTEST_RATE = 1000.0
_LONGEST_DEBT_S = 300.0
_KEPT = 0.9
"""Of what earlier headers said of the filling."""
_ROUNDED = 0.5
"""What a count of what is left is below the truth on average."""


class Allowance:
    """One limit, of requests or of tokens; times are epoch milliseconds. Memory: about ten numbers."""

    __slots__ = ("_again_at_ms", "_booked", "_bucket", "_filled", "_filling_ms", "_full_at_ms", "_told_ms", "_window_ms", "room", "used")

    def __init__(self, per_s: float, capacity: float, now_ms: float) -> None:
        self._bucket = TokenBucket(per_s, capacity, now_ms)
        self._full_at_ms = self._again_at_ms = math.inf
        self._told_ms = -math.inf
        self._filled = self._filling_ms = 0.0
        self._window_ms = 0.0
        self.used = self._booked = 0.0
        """Everything this router ever took: adding to it is all that a start costs."""
        self.room = 0.0
        """What `used` may rise to before it is worth a look whether another request fits."""

    @classmethod
    def configured(cls, per_min: float) -> Allowance:
        """A limit as the configuration knows it, 10 s of it at once; full at first."""
        return cls(per_min / 60.0, max(1.0, per_min / 60.0 * BURST_S), 0.0)

    def settle(self, estimate: float, true: float, started_ms: float) -> None:
        """Replace an estimate by the truth, unless a header has replaced both: it came from a request that began later, or from this one."""
        if started_ms > self._told_ms:
            self.used += true - estimate

    def told(self, quota: Quota, started_ms: float, used_then: float, replicas: float, now_ms: float) -> None:
        """Believe the header of an answer to a request that began at `started_ms`, after which `used_then` had been used."""
        if started_ms < self._told_ms:
            return
        self._told_ms, self._again_at_ms = started_ms, math.inf
        bucket = self._bucket
        capacity = quota.limit or max(1.0, bucket.capacity, quota.remaining)
        if capacity != bucket.capacity:
            bucket.capacity, self._filled, self._filling_ms, self._window_ms = capacity, 0.0, 0.0, 0.0
        self._learn_rate(quota, bucket.capacity, now_ms)
        filled = (now_ms - started_ms) / 1000.0 * bucket.per_s
        bucket.fill_to(quota.remaining + filled - (self.used - used_then) * replicas, now_ms)
        self._booked = self.used

    def come_again(self, at_ms: float) -> None:
        """A refusal named this time: believed where headers never say when there is more, as those of Azure; half of it is there then."""
        if self._told_ms > -math.inf and not self._filling_ms and not self._window_ms:
            self._again_at_ms = at_ms

    def _learn_rate(self, quota: Quota, limit: float, now_ms: float) -> None:
        """Filling per second: from the way to full and the time it takes, averaged; of a window nothing until its end."""
        bucket, self._full_at_ms = self._bucket, math.inf
        if quota.reset_ms is not None and not quota.even:
            bucket.per_s, self._full_at_ms = 0.0, now_ms + quota.reset_ms
            self._window_ms = max(self._window_ms, quota.reset_ms)
        elif quota.reset_ms and limit > quota.remaining:
            self._filled = _KEPT * self._filled + limit - quota.remaining - _ROUNDED
            self._filling_ms = _KEPT * self._filling_ms + quota.reset_ms
            rate = self._filled / self._filling_ms * 1000.0
            bucket.per_s = min(_FASTEST_RATE * limit, max(_LEAST_RATE * limit, rate))
        else:
            bucket.per_s = bucket.per_s or limit / _MINUTE_S

    @property
    def per_min(self) -> float | None:
        """The limit as headers tell it, per minute; None where they do not."""
        if self._filling_ms > 0:
            return self._bucket.per_s * 60.0
        return self._bucket.capacity / self._window_ms * 60_000.0 if self._window_ms > 0 else None

    def headroom(self, replicas: float, now_ms: float) -> float:
        """Free part, 0..1."""
        return min(1.0, max(0.0, self._level(replicas, now_ms) / self._bucket.capacity))

    def wait_ms(self, amount: float, replicas: float, now_ms: float) -> float:
        """Time until there is `amount` for everybody, `replicas` times that of this router; of half the capacity at the most.

        A small limit is not kept for the others for ever.
        """
        least = min(amount * replicas, self._bucket.capacity / 2.0)
        self.room = self.used + max(0.0, self._level(replicas, now_ms) - least) / replicas
        return min(self._bucket.wait_ms(least, now_ms), max(0.0, min(self._full_at_ms, self._again_at_ms) - now_ms))

    def _level(self, replicas: float, now_ms: float) -> float:
        """What is left when everything used is booked; below a debt that takes 300 s to fill it is forgiven."""
        bucket = self._bucket
        if now_ms >= self._full_at_ms:
            self._full_at_ms = math.inf
            bucket.per_s = bucket.capacity / _MINUTE_S
            bucket.fill_to(bucket.capacity, now_ms)
        if now_ms >= self._again_at_ms:
            self._again_at_ms = math.inf
            bucket.fill_to(max(bucket.level(now_ms), bucket.capacity / 2.0), now_ms)
        new, self._booked = self.used - self._booked, self.used
        if new:
            deepest = min(bucket.level(now_ms), -max(bucket.capacity, _LONGEST_DEBT_S * bucket.per_s))
            bucket.settle(0.0, new * replicas, now_ms)
            bucket.fill_to(max(deepest, bucket.level(now_ms)), now_ms)
        return bucket.level(now_ms)
