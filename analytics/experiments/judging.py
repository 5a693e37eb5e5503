"""What the moments of two arms say: effects with intervals, harm beside guard rails, the time that a verdict still takes."""

from __future__ import annotations

from collections.abc import Mapping

from routecast.analytics.experiments.difference import LEAST_BLOCKS, LEAST_REQUESTS, Boundary, Difference, difference
from routecast.analytics.experiments.measures import LESS_IS_BETTER, OF_RAIL, Watched, comparable, effect
from routecast.analytics.experiments.moments import Moments
from routecast.models.experiment_report import Comparison, Finding, RailReport
from routecast.models.experiments import Experiment, Measure, Rail

Known = Mapping[Watched, Moments]
"""Of one arm."""
_FOREVER = 1e9
"""Units after which nobody waits for a verdict."""


def boundary(experiment: Experiment, questions: int) -> Boundary:
    """For one of so many questions, which share the chance of being wrong (Bonferroni)."""
    least = LEAST_REQUESTS if experiment.unit == "request" else LEAST_BLOCKS
    planned = experiment.planned * (experiment.arms[0].share + max(arm.share for arm in experiment.arms[1:]))
    return Boundary.planned(planned, experiment.alpha / questions, least)


def between(control: Known, arm: Known, watched: Watched, limits: Boundary) -> Difference | None:
    """Arm minus control in the unit that is compared; None while too little is known."""
    left, right = comparable(watched, control[watched]), comparable(watched, arm[watched])
    return difference(left, right, limits) if left is not None and right is not None else None


def comparison(name: str, measure: Measure, found: Difference, alpha: float) -> Comparison:
    """In words of the measure."""
    finding: Finding = "undecided"
    if found.certain:
        finding = "better" if (found.value < 0) == (measure in LESS_IS_BETTER) else "worse"
    value, low, high = (effect(measure, part) for part in (found.value, found.low, found.high))
    return Comparison(arm=name, measure=measure, effect=value, low=low, high=high, confidence=1.0 - alpha, finding=finding)


def rail(name: str, kind: Rail, limit: float, found: Difference | None) -> RailReport:
    """Harm is what there is more of than in the control: failures, time, slow answers, cost."""
    if found is None:
        return RailReport(arm=name, rail=kind, limit=limit)
    watched = OF_RAIL[kind]
    harm, low = (-found.value, -found.high) if watched == "success" else (effect(watched, found.value), effect(watched, found.low))
    return RailReport(arm=name, rail=kind, limit=limit, harm=harm, low=low)


def to_go_s(found: Difference | None, limits: Boundary, elapsed_s: float) -> float | None:
    """Until a difference as large as the one that shows would be certain, at the rate so far; None where it is, or nobody can say."""
    if found is None or found.certain or elapsed_s <= 0:
        return None
    needed = found.needed(limits, most=_FOREVER)
    return None if needed is None else max(0.0, needed / found.t - 1.0) * elapsed_s
