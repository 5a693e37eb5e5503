"""What might make answers worth more: judgements below what is asked for, prices above those of equals."""

from __future__ import annotations

import math
from shlex import quote
from statistics import median
from typing import Final

from routecast.analytics.capacity.what_if import Price, Quality
from routecast.analytics.recommendations.proposal import Proposal, Situation, subject_of
from routecast.analytics.recommendations.relief import MOST
from routecast.models.planning import PlannedTarget

LEAST_JUDGEMENTS: Final = 30
_Z_95 = 1.96
_DEAR = 1.3
_AS_GOOD = 0.05
"""Difference of quality up to which targets are equals."""


def poor_quality(situation: Situation) -> list[Proposal]:
    """Targets whose judgements are below the target, beyond what chance would do."""
    wanted = situation.planning.quality_target
    found = sorted((target for target in situation.serving if _below(target, wanted)), key=lambda target: (target.quality, target.id))
    return [_looked_at(situation, target) for target in found[:MOST]]


def _below(target: PlannedTarget, wanted: float) -> bool:
    """Whether the upper end of the interval of the mean, of judgements as far apart as this mean allows, is below."""
    if target.quality_n < LEAST_JUDGEMENTS:
        return False
    return target.quality + _Z_95 * math.sqrt(target.quality * (1.0 - target.quality) / target.quality_n) < wanted


def _looked_at(situation: Situation, target: PlannedTarget) -> Proposal:
    planning = situation.planning
    declines = "quality" in (*target.declining, *target.worse)
    poor = target.quality < planning.quality_minimum
    return Proposal(
        "look_at_quality", subject_of(target, planning.service), Quality(target.id, planning.quality_target), frozenset({"quality"}),
        "high" if poor else "medium" if declines else "low",
        f"{target.id}: {target.quality_n} judgements of the last hour have a mean of {target.quality:.2f}{', and it declines' if declines else ''}; "
        f"{planning.quality_target:g} is asked for",
        f"compare recent answers of {target.id!r} with those of the others; `routecast targets show {quote(target.id)}` has its windows",
        {"quality": target.quality, "judgements_1h": float(target.quality_n), "quality_target": planning.quality_target},
    )  # fmt: skip


def dear(situation: Situation) -> list[Proposal]:
    """Targets at which an average request costs much more than at others of the same model and quality. What fails is taken to cost nothing."""
    found = [(target, usual) for target in situation.serving if (usual := _usual_usd(situation, target)) and target.usd >= _DEAR * usual]
    found.sort(key=lambda item: (-item[0].share * (item[0].usd - item[1]), item[0].id))
    return [_renegotiated(situation, target, usual) for target, usual in found[:MOST]]


def _usual_usd(situation: Situation, target: PlannedTarget) -> float:
    equals = [other.usd for other in situation.others(target) if other.model == target.model and other.usd > 0 and other.quality >= target.quality - _AS_GOOD]
    return median(equals) if equals else 0.0


def _renegotiated(situation: Situation, target: PlannedTarget, usual: float) -> Proposal:
    own = target.usd
    return Proposal(
        "renegotiate_cost", subject_of(target, situation.planning.service), Price(target.id, usual / own), frozenset({"usd_per_request"}), "low",
        f"{target.id}: a request costs {own:.4g} USD, {own / usual:.1f} times what {target.model or 'the same model'} costs elsewhere at the same quality",
        f"ask {target.provider or 'the provider'} for {usual:.4g} USD a request, or prefer the others; `routecast targets show {quote(target.id)}`",
        {"usd_per_request": own, "usual_usd_per_request": usual, "planned_share": target.share},
    )  # fmt: skip
