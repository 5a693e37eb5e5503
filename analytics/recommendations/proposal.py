"""Something that might be recommended: by plain rules it looks worth it, whether it is the simulator has to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from routecast.analytics.capacity.what_if import Change
from routecast.models.capacity import Capacity
from routecast.models.planning import PlannedTarget, PlanningInput
from routecast.models.recommendation import RecommendationKind
from routecast.models.severity import Severity
from routecast.models.subject import Subject


class Proposal(NamedTuple):
    """A recommendation without its effects."""

    kind: RecommendationKind
    subject: Subject
    change: Change
    """To be simulated."""
    hoped: frozenset[str]
    """Figures of which one at least must become better."""
    priority: Severity
    description: str
    action: str
    figures: Mapping[str, float]
    ahead: bool = False
    """Whether it is for the load that is expected soon, not for that of now."""

    @property
    def id(self) -> str:
        """Of the recommendation."""
        return f"{self.kind}/{self.subject.id}"


class Situation(NamedTuple):
    """What proposals are made from."""

    planning: PlanningInput
    serving: Sequence[PlannedTarget]
    """Targets in rotation of which enough is known to simulate them, two or more where one is to be compared with the others."""
    capacity: Capacity

    def others(self, target: PlannedTarget) -> list[PlannedTarget]:
        """All that serve but this one."""
        return [other for other in self.serving if other.id != target.id]


def subject_of(target: PlannedTarget, service: str) -> Subject:
    """The target as a subject."""
    return Subject(
        kind="target", id=target.id, provider=target.provider or None, model=target.model or None, service=service, region=target.region or None
    )  # fmt: skip
