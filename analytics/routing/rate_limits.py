"""Which targets a router may not use for now because of their rate limits, and how much room the others have.

A target is limited until a refusal's Retry-After (or a second, doubled with every refusal that follows the last one's end without a success in
between; 300 s at most), and while the allowance of requests or of tokens does not hold a request. Targets without limits cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from routecast.analytics.routing.allowance import Allowance
from routecast.models.config import TargetConfig
from routecast.models.events import Limits
from routecast.models.limits import MOST, ProviderLimits, Quota

LONGEST_HOLD_MS = 300_000.0
"""Longest time a refusal or a header keeps a target out."""
HOLD_MS = 1000.0
"""How long a refusal that names no time keeps a target out."""
_SHORTEST_HOLD_MS = 10.0
_MOST_REPLICAS = 64.0
_TIGHT = 0.2
"""Below this headroom a target becomes dearer."""
_LEAST_HEADROOM = 0.01
_STEP = 0.7


class Reserved(NamedTuple):
    """The tokens a call took when it started, and what this router had used of its target's limits by then."""

    tokens: float = 0.0
    requests_used: float = 0.0
    tokens_used: float = 0.0


UNRESERVED = Reserved()


class Limited:
    """Limits of one target; allowances are None where nothing is known of a limit."""

    __slots__ = ("held_until_ms", "hold_ms", "out", "requests", "tokens")

    def __init__(self) -> None:
        self.out = False
        """Whether it may be out, or may be back: worth a look."""
        self.requests: Allowance | None = None
        self.tokens: Allowance | None = None
        self.held_until_ms = -math.inf
        self.hold_ms = 0.0


