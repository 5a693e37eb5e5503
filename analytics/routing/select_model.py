"""Which model to use: response time and quality in, model out, from the newest snapshot.

A model is as good as its best target. Among the models that meet what is asked the least expensive wins, among equally expensive ones that with
the least expected cost in seconds. Where none does, the one that comes nearest.
"""

from __future__ import annotations

from typing import NamedTuple

from routecast.analytics.routing.availability import usable
from routecast.analytics.routing.candidates import Fitness, View, cost_of, expected_output, judge, region_offset_ms, token_scale, why_not
from routecast.models.config import Routing
from routecast.models.errors import NoTarget
from routecast.models.model_choice import Asked, ModelChoice, ModelEvidence
from routecast.models.requirements import Requirements
from routecast.models.snapshot import TargetScore

_P95 = 0.95


class _Offer(NamedTuple):
    """One target's."""

    i: int
    fitness: Fitness
    why_not: str
    usd: float
    cost_s: float

    @property
    def rank(self) -> tuple[object, ...]:
        """What is least comes first; of those that fall short, the one that falls short least."""
        return bool(self.why_not), -self.fitness.factor if self.why_not else 0.0, self.usd, self.cost_s, self.i


def asking(requirements: Requirements | None, asked: Asked) -> Requirements:
    """Requirements with what is asked on top. Raises pydantic's ValidationError for values out of range."""
    names = {"response_time_ms": "max_response_time_ms", "quality": "quality_threshold"}
    on_top = {names.get(name, name): value for name, value in asked.items()}
    return Requirements.model_validate((requirements.model_dump() if requirements else {}) | on_top)


def select_model(view: View, routing: Routing, requirements: Requirements) -> ModelChoice:
    """The model for a class of requests, and what speaks against the others.

    Targets that are out of service, full or excluded count only where nothing else is left. Raises NoTarget when none meets strict requirements.
    """
    offers = sorted((_offer(view, i, routing, requirements) for i in range(len(view.targets))), key=lambda offer: offer.rank)
    best: dict[str, _Offer] = {}
    for offer in offers:
        best.setdefault(view.targets[offer.i].model, offer)
    first = offers[0]
    if first.why_not and requirements.strict:
        raise NoTarget(view.targets[0].service, {view.targets[offer.i].id: offer.why_not for offer in offers})
    return ModelChoice(
        model=view.targets[first.i].model,
        met=not first.why_not,
        snapshot=view.snapshot.version if view.snapshot else (0, 0),
        candidates=tuple(_evidence(view, offer, first, requirements) for offer in best.values()),
    )


def _offer(view: View, i: int, routing: Routing, requirements: Requirements) -> _Offer:
    entry, fitness = view.entries[i], judge(view, i, requirements)
    reason = why_not(view, i, (), fitness, requirements)
    factor = 0.0 if reason and not usable(view, i) else fitness.factor
    return _Offer(
        i, fitness._replace(factor=factor), reason, entry.usd * token_scale(requirements), cost_of(entry, fitness.factor, view, routing, requirements)
    )  # fmt: skip


def _evidence(view: View, offer: _Offer, chosen: _Offer, requirements: Requirements) -> ModelEvidence:
    entry, target = view.entries[offer.i], view.targets[offer.i]
    return ModelEvidence(
        model=target.model, target=target.id, p95_ms=p95_ms(entry, view, requirements), quality=entry.quality, success=entry.success, usd=offer.usd,
        cost_s=offer.cost_s, unknown=offer.fitness.unknown, reason=_reason(offer, chosen),
    )  # fmt: skip


def _reason(offer: _Offer, chosen: _Offer) -> str:
    if offer is chosen:
        return ""
    if offer.why_not:
        return offer.why_not
    if offer.usd > chosen.usd:
        return f"costs {offer.usd:.4g} USD, {offer.usd - chosen.usd:.4g} more"
    return f"takes {offer.cost_s:.2f} s to a success, {offer.cost_s - chosen.cost_s:.2f} s more"


def p95_ms(entry: TargetScore, view: View, requirements: Requirements) -> float | None:
    """95 % quantile of TTFT + tokens·TPOT for callers of this region, the two taken as independent, ms; None without evidence."""
    if not entry.ttft_ms:
        return None
    more = max(0.0, expected_output(view.snapshot, requirements) - 1.0)
    times = sorted(first + more * token for first in entry.ttft_ms for token in entry.tpot_ms or (0.0,))
    return max(0.0, times[min(len(times) - 1, int(_P95 * len(times)))] + region_offset_ms(entry, requirements))
