"""The difference of two arms with an interval that holds at all times.

Units are assigned with known shares, so that every unit is one observation of the difference: one of the control tells x̄ apart from it by
−1/(1 − π), one of the other arm by 1/π. Their variance is t·(s²₁/n₁ + s²₀/n₀) with t = n₀ + n₁, whatever the shares, and their mean the
difference of the means: one confidence sequence for both (Waudby-Smith et al. 2024, section 3, without covariates).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from routecast.analytics.experiments.confidence_sequence import needed, radius, tuned
from routecast.analytics.experiments.moments import Moments

LEAST_REQUESTS = 100
"""Of each arm, before anything is said: intervals are valid for many observations, not for few."""
LEAST_BLOCKS = 15


class Boundary(NamedTuple):
    """How intervals are made."""

    r2: float
    alpha: float
    least: int
    """Units of each arm before anything is said."""

    @classmethod
    def planned(cls, units: float, alpha: float, least: int) -> Boundary:
        """The tightest at so many units of both arms together."""
        return cls(tuned(units, alpha), alpha, least)


class Difference(NamedTuple):
    """Arm minus control."""

    value: float
    radius: float
    t: float
    sd: float
    """Per unit."""

    @property
    def low(self) -> float:
        """Lower end."""
        return self.value - self.radius

    @property
    def high(self) -> float:
        """Upper end."""
        return self.value + self.radius

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def needed(self, boundary: Boundary, *, most: float) -> float | None:
        """Units after which a difference as large as this one would be certain; None where `most` would not do."""
        return needed(self.value, self.sd, boundary.r2, boundary.alpha, most=most)


def difference(control: Moments, arm: Moments, boundary: Boundary) -> Difference | None:
    """Of two arms; None while too few units are known of either."""
    if min(control.n, arm.n) < boundary.least:
        return None
    t = control.n + arm.n
    sd = math.sqrt(t * (control.variance / control.n + arm.variance / arm.n))
    return Difference(arm.mean - control.mean, radius(t, sd, boundary.r2, boundary.alpha), t, sd)
