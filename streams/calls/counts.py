"""What a router decided since its last report, by outcome and by the reason of unusual draws."""

from __future__ import annotations

from collections import Counter

from routecast.models.events import DecisionCount, RouterStats
from routecast.streams.calls.decision_times import DecisionTimes
from routecast.streams.emitter import Emitter


class RouterCounts:
    """Counters of one router for one service, by policy."""

    def __init__(self, service: str) -> None:
        self._service = service
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Ended calls by policy and outcome."""
        self.reasons: Counter[tuple[str, str]] = Counter()
        """Decisions that were not a plain draw, by policy and reason."""
        self.times = DecisionTimes()

    def report(self, now_ms: float, emitter: Emitter, snapshot_age_ms: float | None, queue: int) -> RouterStats:
        """The counts since the last report, which begin anew, with how many requests wait now: the sign of life that `emitter` sends."""
        counts = [
            *(DecisionCount(service=self._service, policy=policy, count=n, outcome=name) for (policy, name), n in sorted(self.outcomes.items())),
            *(DecisionCount(service=self._service, policy=policy, count=n, reason=name) for (policy, name), n in sorted(self.reasons.items())),
        ]
        self.outcomes, self.reasons = Counter(), Counter()
        p50_us, p99_us = self.times.report()
        return RouterStats(
            at_ms=now_ms, emitter=emitter.name, services=(self._service,), decisions=tuple(counts), snapshot_age_ms=snapshot_age_ms, queue=queue,
            dropped=emitter.dropped, decision_us_p50=p50_us, decision_us_p99=p99_us,
        )  # fmt: skip
