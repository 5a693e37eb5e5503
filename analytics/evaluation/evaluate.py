"""A policy evaluated from logged decisions: all metrics with their intervals, or the reason why there are none."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Final, get_args

import numpy as np

from routecast.analytics.evaluation import estimators as by
from routecast.analytics.evaluation.logged import Flags, Floats, Logged
from routecast.analytics.evaluation.outcome_model import predictions
from routecast.analytics.evaluation.policies import TargetPolicy
from routecast.analytics.evaluation.quantile import weighted_quantile
from routecast.analytics.evaluation.support import Bounds, effective_size, refusal, support
from routecast.analytics.evaluation.uncertainty import by_bootstrap, by_influence, within_reason
from routecast.models.errors import CheckFailed
from routecast.models.evaluation import UNITS, Evaluation, Metric, MetricEstimate, Reward
from routecast.models.report import Estimate

P95: Final = 0.95
UNKNOWABLE = "the policy cannot say what it would have done"
_SLACK = 1e-6


def evaluate(
    logged: Logged, name: str, policy: TargetPolicy, *, clip: float = by.CLIP, bounds: Bounds = Bounds(),  # noqa: B008 - a tuple does not change
    bootstrap: np.random.Generator | None = None,
) -> Evaluation:  # fmt: skip
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
    reason = refusal(found, bounds) if found else "no logged decision can be used: see what was left out, and why"
    metrics, left_out = dict[Metric, MetricEstimate](), dict[Metric, str]()
    for reward in () if reason else get_args(Reward):
        _add(reward, logged, chances, clip, bounds, bootstrap, metrics, left_out)
    return Evaluation(
        policy=name, service=logged.service, excluded=dict(logged.excluded), support=found, refused=reason, metrics=tuple(metrics.values()), left_out=left_out
    )  # fmt: skip


def _check(name: str, logged: Logged, chances: Floats) -> None:
    if chances.shape != logged.allowed.shape:
        raise CheckFailed(f"policy {name!r} gives probabilities of shape {chances.shape}, not {logged.allowed.shape}: one for each row and target")
    wrong = (chances < 0).any(axis=1) | (chances * ~logged.allowed > 0).any(axis=1) | (np.abs(chances.sum(axis=1) - 1.0) > _SLACK)
    if wrong.any():
        raise CheckFailed(f"policy {name!r}: the probabilities of row {int(np.argmax(wrong))} do not sum to 1 over the targets that were allowed")


def _add(
    reward: Reward, logged: Logged, chances: Floats, clip: float, bounds: Bounds, bootstrap: np.random.Generator | None,
    metrics: dict[Metric, MetricEstimate], left_out: dict[Metric, str],
) -> None:  # fmt: skip
    values = logged.rewards.get(reward)
    known = np.zeros(len(logged), bool) if values is None else ~np.isnan(values)
    if not known.all():
        logged, chances = logged.rows(known), chances[known]
    effective = effective_size(by.weights(logged, chances)) if len(logged) else 0.0
    if values is None or effective < bounds.effective:
        left_out[reward] = f"known of {len(logged)} requests, which tell as much as {effective:.0f} of the policy's own, fewer than {bounds.effective:.0f}"
        return
    metrics[reward] = mean_of(reward, logged, chances, values[known], clip, bootstrap)
    if reward == "time_to_success_s":
        metrics["p95_time_to_success_s"] = p95_of(logged, chances, values[known], clip)


def mean_of(
    metric: Metric, logged: Logged, chances: Floats, reward: Floats, clip: float = by.CLIP, bootstrap: np.random.Generator | None = None
) -> MetricEstimate:
    """The mean of a reward that is known for every row, by every estimator."""
    most = math.inf if UNITS[metric] in {"s", "USD"} else 1.0
    alike = len(reward) > 0 and reward.min() == reward.max()
    unseen = 3.0 / effective_size(by.weights(logged, chances)) if alike and most == 1.0 else 0.0

    def interval(terms: by.Terms, least: float = 0.0, cut: float = 0.0) -> Estimate:
        found = by_bootstrap(terms, logged.blocks, bootstrap) if bootstrap else by_influence(terms, logged.blocks)
        return within_reason(Estimate(value=found.value, low=found.low - cut, high=found.high + cut), least, most, unseen)

    def weighted(estimator: Callable[[float], by.Terms]) -> Estimate:
        return interval(estimator(clip), cut=_cut(estimator, clip))

    predicted = predictions(logged, reward)
    robust = partial(by.doubly_robust, logged, chances, reward, predicted)
    terms = robust(clip)
    return MetricEstimate(
        metric=metric, unit=UNITS[metric], rows=len(logged), method="doubly_robust", value=weighted(robust), logged=interval(by.on_policy(reward)),
        difference=interval(by.Terms(terms.top - reward, terms.bottom), -most, _cut(robust, clip)),
        others={
            "self_normalised": weighted(partial(by.self_normalised, logged, chances, reward)),
            "inverse_propensity": weighted(partial(by.inverse_propensity, logged, chances, reward)),
        },
        naive={
            "matching_rows": by.matching_rows(logged, chances, reward).value,
            "target_means": by.target_means(logged, chances, reward).value,
        },
    )  # fmt: skip


def _cut(estimator: Callable[[float], by.Terms], clip: float) -> float:
    """What clipping changes of an estimate: it may be off by that on top of chance, so intervals are widened by it."""
    return abs(estimator(clip).value - estimator(math.inf).value)


def p95_of(logged: Logged, chances: Floats, times: Floats, clip: float = by.CLIP) -> MetricEstimate:
    """The 95th percentile of a time that is known for every row."""
    agreed: Floats = logged.of_chosen(chances)
    return MetricEstimate(
        metric="p95_time_to_success_s", unit=UNITS["p95_time_to_success_s"], rows=len(logged), method="weighted_quantile",
        value=weighted_quantile(times, by.weights(logged, chances, clip), P95, logged.blocks),
        logged=weighted_quantile(times, np.ones(len(times)), P95, logged.blocks), difference=None, others={},
        naive={"matching_rows": weighted_quantile(times, agreed, P95, logged.blocks).value},
    )  # fmt: skip
