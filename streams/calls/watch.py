"""What becomes of a router's calls, told to its breakers: how they end, and which are open for so long that they will end badly."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from routecast.analytics.routing.contention import Contention
from routecast.analytics.routing.local_health import LocalHealth, Phase
from routecast.analytics.routing.overlay import Overlay
from routecast.models.events import CALLER_FAULTS
from routecast.models.snapshot import TargetScore
from routecast.streams.calls.open_calls import OpenCalls

if TYPE_CHECKING:
    from routecast.models.events import Outcome
    from routecast.streams.calls.call import Call

_BROKEN = frozenset({"error", "timeout"})
_PATIENCE = 8.0
"""A call that is open for so many times its prediction counts as failing."""
_LEAST_PATIENCE_MS = 1_000.0
_LEAST_N = 4.0
"""Completed requests behind a prediction that can be held against anybody."""


class Watch:
    """Watches the calls of one router. The router holds its lock around every method.

    Args:
        contention: load of the targets as the router sees it; calls name targets by its numbers.
        overlay: where breakers say what they find.
        rng: jitter.
        longest_open_ms: longest wait of a breaker for a probe.
    """

    def __init__(self, contention: Contention, overlay: Overlay, rng: random.Random, longest_open_ms: float) -> None:
        self._contention = contention
        self._entries: Sequence[TargetScore] = ()
        self.health = LocalHealth(len(contention.own), overlay, rng, longest_open_ms)
        self._open = OpenCalls(len(contention.own))
        self.started = self._open.add
        """One more call is open."""

    def begin_anew(self) -> None:
        """In a forked child: the open calls, and what is to be told of them, are the parent's."""
        self._open = OpenCalls(len(self._contention.own))
        self.started = self._open.add
        self.health.take_news()

    def ended(self, call: Call, outcome: Outcome, error_type: str) -> None:
        """A call ended: 429 has a state of its own, cancellations and the caller's own faults say nothing; what was overdue has counted."""
        if call.overdue:
            return
        if outcome == "ok":
            self.health.ok(call.index, call.started_at_ms, call.completed_at_ms)
        elif outcome in _BROKEN and error_type not in CALLER_FAULTS:
            self.health.failed(call.index, call.started_at_ms, call.completed_at_ms, error_type or outcome)
        else:
            self.health.neither(call.index, call.started_at_ms, call.completed_at_ms)

    def heed(self, entries: Sequence[TargetScore], routers: int, now_ms: float) -> None:
        """Take what a new snapshot, made for so many live routers, says of the targets."""
        self._entries = entries
        self.health.heed([entry.state for entry in entries], routers, now_ms)

    def blame(self, now_s: float, now_ms: float) -> None:
        """Count calls as failing that have been open for longer than eight times what was to be expected."""
        for call in self._open.overdue(now_s, self._patience_s):
            call.overdue = True
            self.health.failed(call.index, call.started_at_ms, now_ms, "hangs")

    def probed(self, i: int, now_ms: float) -> None:
        """A decision sends a probe to target `i`."""
        self.health.asked(i, now_ms, self._patience_ms(i))

    def _patience_ms(self, i: int) -> float:
        """Eight times the time of an average request at target `i`, more where it meets a queue."""
        expected_ms = 1000.0 * self._entries[i].time_s * max(1.0, self._contention.utilisation(i))
        return max(_LEAST_PATIENCE_MS, _PATIENCE * expected_ms)

    def _patience_s(self, i: int) -> float:
        known = self._entries[i].n >= _LEAST_N or self.health.phase(i) is not Phase.CLOSED
        return self._patience_ms(i) / 1000.0 if known else math.inf
