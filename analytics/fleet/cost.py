"""Expected cost of a success, in seconds: time, retries, and what the score weights say reliability, quality and money are worth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RETRY_S = 2.0
"""What a failed attempt costs beside its own time."""
_SLOPE = 4.0
_LEAST_TIME_WEIGHT = 0.05
_MOST_S = 1e8
"""Dearer is all the same; a snapshot holds figures below 1e9."""


class Weights(NamedTuple):
    """The configured score weights, ≥ 0."""

    response_time: float
    reliability: float
    quality: float


class Estimates(NamedTuple):
    """Per target of one service."""

    time_s: Floats
    success: Floats
    fail_s: Floats
    quality: Floats
    usd: Floats


def expected_cost(e: Estimates, weights: Weights, seconds_per_usd: float) -> Floats:
    """C per target, seconds: T + (1−s)/s·(T_fail + 2 s) + 4·T_ref·[w_rel/w_t·(s_max − s) + w_q/w_t·(q_max − q)] + price.

    The bracket is the slope of the published score, so the weights steer traffic as the score promises and vanish between equals;
    the retry term is physical and never scaled. s must be in (0, 1]. Bounded by 1e8 s.
    """
    time_weight = max(_LEAST_TIME_WEIGHT, weights.response_time)
    reference = float(np.median(e.time_s))
    slope = weights.reliability / time_weight * (e.success.max() - e.success) + weights.quality / time_weight * (e.quality.max() - e.quality)
    retries = (1.0 - e.success) / e.success * (e.fail_s + RETRY_S)
    cost: Floats = e.time_s + retries + _SLOPE * reference * slope + e.usd * seconds_per_usd
    return np.minimum(cost, _MOST_S)
