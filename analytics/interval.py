"""How far a measured ratio or quantile can be trusted: Jeffreys bounds of a ratio, order-statistic intervals of a quantile."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from routecast.analytics.sketch import Counts, rank_bounds

Floats = NDArray[np.float64]

EXACT_N = 1_000
"""Up to this many observations the ranks of an interval come from the binomial distribution itself."""

_NODES = 32
_DRAWN, _WEIGHTS = np.polynomial.legendre.leggauss(_NODES)
_PLACES = ((1.0 + _DRAWN) / 2.0) ** 2
_WIDTHS = (1.0 + _DRAWN) / 2.0 * _WEIGHTS
"""Gauss-Legendre on [0, 1], drawn towards 0 by squaring."""


def jeffreys_lower(successes: ArrayLike, failures: ArrayLike, level: float) -> Floats:
    """One-sided lower bound, at confidence `level` in (0, 1), of the ratio behind real-valued counts ≥ 0, element by element.

    It is the (1 - level) quantile of Beta(successes + ½, failures + ½), within 1e-9 for counts up to 1e7, without the customary
    pinning to 0 where nothing succeeded: decayed counts approach zero without reaching it, so a pinned bound would jump, and a
    bound above zero can be divided by. Without evidence it is that of the prior. 1,000 ratios take about 3 ms, whatever the counts.

    Source: L. D. Brown, T. T. Cai, A. DasGupta, "Interval Estimation for a Binomial Proportion", Statistical Science 16 (2001).
    """
    successes, failures = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(failures, np.float64))
    if level < 0.5:  # integrate the smaller tail
        return 1.0 - _beta_quantile(level, failures + 0.5, successes + 0.5)
    return _beta_quantile(1.0 - level, successes + 0.5, failures + 0.5)


def jeffreys_upper(successes: ArrayLike, failures: ArrayLike, level: float) -> Floats:
    """One-sided upper bound of the ratio; see `jeffreys_lower`. It stays below 1 where nothing failed."""
    return 1.0 - jeffreys_lower(failures, successes, level)


def _beta_quantile(p: float, a: Floats, b: Floats) -> Floats:
    """Quantile of Beta(a, b) for 0 < p ≤ ½, by Newton's method on ln F over the log-odds t of x.

    ln F is concave in t, so a step from the left never overshoots and one from the right lands on the left: it cannot diverge.
    """
    ln_beta = _ln_gamma(a) + _ln_gamma(b) - _ln_gamma(a + b)
    t = _logit_mean(a) - _logit_mean(b) + NormalDist().inv_cdf(p) * np.sqrt(_logit_variance(a) + _logit_variance(b))
    for _ in range(40):
        odds = np.exp(t)
        tail = _tail(a, b, odds)
        step = (a * t - (a + b - 1.0) * np.log1p(odds) - ln_beta + np.log(tail) - math.log(p)) * tail * (1.0 + odds)
        t = t - step
        if np.all(np.abs(step) * odds < 1e-6 * (1.0 + odds) ** 2):
            break
    return 1.0 / (1.0 + np.exp(-t))


def _tail(a: Floats, b: Floats, odds: Floats) -> Floats:
    reach = 8.0 * np.sqrt(b / (a * (a + b + 1.0))) + 32.0 / a
    r = reach[..., None] * _PLACES
    ln_density = (b - 1.0)[..., None] * np.log1p(-odds[..., None] * np.expm1(-r)) - a[..., None] * r
    return reach * (np.exp(ln_density) @ _WIDTHS)


def _ln_gamma(z: Floats) -> Floats:
    return np.array([math.lgamma(value) for value in z.ravel().tolist()]).reshape(z.shape)


def _logit_mean(z: Floats) -> Floats:
    return np.log(z + 0.5 + 1.0 / (24.0 * z + 12.0)) - 1.0 / z


def _logit_variance(z: Floats) -> Floats:
    return 1.0 / z**2 + 1.0 / (z + 0.5)


def quantile_interval(n: int, q: float, level: float = 0.95) -> tuple[int, int] | None:
    """Ranks."""
    tail = (1.0 - level) / 2.0
    lower, above = _lower_rank(n, q, tail), _lower_rank(n, 1.0 - q, tail)
    return (lower, n + 1 - above) if lower and above else None


@lru_cache(maxsize=4096)
def _lower_rank(n: int, q: float, tail: float) -> int:
    if n > EXACT_N:
        z = NormalDist().inv_cdf(tail)
        return max(0, math.floor(n * q + z * math.sqrt(n * q * (1 - q)) + (1 - 2 * q) * (z * z - 1) / 6 + 0.5))
    k = np.arange(n + 1)
    ln_factorial = _ln_gamma(k + 1.0)
    pmf = np.exp(ln_factorial[n] - ln_factorial - ln_factorial[::-1] + k * math.log(q) + (n - k) * math.log1p(-q))
    return int(np.count_nonzero(np.cumsum(pmf) <= tail))


def sketch_interval(counts: Counts, q: float, level: float = 0.95) -> tuple[float, float] | None:
    """Interval in µs."""
    ranks = quantile_interval(int(counts.sum()), q, level)
    return rank_bounds(counts, *ranks) if ranks else None
