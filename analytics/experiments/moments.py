"""Number, mean and variance of observations: what a comparison needs to know of an arm."""

from __future__ import annotations

import math
from typing import NamedTuple


class Moments(NamedTuple):
    """Of independent observations."""

    n: float
    mean: float
    variance: float

    @classmethod
    def of(cls, n: float, total: float, squares: float) -> Moments:
        """From their number, sum and sum of squares; nothing is known of the variance of fewer than two."""
        if n < 2:
            return cls(n, total / n if n else 0.0, math.inf)
        mean = total / n
        return cls(n, mean, max(0.0, squares / n - mean * mean) * n / (n - 1))

    @classmethod
    def of_share(cls, n: int, hits: int) -> Moments:
        """Of yes and no. Where either was not seen yet its share counts as 1/(n + 2): a sample without failures is no proof that there are none."""
        if n < 2:
            return cls(n, hits / n if n else 0.0, math.inf)
        smoothed = (hits + 1.0) / (n + 2.0)
        return cls(n, hits / n, smoothed * (1.0 - smoothed))

    def logarithm(self) -> Moments | None:
        """Of the logarithm of the mean, by the delta method; None where the mean is not above 0."""
        if self.mean <= 0:
            return None
        return Moments(self.n, math.log(self.mean), self.variance / (self.mean * self.mean))
