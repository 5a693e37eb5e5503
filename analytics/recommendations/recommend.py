"""Recommendations: what looks worth doing by plain rules, as far as the simulator finds that it makes the service better, without contradictions.

Better is what the 95 % interval of six pairs of runs says, and by as much as somebody would notice; what pays for it elsewhere, beyond little, is none.
What stands already may have become half as good before it goes, so that nothing comes and goes with chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from routecast.analytics.capacity.what_if import Present
from routecast.analytics.digits import six_digits as _digits
from routecast.analytics.recommendations.contradictions import Weighed, resolved
from routecast.analytics.recommendations.proposal import Proposal, Situation
from routecast.analytics.recommendations.relief import added_targets, drains, other_weights, raised_limits
from routecast.analytics.recommendations.worth import dear, poor_quality
from routecast.models.insights import Recommendations
from routecast.models.recommendation import Effect, Recommendation

RULES: Final[Sequence[Callable[[Situation], list[Proposal]]]] = (drains, raised_limits, added_targets, other_weights, poor_quality, dear)
_STANDS = 0.5
_HARDLY = 0.001


class _Noticed(NamedTuple):
    """From what on a difference counts: relative to the figure of now, or beyond an amount."""

    better: float
    worse: float
    relative: bool = True
    more_is_better: bool = False

    def size(self, effect: Effect) -> float:
        """How much better it becomes; negative: worse."""
        difference = effect.expected - effect.now if self.more_is_better else effect.now - effect.expected
        return difference / max(abs(effect.now), 1e-12) if self.relative else difference

    def sure(self, effect: Effect) -> bool:
        """Whether chance alone would not do it."""
        return effect.low is not None and effect.high is not None and not effect.low <= effect.now <= effect.high


_NOTICED: Final = {
    "mean_ms": _Noticed(0.05, 0.02),
    "p95_ms": _Noticed(0.05, 0.02),
    "fail_ratio": _Noticed(0.002, 0.001, relative=False),
    "usd_per_request": _Noticed(0.02, 0.1),
    "quality": _Noticed(0.005, 0.02, relative=False, more_is_better=True),
}


def recommend(situation: Situation, now: Present, soon: Present) -> Recommendations:
    """What should be done about a service.

    Args:
        situation: figures and capacity.
        now: its load and targets as they are.
        soon: the same at the load that is expected.
    """
    planning = situation.planning
    found = [weighed for rule in RULES for proposal in rule(situation) if (weighed := _weigh(proposal, situation, soon if proposal.ahead else now)) is not None]
    return Recommendations(
        service=planning.service, at_ms=planning.at_ms, recommendations=resolved(found, situation.capacity.scale, planning.standing)
    )  # fmt: skip


def _weigh(proposal: Proposal, situation: Situation, present: Present) -> Weighed | None:
    """The recommendation with its effects; None where it would not make the service better."""
    planning = situation.planning
    effects = [effect for effect in present.what_if(proposal.change).effects() if _finite(effect) and (effect.now or effect.expected)]
    gain = better(effects, proposal.hoped, _STANDS if proposal.id in planning.standing else 1.0)
    if gain is None:
        return None
    moving = proposal.hoped & {"mean_ms", "p95_ms"}
    shown = tuple(_rounded(effect) for effect in effects if effect.figure in proposal.hoped or (moving and _moves(effect)))
    recommendation = Recommendation(
        id=proposal.id, kind=proposal.kind, priority=proposal.priority, subject=proposal.subject, description=proposal.description, action=proposal.action,
        effects=shown, figures={name: _digits(value) for name, value in proposal.figures.items()}, since_ms=planning.standing.get(proposal.id, planning.at_ms),
    )  # fmt: skip
    return Weighed(recommendation, gain)


def better(effects: Sequence[Effect], hoped: frozenset[str], part: float = 1.0) -> float | None:
    """How much better the best of the hoped-for figures becomes, 0..1; None where none does surely and noticeably, or another becomes worse.

    `part`: of what has to be noticed.
    """
    gains: list[float] = []
    for effect in effects:
        noticed = _NOTICED.get(effect.figure)
        if noticed is None or not noticed.sure(effect):
            continue
        size = noticed.size(effect)
        if size <= -noticed.worse:
            return None
        if effect.figure in hoped and size >= part * noticed.better:
            gains.append(size)
    return max(gains, default=None)


def _moves(effect: Effect) -> bool:
    return abs(effect.expected - effect.now) >= _HARDLY * abs(effect.now)


def _rounded(effect: Effect) -> Effect:
    return Effect(
        figure=effect.figure, now=_digits(effect.now), expected=_digits(effect.expected), low=_digits(effect.low or 0.0), high=_digits(effect.high or 0.0)
    )  # fmt: skip


def _finite(effect: Effect) -> bool:
    return all(value is not None and math.isfinite(value) for value in (effect.now, effect.expected, effect.low, effect.high))
