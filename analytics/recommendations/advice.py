"""What was recommended last, and since when; and what of every target is worse than usual, as changes told it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from routecast.models.insights import Change, Recommendation, Recommendations, decode_insight, encode_insight

REMEMBERED_MS: Final = 600_000.0
"""A recommendation that comes back within this stands since its first day."""


class Advice:
    """State of a leader. Memory: what is recommended, what was within ten minutes, and a number for each change that lasts."""

    STATE: ClassVar[tuple[str, ...]] = ("_said", "_stood", "_worse")

    def __init__(self) -> None:
        self._said: dict[str, str] = {}
        """By service, the record of its recommendations."""
        self._stood: dict[str, dict[str, list[float]]] = {}
        """By service and id, since when and until when."""
        self._worse: dict[str, dict[str, float]] = {}
        """By target and metric, since when it is worse."""

    def heed(self, changes: Iterable[Change]) -> None:
        """Take what detectors said."""
        for change in changes:
            if change.subject.kind != "target" or not change.worse:
                continue
            if change.ended_ms is None:
                self._worse.setdefault(change.subject.id, {})[change.metric] = change.since_ms
            elif change.metric in self._worse.get(change.subject.id, {}):
                del self._worse[change.subject.id][change.metric]
                if not self._worse[change.subject.id]:
                    del self._worse[change.subject.id]

    def worse(self, target: str) -> list[str]:
        """Metrics of a target that are worse than usual."""
        return sorted(self._worse.get(target, ()))

    def standing(self, service: str, at_ms: float) -> dict[str, float]:
        """Ids of what stands, or stood within ten minutes of this time, epoch ms: since when."""
        return {name: since_ms for name, (since_ms, until_ms) in sorted(self._stood.get(service, {}).items()) if at_ms - until_ms <= REMEMBERED_MS}

    def take(self, found: Recommendations) -> bool:
        """What is recommended now; whether it differs in more than figures from what was."""
        before = [(item.id, item.priority) for item in self.of(found.service)]
        stood = {name: times for name, times in self._stood.get(found.service, {}).items() if found.at_ms - times[1] <= REMEMBERED_MS}
        self._stood[found.service] = stood | {item.id: [item.since_ms, found.at_ms] for item in found.recommendations}
        self._said[found.service] = encode_insight(found).decode()
        return before != [(item.id, item.priority) for item in found.recommendations]

    def of(self, service: str) -> tuple[Recommendation, ...]:
        """What is recommended about a service. Raises DecodeError where the state of a predecessor holds something else."""
        said = decode_insight(self._said[service].encode()) if service in self._said else None
        return said.recommendations if isinstance(said, Recommendations) else ()
