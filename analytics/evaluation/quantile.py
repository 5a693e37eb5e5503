"""A percentile under a policy: that of the weighted rows, with an interval (R. S. Woodruff 1952)."""

from __future__ import annotations

import numpy as np

from routecast.analytics.evaluation.logged import Floats, Ints
from routecast.analytics.evaluation.uncertainty import LEVEL, half_width
from routecast.models.report import Estimate


def weighted_quantile(values: Floats, weights: Floats, q: float, blocks: Ints, level: float = LEVEL) -> Estimate:
    """The `q` quantile, 0 < q < 1, of values of which each counts `weights` ≥ 0 times; some weight must be above 0.

    The interval of the share below the quantile, read off the distribution: its ends are observed values.
    """
    order = np.argsort(values, kind="stable")
    ordered, shares = values[order], np.cumsum(weights[order])
    shares /= shares[-1]

    def at(share: float) -> float:
        return float(ordered[min(int(np.searchsorted(shares, share)), len(ordered) - 1)])

    value = at(q)
    half = half_width(weights * ((values <= value) - q) / weights.mean(), blocks, level)
    return Estimate(value=value, low=at(max(0.0, q - half)), high=at(min(1.0, q + half)))
