"""Which recommendations would contradict each other, or what is said of capacity, and which of them stay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from routecast.models.capacity import ScaleHint
from routecast.models.recommendation import Recommendation
from routecast.models.severity import SEVERITIES

_MOVING: Final = frozenset({"drain", "change_weight"})
"""Their effects were computed with the others as they are: two of them at a time would be a third thing that nobody has simulated."""
_ROOM: Final = frozenset({"add_target", "raise_limit"})


class Weighed(NamedTuple):
    """A recommendation and how much better it makes things, 0..1."""

    recommendation: Recommendation
    gain: float


def contradict(one: Recommendation, other: Recommendation) -> bool:
    """Whether nobody should follow both."""
    kinds = {one.kind, other.kind}
    if one.kind in _MOVING and other.kind in _MOVING:
        return True
    if kinds == {"drain", "add_target"}:
        return True
    return one.subject == other.subject and ("drain" in kinds or _towards(one) * _towards(other) < 0)


def contradicts_capacity(recommendation: Recommendation, scale: ScaleHint) -> bool:
    """Whether it goes the other way than the hint about capacity."""
    return (scale.action == "up" and recommendation.kind == "drain") or (scale.action == "down" and recommendation.kind in _ROOM)


def resolved(found: Iterable[Weighed], scale: ScaleHint, standing: Iterable[str] = ()) -> tuple[Recommendation, ...]:
    """Those that stay: the more urgent first, among equals what stands already, then what does more; none contradicts another."""
    stood, kept = frozenset(standing), list[Recommendation]()
    for recommendation, _ in sorted(found, key=lambda item: _order(item, stood)):
        if not contradicts_capacity(recommendation, scale) and not any(contradict(recommendation, other) for other in kept):
            kept.append(recommendation)
    return tuple(kept)


def _order(item: Weighed, stood: frozenset[str]) -> tuple[int, bool, float, str]:
    recommendation, gain = item
    return -SEVERITIES.index(recommendation.priority), recommendation.id not in stood, -gain, recommendation.id


def _towards(recommendation: Recommendation) -> int:
    """1 where it sends its subject more, −1 where less, or where it doubts what the subject answers."""
    if recommendation.kind == "change_weight":
        figures = recommendation.figures
        return 1 if figures["wanted_weight"] > figures["weight"] else -1
    return {"raise_limit": 1, "look_at_quality": -1}.get(recommendation.kind, 0)
