"""What a router knows of its own calls: how many are open where, how fast they ended, and what follows for its targets right now."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from routecast.analytics.balance import Own, update_peak_ewma
from routecast.analytics.routing.contention import Contention, OwnRate
from routecast.analytics.routing.overlay import Overlay
from routecast.models.config import TargetConfig
from routecast.streams.calls.changes import Changes
from routecast.streams.calls.counts import RouterCounts
from routecast.streams.calls.deadlines import Deadlines
from routecast.streams.calls.limiting import Limiting
from routecast.streams.calls.watch import Watch

if TYPE_CHECKING:
    from routecast.models.events import Outcome
    from routecast.models.snapshot import RoutingSnapshot
    from routecast.streams.calls.call import Call

_FAILURE_MS = 2_000.0


class Calls:
    """Calls of one router. The router holds its lock around every method.

    Args:
        service: of the router.
        targets: of the service; calls name them by number.
        load_power: power of the load term in the cost.
        rng: where the wheel of the round robin begins, and jitter.
        longest_open_ms: longest wait of a breaker for a probe.
    """

    def __init__(self, service: str, targets: Sequence[TargetConfig], load_power: float, rng: random.Random, longest_open_ms: float) -> None:
        self._service = service
        n = len(targets)
        self.contention = Contention(n, load_power)
        self.own = Own(self.contention.own, self.contention.terms, [max(1e-9, t.weight) for t in targets])
        self.own.wheel = [rng.random() for _ in range(n)]
        self._own_since = [0.0] * n
        self.rate = OwnRate()
        self.overlay = Overlay()
        self.watch = Watch(self.contention, self.overlay, rng, longest_open_ms)
        self.limiting = Limiting(targets, self.overlay)
        self._begin()

    def _begin(self) -> None:
        self.deadlines = Deadlines()
        self.counts = RouterCounts(self._service)
        self.changes = Changes()

    def begin_anew(self) -> None:
        """In a forked child: the open calls, and what is to be told of them, are the parent's."""
        self._begin()
        self.watch.begin_anew()
        for i in [i for i, n in enumerate(self.contention.own) for _ in range(n)]:
            self.contention.finished(i)

    def started(self, call: Call, input_tokens: float | None, max_output_tokens: float | None) -> None:
        """One more call is open."""
        self.contention.started(call.index)
        self.changes.add(call.started_at_ms, call.index, 1)
        self.rate.pending += call.attempt == 1
        self.watch.started(call)
        self.limiting.started(call, input_tokens, max_output_tokens)

    def ended(self, call: Call, outcome: Outcome, duration_ms: float, error_type: str) -> None:
        """A call ended."""
        i, own, now_s = call.index, self.own, call.completed_at_ms / 1000.0
        self.contention.finished(i)
        self.changes.add(call.completed_at_ms, i, -1)
        self.counts.outcomes[call.decision.policy, outcome] += 1
        if outcome != "cancelled":
            observed_ms = duration_ms if outcome == "ok" else duration_ms + _FAILURE_MS
            own.latency_ms[i] = update_peak_ewma(own.latency_ms[i], observed_ms, now_s - self._own_since[i])
            self._own_since[i] = now_s
        self.watch.ended(call, outcome, error_type)
        self.limiting.ended(call, outcome)

    def advance(self, now_ms: float, share: float, snapshot: RoutingSnapshot | None) -> None:
        """Do what is due by now, with this router's share of the traffic."""
        self.contention.refresh(now_ms, share)
        self.limiting.refresh(now_ms, share, snapshot)
        self.overlay.expire(now_ms)
        if now_ms >= self.watch.health.next_ms:
            self.watch.health.advance(now_ms)

    @property
    def next_ms(self) -> float:
        """When something is due that cannot wait, epoch ms."""
        return min(self.overlay.next_ms, self.watch.health.next_ms)