class RateLimits:
    """Limits of all targets of a router, in its own numbering; times are epoch ms. Memory: 0.5 kB for each target that has limits."""

    def __init__(self, targets: Sequence[TargetConfig]) -> None:
        self.of: list[Limited | None] = [_configured(target) for target in targets]
        self._replicas = 1.0
        self._input = self._output = 0.0

    def refresh(self, share: float, input_tokens: float, output_tokens: float) -> None:
        """Use this share of the traffic, in (0, 1], and these expected numbers of tokens of a request."""
        self._replicas = min(_MOST_REPLICAS, 1.0 / share)
        self._input, self._output = input_tokens, output_tokens

    @property
    def limited(self) -> list[int]:
        """Targets of which limits are known."""
        return [i for i, limits in enumerate(self.of) if limits is not None]

    def started(self, limits: Limited, input_tokens: float | None, output_tokens: float | None) -> Reserved:
        """Take a request and its tokens: those that go in and may come out, the expected ones where None."""
        requests, tokens = limits.requests, limits.tokens
        amount = requests_used = tokens_used = 0.0
        if requests is not None:
            requests.used = requests_used = requests.used + 1.0
            limits.out |= requests_used > requests.room
        if tokens is not None:
            amount = (self._input if input_tokens is None else input_tokens) + (self._output if output_tokens is None else output_tokens)
            tokens.used = tokens_used = tokens.used + amount
            limits.out |= tokens_used > tokens.room
        return Reserved(amount, requests_used, tokens_used)

    def ended(self, limits: Limited, reserved: Reserved, tokens: float | None, started_ms: float, *, ok: bool) -> None:
        """Settle the tokens of a call; None where nobody counted them."""
        if ok and limits.held_until_ms <= started_ms:
            limits.hold_ms = 0.0
        if limits.tokens is not None and tokens is not None and reserved.tokens:
            limits.tokens.settle(reserved.tokens, tokens, started_ms)

    def told(self, i: int, said: ProviderLimits, reserved: Reserved, started_ms: float, now_ms: float) -> None:
        """Believe the headers of an answer to a call that began at `started_ms`."""
        if said.requests is None and said.tokens is None:
            return
        limits = self._limits(i)
        if said.requests is not None:
            limits.requests = self._told(limits.requests, said.requests, reserved.requests_used, started_ms, now_ms)
        if said.tokens is not None:
            limits.tokens = self._told(limits.tokens, said.tokens, reserved.tokens_used, started_ms, now_ms)

    def _told(self, allowance: Allowance | None, quota: Quota, used_then: float, started_ms: float, now_ms: float) -> Allowance:
        if allowance is None:
            allowance, used_then = Allowance(0.0, max(1.0, quota.limit or quota.remaining), now_ms), 0.0
        allowance.told(quota, started_ms, used_then, self._replicas, now_ms)
        return allowance

    def reported(self, i: int, said: ProviderLimits) -> Limits | None:
        """What to report of these headers: what is left, and what the limits themselves seem to be."""
        limits, report = self.of[i], said.limits
        if limits is None or report is None:
            return report
        return replace(report, requests_per_min=_per_min(limits.requests), tokens_per_min=_per_min(limits.tokens))

    def refused(self, i: int, retry_after_ms: float | None, started_ms: float, now_ms: float) -> None:
        """Take note that a call was refused (429)."""
        limits = self._limits(i)
        again = started_ms >= limits.held_until_ms  # else it was under way when the last one was refused, and says nothing new
        told_ms = HOLD_MS if retry_after_ms is None else retry_after_ms
        hold_ms = max(told_ms, 2.0 * limits.hold_ms) if again else told_ms
        hold_ms = min(LONGEST_HOLD_MS, max(_SHORTEST_HOLD_MS, hold_ms))
        if again:
            limits.hold_ms = hold_ms
        limits.held_until_ms = max(limits.held_until_ms, now_ms + hold_ms)
        for allowance in (limits.requests, limits.tokens):
            if allowance is not None and retry_after_ms is not None:
                allowance.come_again(limits.held_until_ms)

    def until_ms(self, i: int, now_ms: float) -> float:
        """When target `i` may be used again; `now_ms` where it may now."""
        limits = self.of[i]
        if limits is None:
            return now_ms
        wait_ms = max(0.0, limits.held_until_ms - now_ms)
        if limits.requests is not None:
            wait_ms = max(wait_ms, limits.requests.wait_ms(1.0, self._replicas, now_ms))
        if limits.tokens is not None:
            wait_ms = max(wait_ms, limits.tokens.wait_ms(self._input + self._output, self._replicas, now_ms))
        limits.out = wait_ms > 0
        return now_ms + min(LONGEST_HOLD_MS, wait_ms)

    def headroom(self, i: int, now_ms: float) -> float:
        """Free part of the scarcer limit of target `i`, 0..1; 1 where it has none."""
        limits = self.of[i]
        if limits is None:
            return 1.0
        return min(allowance.headroom(self._replicas, now_ms) if allowance else 1.0 for allowance in (limits.requests, limits.tokens))

    def _limits(self, i: int) -> Limited:
        limits = self.of[i]
        if limits is None:
            limits = self.of[i] = Limited()
        return limits


def _per_min(allowance: Allowance | None) -> int | None:
    per_min = allowance.per_min if allowance is not None else None
    return None if per_min is None else min(int(MOST), max(1, round(per_min)))


def roominess(headroom: float) -> float:
    """What the cost of a target is divided by: 1 down to a headroom of 20 %, from there on five times the headroom."""
    return 1.0 if headroom >= _TIGHT else max(_LEAST_HEADROOM, headroom) / _TIGHT


def stepped(headroom: float) -> float | None:
    """A headroom below 20 % rounded down to one of a few steps, so that it changes rarely; None above: nothing to say."""
    if headroom >= _TIGHT:
        return None
    return _TIGHT * _STEP ** math.ceil(math.log(max(_LEAST_HEADROOM, headroom) / _TIGHT, _STEP))


def _configured(target: TargetConfig) -> Limited | None:
    if target.requests_per_min is None and target.tokens_per_min is None:
        return None
    limits = Limited()
    limits.requests = Allowance.configured(target.requests_per_min) if target.requests_per_min else None
    limits.tokens = Allowance.configured(target.tokens_per_min) if target.tokens_per_min else None
    return limits
