"""The published score and its factors, 0..1 each, for people, dashboards and the `greedy` and `weighted` policies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.fleet.cost import Weights

Floats = NDArray[np.float64]


def performance_score(time_s: Floats, success: Floats, quality: Floats, reference_s: float, weights: Weights) -> Floats:
    """w_t·T_ref/(T_ref + T) + w_rel·s + w_q·quality, divided by the sum of the weights: 0..1, higher is better."""
    total = weights.response_time + weights.reliability + weights.quality
    return (weights.response_time * reference_s / (reference_s + time_s) + weights.reliability * success + weights.quality * quality) / total


def current_load(in_flight: Floats, capacity: Floats) -> Floats:
    """1 − min(1, u), u = (n+1)/ĉ at least 1/ĉ: how free a target is."""
    return 1.0 - np.minimum(1.0, np.maximum(1.0, in_flight + 1.0) / capacity)
