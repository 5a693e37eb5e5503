"""Student's t for any number of degrees of freedom, through the normal distribution: within 0.002 of p from three degrees on.

Source: D. L. Wallace, "Bounds on Normal Approximations to Student's and the Chi-Square Distributions", Annals of Mathematical
Statistics 30, 1959.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def two_sided_p(t: Floats, freedom: Floats) -> Floats:
    """Probability of a statistic at least as far from 0 as `t`; element by element, `freedom` ≥ 1."""
    z = (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0) * np.sqrt(freedom * np.log1p(t * t / freedom))
    return np.array([math.erfc(value) for value in (z / math.sqrt(2.0)).ravel().tolist()]).reshape(z.shape)


def two_sided_quantile(p: float, freedom: Floats) -> Floats:
    """What |t| exceeds with probability `p`."""
    z = NormalDist().inv_cdf(1.0 - p / 2.0) * (8.0 * freedom + 3.0) / (8.0 * freedom + 1.0)
    return np.asarray(np.sqrt(freedom * np.expm1(z * z / freedom)))
