"""What off-policy evaluation says of a policy: estimates with intervals, how far the log carries them, or why it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field, NonNegativeInt

from routecast.models.report import Estimate, Part

Reward = Literal["time_to_success_s", "success_ratio", "first_success_ratio", "cost_usd", "quality"]
"""What one logged request brought; see `UNITS`. Of a request, all its attempts together; `first_success_ratio` alone looks at the first."""
Metric = Literal["time_to_success_s", "p95_time_to_success_s", "success_ratio", "first_success_ratio", "cost_usd", "quality"]
Method = Literal["doubly_robust", "self_normalised", "inverse_propensity", "weighted_quantile"]
Naive = Literal["matching_rows", "target_means"]

UNITS: Final[Mapping[Metric, str]] = {
    "time_to_success_s": "s",
    "p95_time_to_success_s": "s",
    "success_ratio": "ratio",
    "first_success_ratio": "ratio",
    "cost_usd": "USD",
    "quality": "score",
}


class Support(Part):
    """How far the log carries an estimate for the policy."""

    rows: NonNegativeInt = Field(description="logged decisions that were used")
    effective: float = Field(description="effective sample size: (Σw)² ÷ Σw², w = the policy's probability ÷ the logged propensity")
    mean_weight: Estimate = Field(description="1 where the propensities are right and the log covers the policy")
    largest_weight: float
    clipped_ratio: float = Field(description="share of the policy's choices that is lost by clipping the weights")
    unsupported_ratio: float = Field(description="share of the policy's choices that goes to targets that were allowed and never chosen")
    thin_ratio: float = Field(description="the same for targets with too few logged requests, those without any included")
    thin: tuple[str, ...] = Field(description="those targets, those that the policy wants most first")
    unknown_ratio: float = Field(description="decisions whose outcome is not known ÷ all that drew")


class MetricEstimate(Part):
    """One metric under the policy, as if it had decided each of the logged requests alone."""

    metric: Metric
    unit: str
    rows: NonNegativeInt = Field(description="requests of which the metric is known")
    method: Method = Field(description="how `value` was estimated")
    value: Estimate
    logged: Estimate = Field(description="the same metric of the same requests as they were decided")
    difference: Estimate | None = Field(description="value − logged, paired; none for a percentile")
    others: dict[Method, Estimate] = Field(description="other estimators, for comparison")
    naive: dict[Naive, float] = Field(description="two customary ways to compute it, which are wrong: see docs/evaluation.md")


class Evaluation(Part):
    """A policy evaluated from logged decisions. Load that moves does not queue here; see docs/evaluation.md."""

    policy: str
    service: str
    excluded: dict[str, NonNegativeInt] = Field(description="recorded calls that were left out, by reason")
    support: Support | None = Field(description="none where nothing was left to evaluate")
    refused: str = Field(description="why there is no estimate; empty where there is one")
    metrics: tuple[MetricEstimate, ...] = Field(description="empty where refused")
    left_out: dict[Metric, str] = Field(description="metrics without an estimate, and why")

    def of(self, metric: Metric) -> MetricEstimate | None:
        """The estimate of a metric; None where there is none."""
        return next((found for found in self.metrics if found.metric == metric), None)
