"""What a router decided since its last report, by outcome and by the reason of unusual draws."""

from __future__ import annotations

from collections import Counter

from routecast.models.events import DecisionCount


class RouterCounts:
    """Counters of one router for one service."""

    def __init__(self, service: str) -> None:
        self._service = service
        self.outcomes: Counter[str] = Counter()
        """Ended calls."""
        self.reasons: Counter[str] = Counter()
        """Decisions that were not a plain draw."""

    def take(self, policy: str) -> tuple[DecisionCount, ...]:
        """The counts, which begin anew."""
        outcomes, self.outcomes = self.outcomes, Counter()
        reasons, self.reasons = self.reasons, Counter()
        ended = [DecisionCount(service=self._service, policy=policy, count=n, outcome=name) for name, n in sorted(outcomes.items())]
        return (*ended, *(DecisionCount(service=self._service, policy=policy, count=n, reason=name) for name, n in sorted(reasons.items())))
