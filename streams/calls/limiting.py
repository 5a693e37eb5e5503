"""What a router does about rate limits: books what its calls use, believes headers, and takes targets out while they refuse or are empty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from routecast.analytics.routing.overlay import Overlay
from routecast.analytics.routing.rate_limits import RateLimits, stepped
from routecast.models.config import TargetConfig
from routecast.models.limits import ProviderLimits, plain_number

if TYPE_CHECKING:
    from routecast.models.events import Outcome
    from routecast.models.snapshot import RoutingSnapshot
    from routecast.streams.calls.call import Call


class Limiting:
    """Rate limits of one router's targets. The router holds its lock around every method; times are epoch ms.

    A call to a target without limits costs a look at a list.
    """

    def __init__(self, targets: Sequence[TargetConfig], overlay: Overlay) -> None:
        self._limits = RateLimits(targets)
        self._overlay = overlay

    def started(self, call: Call, input_tokens: float | None, max_output_tokens: float | None) -> None:
        """A call began: take its request and the tokens it may need."""
        limits = self._limits.of[call.index]
        if limits is not None:
            call.reserved = self._limits.started(limits, plain_number(input_tokens), plain_number(max_output_tokens))
            if limits.out:
                self._follow(call.index, call.started_at_ms)

    def told(self, call: Call, said: ProviderLimits, now_ms: float, *, refused: bool) -> None:
        """The headers of a call's answer are here; `refused`: with status 429."""
        i, limits = call.index, self._limits
        limits.told(i, said, call.reserved, call.started_at_ms, now_ms)
        call.limits = limits.reported(i, said) or call.limits
        if refused:
            limits.refused(i, said.retry_after_ms, call.started_at_ms, now_ms)
        if limits.of[i] is not None:
            self._follow(i, now_ms)

    def ended(self, call: Call, outcome: Outcome) -> None:
        """A call ended: settle its tokens; a refusal that no header told yet counts now."""
        i, now_ms = call.index, call.completed_at_ms
        if outcome == "rate_limited" and not call.refused:
            self._limits.refused(i, plain_number(call.retry_after_ms), call.started_at_ms, now_ms)
            self._follow(i, now_ms)
        limits = self._limits.of[i]
        if limits is not None:
            self._limits.ended(limits, call.reserved, call.used_tokens, call.started_at_ms, ok=outcome == "ok")
            if limits.out:
                self._follow(i, now_ms)

    def refresh(self, now_ms: float, share: float, snapshot: RoutingSnapshot | None) -> None:
        """Use a share of the traffic and what a snapshot expects of a request; tell how much room is left, in steps."""
        limits = self._limits
        limits.refresh(share, snapshot.input_tokens if snapshot else 0.0, snapshot.output_tokens if snapshot else 0.0)
        for i in limits.limited:
            self._follow(i, now_ms)
            self._overlay.headroom(i, stepped(limits.headroom(i, now_ms)))

    def _follow(self, i: int, now_ms: float) -> None:
        """Out while its limits do not hold a request, back as soon as they do."""
        self._overlay.limited(i, self._limits.until_ms(i, now_ms), now_ms)
