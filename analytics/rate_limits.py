"""Which targets a router may not use for now because of their rate limits, and how much room the others have.

A target is limited until a refusal's Retry-After (or a second, doubled with every refusal that follows the last one's end without a success in
between; 300 s at most), and while the allowance of requests or of tokens does not hold a request. Targets without limits cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from routecast.analytics.allowance import Allowance
from routecast.models.config import TargetConfig
from routecast.models.limits import ProviderLimits, Quota

LONGEST_HOLD_MS = 300_000.0
"""Longest time a refusal or a header keeps a target out."""
_FIRST_HOLD_MS = 1000.0
_SHORTEST_HOLD_MS = 10.0
_MOST_REPLICAS = 64.0
TIGHT = 0.2
"""Below this headroom a target's cost rises, to 1 / (5 · headroom)."""


class Reserved(NamedTuple):
    """What a call took when it started, and where its target's allowances stood then."""

    requests: float = 0.0
    tokens: float = 0.0
    requests_used: float = 0.0
    tokens_used: float = 0.0


UNRESERVED = Reserved()


class _Limited:
    """Limits of one target; allowances are None where nothing is known of a limit."""

    __slots__ = ("held_until_ms", "hold_ms", "requests", "tokens")

    def __init__(self) -> None:
        self.requests: Allowance | None = None
        self.tokens: Allowance | None = None
        self.held_until_ms = -math.inf
        self.hold_ms = 0.0


class RateLimits:
    """Limits of all targets of a router, in its own numbering; times are epoch ms. Memory: 0.5 kB for each target that has limits."""

    def __init__(self, targets: Sequence[TargetConfig], now_ms: float) -> None:
        self._of: list[_Limited | None] = [_configured(target, now_ms) for target in targets]
        self._replicas = 1.0
        self._tokens = 0.0

    def refresh(self, share: float, tokens: float) -> None:
        """Use this share of the traffic, in (0, 1], and this expected number of tokens of a request."""
        self._replicas = min(_MOST_REPLICAS, 1.0 / share)
        self._tokens = tokens

    @property
    def limited(self) -> list[int]:
        """Targets of which limits are known."""
        return [i for i, limits in enumerate(self._of) if limits is not None]

    def started(self, i: int, tokens: float | None, now_ms: float) -> Reserved:
        """Take a request and its tokens, the expected ones where None."""
        limits = self._of[i]
        if limits is None:
            return UNRESERVED
        requests, tokens_of = limits.requests, limits.tokens
        return Reserved(
            requests.take(self._replicas, now_ms) if requests else 0.0,
            tokens_of.take(self._replicas * (self._tokens if tokens is None else tokens), now_ms) if tokens_of else 0.0,
            requests.used if requests else 0.0,
            tokens_of.used if tokens_of else 0.0,
        )

    def ended(self, i: int, reserved: Reserved, tokens: float | None, started_ms: float, now_ms: float) -> None:
        """Settle the tokens of a call that succeeded or failed, but was not refused; None where nobody counted them."""
        limits = self._of[i]
        if limits is None:
            return
        if limits.held_until_ms <= started_ms:
            limits.hold_ms = 0.0
        if limits.tokens is not None and tokens is not None and reserved.tokens:
            limits.tokens.settle(reserved.tokens, tokens * self._replicas, started_ms, now_ms)

    def told(self, i: int, said: ProviderLimits, reserved: Reserved, started_ms: float, now_ms: float) -> None:
        """Believe the headers of an answer to a call that began at `started_ms`."""
        if said.requests is None and said.tokens is None:
            return
        limits = self._limits(i)
        if said.requests is not None:
            limits.requests = _told(limits.requests, said.requests, reserved.requests_used, started_ms, now_ms)
        if said.tokens is not None:
            limits.tokens = _told(limits.tokens, said.tokens, reserved.tokens_used, started_ms, now_ms)

    def refused(self, i: int, retry_after_ms: float | None, started_ms: float, now_ms: float) -> None:
        """Take note that a call was refused (429)."""
        limits = self._limits(i)
        again = started_ms >= limits.held_until_ms  # else it was under way when the last one was refused, and says nothing new
        told_ms = _FIRST_HOLD_MS if retry_after_ms is None else retry_after_ms
        hold_ms = max(told_ms, 2.0 * limits.hold_ms) if again else told_ms
        hold_ms = min(LONGEST_HOLD_MS, max(_SHORTEST_HOLD_MS, hold_ms))
        if again:
            limits.hold_ms = hold_ms
        limits.held_until_ms = max(limits.held_until_ms, now_ms + hold_ms)

    def until_ms(self, i: int, now_ms: float) -> float:
        """When target `i` may be used again; `now_ms` where it may now."""
        limits = self._of[i]
        if limits is None:
            return now_ms
        wait_ms = max(0.0, limits.held_until_ms - now_ms)
        if limits.requests is not None:
            wait_ms = max(wait_ms, limits.requests.wait_ms(self._replicas, now_ms))
        if limits.tokens is not None:
            wait_ms = max(wait_ms, limits.tokens.wait_ms(self._replicas * self._tokens, now_ms))
        return now_ms + min(LONGEST_HOLD_MS, wait_ms)

    def headroom(self, i: int, now_ms: float) -> float:
        """Free part of the scarcer limit of target `i`, 0..1; 1 where it has none."""
        limits = self._of[i]
        if limits is None:
            return 1.0
        return min(allowance.headroom(now_ms) if allowance else 1.0 for allowance in (limits.requests, limits.tokens))

    def _limits(self, i: int) -> _Limited:
        limits = self._of[i]
        if limits is None:
            limits = self._of[i] = _Limited()
        return limits


def _configured(target: TargetConfig, now_ms: float) -> _Limited | None:
    if target.requests_per_min is None and target.tokens_per_min is None:
        return None
    limits = _Limited()
    limits.requests = Allowance.configured(target.requests_per_min, now_ms) if target.requests_per_min else None
    limits.tokens = Allowance.configured(target.tokens_per_min, now_ms) if target.tokens_per_min else None
    return limits


def _told(allowance: Allowance | None, quota: Quota, used_then: float, started_ms: float, now_ms: float) -> Allowance:
    if allowance is None:
        allowance, used_then = Allowance(0.0, max(1.0, quota.limit or quota.remaining), now_ms), 0.0
    allowance.told(quota, started_ms, used_then, now_ms)
    return allowance
