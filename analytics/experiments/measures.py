"""What arms are compared in, from their sums: success, latency, quality, cost, and how many answers are slow.

Latency and cost are compared in ratios, through their logarithms; shares and scores in differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, get_args

import numpy as np

from routecast.analytics.experiments.arm_sums import MILLION
from routecast.analytics.experiments.moments import Moments
from routecast.analytics.sketch import BUCKETS, add_encoded, count_above, quantiles
from routecast.models.experiments import Measure, Rail
from routecast.models.rows import ArmTotals

Watched = Literal["latency", "success", "quality", "cost", "slow"]
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
WATCHED: Final[tuple[Watched, ...]] = get_args(Watched)
LESS_IS_BETTER: Final = frozenset({"latency", "cost"})
RELATIVE: Final = frozenset({"latency", "cost"})
_SHARES: Final = frozenset({"success", "slow"})
OF_RAIL: Final[Mapping[Rail, Watched]] = {"errors": "success", "latency": "latency", "slow": "slow", "cost": "cost"}


class Sums(NamedTuple):
    """Number of observations, their sum, and the sum of their squares."""

    n: float
    total: float
    squares: float


def sums_of(totals: ArmTotals, slow_ms: float) -> dict[Watched, Sums]:
    """Per request, in ln(ms), shares, scores and USD."""
    counts = np.zeros((1, BUCKETS), np.int64)
    add_encoded(counts[0], totals.sketch)
    slow = float(count_above(counts, np.array([slow_ms * 1000.0]))[0])
    t, square = totals, MILLION * MILLION
    return {
        "latency": Sums(t.n, t.sum_ln / MILLION, t.sum_ln2 / MILLION),
        "success": Sums(t.ok + t.failed, t.ok, t.ok),
        "quality": Sums(t.quality_n, t.quality_sum / MILLION, t.quality_sum2 / MILLION),
        "cost": Sums(t.cost_n, t.cost_sum / MILLION, t.cost_sum2 / square),
        "slow": Sums(float(counts.sum()), slow, slow),
    }


def p95_ms(totals: ArmTotals) -> float | None:
    """Of successes and timeouts; None without any."""
    counts = np.zeros(BUCKETS, np.int64)
    add_encoded(counts, totals.sketch)
    return float(quantiles(counts, [0.95])[0]) / 1000.0 if counts.any() else None


def moments_of(watched: Watched, sums: Sums) -> Moments:
    """Of requests."""
    return Moments.of_share(int(sums.n), int(sums.total)) if watched in _SHARES else Moments.of(*sums)


def comparable(watched: Watched, moments: Moments) -> Moments | None:
    """What differences are taken of; None where a cost is 0."""
    return moments.logarithm() if watched == "cost" else moments


def effect(watched: Watched, difference: float) -> float:
    """A difference as people read it: −0.1 is a tenth less, or a share that is 0.1 smaller."""
    return math.expm1(min(50.0, difference)) if watched in RELATIVE else difference


def level(measure: Measure, mean: float) -> float:
    """A mean as people read it."""
    return math.exp(min(50.0, mean)) if measure == "latency" else mean
