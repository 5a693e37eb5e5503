"""A policy evaluated from logged decisions: all metrics with their intervals, or the reason why there are none."""

from __future__ import annotations

from typing import get_args

import numpy as np

from routecast.analytics.evaluation.estimators import CLIP
from routecast.analytics.evaluation.logged import Flags, Floats, Logged
from routecast.analytics.evaluation.policies import TargetPolicy
from routecast.analytics.evaluation.question import Question
from routecast.analytics.evaluation.support import BOUNDS, Bounds, refusal, support
from routecast.models.errors import CheckFailed
from routecast.models.evaluation import Evaluation, Metric, MetricEstimate, Reward

UNKNOWABLE = "the policy cannot say what it would have done"
_SLACK = 1e-6


def evaluate(
    logged: Logged, name: str, policy: TargetPolicy, *, clip: float = CLIP, bounds: Bounds = BOUNDS, bootstrap: np.random.Generator | None = None
) -> Evaluation:
    """What the policy would have done with the logged requests; deterministic unless `bootstrap` is given, which draws the intervals.

    Refuses, with the reason and no numbers, where the log does not carry an estimate (`Bounds`); a metric that too few requests have is left
    out alone. Raises CheckFailed where the policy's probabilities are none.
    """
    chances = policy(logged)
    says: Flags = np.isfinite(chances.sum(axis=1))
    if not says.all():
        logged, chances = logged.without(~says, UNKNOWABLE), chances[says]
    _check(name, logged, chances)
    found = support(logged, chances, clip, bounds) if len(logged) else None
    refused = refusal(found, bounds) if found else "no logged decision can be used: see what was left out, and why"
    metrics, left_out = ((), {}) if refused else _answers(Question(logged, chances, clip, bootstrap), bounds)
    return Evaluation(
        policy=name, service=logged.service, excluded=dict(logged.excluded), support=found, refused=refused, metrics=tuple(metrics), left_out=left_out
    )


def _check(name: str, logged: Logged, chances: Floats) -> None:
    if chances.shape != logged.allowed.shape:
        raise CheckFailed(f"policy {name!r} gives probabilities of shape {chances.shape}, not {logged.allowed.shape}: one for each row and target")
    wrong = (chances < 0).any(axis=1) | (chances * ~logged.allowed > 0).any(axis=1) | (np.abs(chances.sum(axis=1) - 1.0) > _SLACK)
    if wrong.any():
        raise CheckFailed(f"policy {name!r}: the probabilities of row {int(np.argmax(wrong))} do not sum to 1 over the targets that were allowed")


def _answers(question: Question, bounds: Bounds) -> tuple[list[MetricEstimate], dict[Metric, str]]:
    metrics, left_out = list[MetricEstimate](), dict[Metric, str]()
    for reward in get_args(Reward):
        values = question.logged.rewards.get(reward, np.full(len(question.logged), np.nan))
        known = ~np.isnan(values)
        asked, values = question.rows(known), values[known]
        if not len(values) or asked.effective < bounds.effective:
            tell = f"known of {len(values)} requests, which tell as much as {asked.effective:.0f} of the policy's own"
            left_out[reward] = f"{tell}, fewer than {bounds.effective:.0f}"
            continue
        metrics.append(asked.mean(reward, values))
        if reward == "time_to_success_s":
            metrics.append(asked.p95(values))
    return metrics, left_out
