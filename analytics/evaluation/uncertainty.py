"""How far an estimate may be off: by the influence of each block of rows on it, or by drawing blocks anew.

Sources: F. R. Hampel 1974 (influence function); K.-Y. Liang, S. L. Zeger 1986 (blocks); B. Efron 1979 (bootstrap).
"""

from __future__ import annotations

import math

import numpy as np

from routecast.analytics.changes.student import two_sided_quantile
from routecast.analytics.evaluation.estimators import Terms
from routecast.analytics.evaluation.logged import Floats, Ints
from routecast.models.report import Estimate

LEVEL = 0.95


def influence(terms: Terms) -> Floats:
    """[rows] What each row moves the estimate by, times the number of rows."""
    moves: Floats = (terms.top - terms.value * terms.bottom) / terms.bottom.mean()
    return moves


def half_width(moves: Floats, blocks: Ints, level: float = LEVEL) -> float:
    """Half of the interval around an estimate whose rows have this influence; infinite with fewer than two blocks.

    Rows of a block may hang together. Where that would make the interval narrower than independent rows do, rows count as independent.
    """
    n = len(moves)
    together = np.bincount(np.unique(blocks, return_inverse=True)[1].reshape(-1), weights=moves)
    m = len(together)
    if m < 2:
        return float("inf")
    variance = max(float(moves @ moves) / (n - 1), float(together @ together) * m / (m - 1) / n)
    return float(two_sided_quantile(1.0 - level, np.array(m - 1.0))) * math.sqrt(variance / n)


def by_influence(terms: Terms, blocks: Ints, level: float = LEVEL) -> Estimate:
    """The estimate with the interval that its rows' influence gives."""
    value, half = terms.value, half_width(influence(terms), blocks, level)
    return Estimate(value=value, low=value - half, high=value + half)


def by_bootstrap(terms: Terms, blocks: Ints, rng: np.random.Generator, *, rounds: int = 1000, level: float = LEVEL) -> Estimate:
    """The estimate with the percentiles of what it is when as many blocks are drawn with replacement, `rounds` times."""
    number = np.unique(blocks, return_inverse=True)[1].reshape(-1)
    sums = np.stack([np.bincount(number, weights=terms.top), np.bincount(number, weights=terms.bottom)], axis=1)
    m = len(sums)
    drawn = np.array([np.bincount(rng.integers(0, m, m), minlength=m) @ sums for _ in range(rounds)])
    values = drawn[:, 0] / np.where(drawn[:, 1] > 0, drawn[:, 1], np.nan)
    low, high = np.nanquantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0]).tolist()
    return Estimate(value=terms.value, low=low, high=high)


def within_reason(estimate: Estimate, least: float, most: float, unseen: float) -> Estimate:
    """The estimate kept within what the metric can be, its interval at least `unseen` wide on the sides where there is room.

    Where all rows are alike, the interval of their spread has no width; what never happened may still happen, up to 3 ÷ n (J. A. Hanley,
    A. Lippman-Hand 1983).
    """
    value = min(max(estimate.value, least), most)
    return Estimate(value=value, low=max(least, min(estimate.low, value - unseen)), high=min(most, max(estimate.high, value + unseen)))
