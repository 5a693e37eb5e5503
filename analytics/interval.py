"""How far a measured ratio or quantile can be trusted: Jeffreys bounds of a ratio, order-statistic intervals of a quantile."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from routecast.analytics.sketch import Counts, bounds_of_rows, bounds_us

Floats = NDArray[np.float64]

EXACT_N = 1_000
"""Up to this many observations the ranks of an interval come from the binomial distribution itself."""
_LN_FACTORIAL = np.concatenate(([0.0], np.log(np.arange(1, EXACT_N + 1)).cumsum()))

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
# Squaring the places draws them towards 0, where the integrand is largest.
_PLACES = ((1.0 + _NODES) / 2.0) ** 2
_WIDTHS = (1.0 + _NODES) / 2.0 * _WEIGHTS


def jeffreys_lower(successes: ArrayLike, failures: ArrayLike, level: float) -> Floats:
    """One-sided lower bound of the ratio behind counts ≥ 0, which may be fractions, at confidence `level`; element by element.

    It is the (1 - level) quantile of Beta(successes + ½, failures + ½), within 1e-9 for counts up to 1e7; without evidence that is
    the bound of the prior. The customary exception, 0 where nothing succeeded, is left out: fading counts come near zero without
    reaching it, where the bound would jump, and it is divided by. 1,000 ratios take 1 to 2 ms, whatever the counts.

    Raises ValueError unless 0 < level < 1. A count that is not a number gives NaN.

    Source: L. D. Brown, T. T. Cai, A. DasGupta, "Interval Estimation for a Binomial Proportion", Statistical Science 16, 2001.
    """
    a, b = np.broadcast_arrays(np.asarray(successes, np.float64) + 0.5, np.asarray(failures, np.float64) + 0.5)
    return _beta_quantile(1.0 - level, a, b) if level >= 0.5 else 1.0 - _beta_quantile(level, b, a)


def jeffreys_upper(successes: ArrayLike, failures: ArrayLike, level: float) -> Floats:
    """One-sided upper bound of the ratio, below 1 even where nothing failed; see `jeffreys_lower`."""
    return 1.0 - jeffreys_lower(failures, successes, level)


def _beta_quantile(p: float, a: Floats, b: Floats) -> Floats:
    """Quantile of Beta(a, b), 0 < p ≤ ½ and a, b ≥ ½: Newton's method for ln F = ln p over t, the log-odds of x.

    t is nearly normal, which gives the start. ln F is concave in t, so steps from the left stay left of the root.
    """
    spread = np.sqrt(_variance_log(a) + _variance_log(b))
    t = _mean_log(a) - _mean_log(b) + NormalDist().inv_cdf(p) * spread
    ln_beta = _ln_gamma(a) + _ln_gamma(b) - _ln_gamma(a + b)
    moving = np.ones(a.shape, bool)
    for _ in range(40):
        odds = np.exp(t)
        tail = _tail(a, b, odds)
        ln_f = a * t - (a + b - 1.0) * np.log1p(odds) - ln_beta + np.log(tail)
        step = (ln_f - math.log(p)) * tail * (1.0 + odds)
        t = np.where(moving, t - step, t)  # what has settled stays, so that no bound depends on its neighbours
        moving &= np.abs(step) > 1e-5 * spread  # a step squares the error
        if not moving.any():
            break
    return 1.0 / (1.0 + np.exp(-t))


def _tail(a: Floats, b: Floats, odds: Floats) -> Floats:
    """F(x) over its leading factor x^a (1-x)^(b-1) / B(a, b): the integral of what is left of the density over r = ln(x / u), u < x."""
    reach = 8.0 * np.sqrt(b / (a * (a + b + 1.0))) + 32.0 / a
    r = reach[..., None] * _PLACES
    density = np.exp((b - 1.0)[..., None] * np.log1p(-odds[..., None] * np.expm1(-r)) - a[..., None] * r)
    integral: Floats = (density * _WIDTHS).sum(axis=-1)
    return reach * integral


def _mean_log(z: Floats) -> Floats:
    """Mean of ln G for G ~ Gamma(z), the digamma function, well enough to start from."""
    return np.log(z + 0.5) - 1.0 / z


def _variance_log(z: Floats) -> Floats:
    return 1.0 / z**2 + 1.0 / (z + 0.5)


def _ln_gamma(z: Floats) -> Floats:
    return np.array([math.lgamma(value) for value in z.ravel().tolist()]).reshape(z.shape)


def quantile_interval(n: int, q: float, level: float = 0.95) -> tuple[int, int] | None:
    """Ranks (1..n) of the two observations between which the true `q` quantile, 0 < q < 1, lies with probability ≥ `level`.

    None where `n` is too small to say: below 72 for p95 and below 368 for p99, at 95 %. Exact up to `EXACT_N`; above it the
    binomial is taken as normal with its skewness: the same ranks, or for a few n in a hundred one rank wider.

    Source: H. A. David, H. N. Nagaraja, "Order Statistics", 3rd edition 2003, 7.1; E. A. Cornish, R. A. Fisher 1938.
    """
    tail = (1.0 - level) / 2.0
    lower, above = _lower_rank(n, q, tail), _lower_rank(n, 1.0 - q, tail)
    return (lower, n + 1 - above) if lower and above else None


@lru_cache(maxsize=4096)
def _lower_rank(n: int, q: float, tail: float) -> int:
    """Largest rank whose observation exceeds the `q` quantile with probability ≤ `tail`; 0 where there is none."""
    if n > EXACT_N:
        z = NormalDist().inv_cdf(tail)
        return max(0, math.floor(n * q + z * math.sqrt(n * q * (1.0 - q)) + (1.0 - 2.0 * q) * (z * z - 1.0) / 6.0 + 0.5))
    below = np.arange(n + 1)
    ln_choices = _LN_FACTORIAL[n] - _LN_FACTORIAL[: n + 1] - _LN_FACTORIAL[n::-1]
    probability = np.exp(ln_choices + below * math.log(q) + below[::-1] * math.log1p(-q))
    return int(np.count_nonzero(probability.cumsum() <= tail))


def sketch_interval(counts: Counts, q: float, level: float = 0.95) -> tuple[float, float] | None:
    """`quantile_interval` of a sketch, in µs, widened to the edges of the buckets so that the level holds; None where it is too small.

    The lower end is 0 below the sketch's range and the upper infinite above it: clip with the known extremes.
    """
    ranks = quantile_interval(int(counts.sum()), q, level)
    return bounds_us(counts, ranks) if ranks else None


def sketch_intervals(counts: Counts, q: float, level: float = 0.95) -> tuple[Floats, Floats]:
    """`sketch_interval` of every row of a matrix: lower and upper ends, NaN where a row is too small; thousands at once take 2 µs each."""
    ns, row = np.unique(counts.sum(axis=1), return_inverse=True)
    ranks = np.array([quantile_interval(n, q, level) or (0, 0) for n in ns.tolist()], np.int64).reshape(-1, 2)[row]
    known = ranks[:, 0] > 0
    low, high = bounds_of_rows(counts, np.maximum(1, ranks[:, 0]), np.maximum(1, ranks[:, 1]))
    return np.where(known, low, np.nan), np.where(known, high, np.nan)
