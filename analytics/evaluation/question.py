"""What a policy would have brought on logged decisions, metric by metric, by every estimator; whether the log carries it is `support`'s to say."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from routecast.analytics.evaluation import estimators as by
from routecast.analytics.evaluation.logged import Flags, Floats, Logged
from routecast.analytics.evaluation.outcome_model import predictions
from routecast.analytics.evaluation.quantile import weighted_quantile
from routecast.analytics.evaluation.support import effective_size
from routecast.analytics.evaluation.uncertainty import by_bootstrap, by_influence, within_reason
from routecast.models.evaluation import UNITS, Metric, MetricEstimate
from routecast.models.report import Estimate

_P95 = 0.95
_RARE = 3.0
"""What never happened in n requests may happen 3 ÷ n of the time."""


class Question(NamedTuple):
    """A policy, as the probabilities it gives, and the log that it is asked of."""

    logged: Logged
    chances: Floats
    """[rows × targets]"""
    clip: float = by.CLIP
    bootstrap: np.random.Generator | None = None
    """Draws the intervals; None: they follow from the influence of the rows."""

    def rows(self, which: Flags) -> Question:
        """The same of these rows only."""
        return self if which.all() else self._replace(logged=self.logged.rows(which), chances=self.chances[which])

    @property
    def effective(self) -> float:
        """Effective sample size."""
        return effective_size(by.weights(self.logged, self.chances))

    def mean(self, metric: Metric, reward: Floats) -> MetricEstimate:
        """The mean of a reward that is known for every row."""
        logged, chances = self.logged, self.chances
        ratio = UNITS[metric] not in {"s", "USD"}
        most = 1.0 if ratio else math.inf
        unseen = _RARE / self.effective if ratio and reward.min() == reward.max() else 0.0
        robust = partial(by.doubly_robust, logged, chances, reward, predictions(logged, reward))

        def among(estimator: Callable[[float], by.Terms]) -> Estimate:
            return within_reason(self._interval(estimator), 0.0, most, unseen)

        def less_logged(clip: float) -> by.Terms:
            terms = robust(clip)
            return by.Terms(terms.top - reward, terms.bottom)

        return MetricEstimate(
            metric=metric, unit=UNITS[metric], rows=len(logged), method="doubly_robust", value=among(robust), logged=among(lambda _: by.on_policy(reward)),
            difference=within_reason(self._interval(less_logged), -most, most, unseen),
            others={
                "self_normalised": among(partial(by.self_normalised, logged, chances, reward)),
                "inverse_propensity": among(partial(by.inverse_propensity, logged, chances, reward)),
            },
            naive={
                "matching_rows": by.matching_rows(logged, chances, reward).value,
                "target_means": by.target_means(logged, chances, reward).value,
            },
        )  # fmt: skip

    def p95(self, times: Floats) -> MetricEstimate:
        """The 95th percentile of the time to success, which is known for every row."""
        agreed: Floats = self.logged.of_chosen(self.chances)
        value, logged, naive = (
            weighted_quantile(times, weights, _P95, self.logged.blocks)
            for weights in (by.weights(self.logged, self.chances, self.clip), np.ones(len(times)), agreed)
        )
        return MetricEstimate(
            metric="p95_time_to_success_s", unit=UNITS["p95_time_to_success_s"], rows=len(times), method="weighted_quantile", value=value, logged=logged,
            difference=None, others={}, naive={"matching_rows": naive.value},
        )  # fmt: skip

    def _interval(self, estimator: Callable[[float], by.Terms]) -> Estimate:
        """By chance, and as far as clipping changes the estimate: it may be off by that too."""
        terms = estimator(self.clip)
        found = by_bootstrap(terms, self.logged.blocks, self.bootstrap) if self.bootstrap else by_influence(terms, self.logged.blocks)
        cut = abs(terms.value - estimator(math.inf).value)
        return Estimate(value=found.value, low=found.low - cut, high=found.high + cut)
