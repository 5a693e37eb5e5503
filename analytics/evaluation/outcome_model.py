"""What each target would have brought in the situation of each row: means by target and kind of situation, cross-fitted.

The situation is cut into as many kinds as the log can fill. A thin mean leans on target × kind of situation taken as independent. The row's
own part of the log is left out, so that no row helps to predict itself (Chernozhukov et al. 2018, cross-fitting).
"""

from __future__ import annotations

import numpy as np

from routecast.analytics.evaluation.logged import FOLDS, Floats, Ints, Logged

_ROWS_A_MEAN = 5
"""Rows that a mean has on average: where a target is seldom chosen, the leaning speaks."""
_MOST_KINDS = 512
_PRIOR = 10.0
"""Observations that the leaning counts as."""


def predictions(logged: Logged, reward: Floats) -> Floats:
    """[rows × targets] Expected reward; `reward` must be known for every row. 0 where nothing else was logged."""
    kinds, k = kinds_of(logged.context, len(logged), len(logged.targets)), len(logged.targets)
    n_kinds = int(kinds.max(initial=0)) + 1
    places = (logged.folds * n_kinds + kinds) * k + logged.chosen
    shape = (FOLDS, n_kinds, k)
    counts = np.bincount(places, minlength=FOLDS * n_kinds * k).reshape(shape).astype(np.float64)
    sums = np.bincount(places, weights=reward, minlength=FOLDS * n_kinds * k).reshape(shape)
    means = _leaning(sums.sum(axis=0) - sums, counts.sum(axis=0) - counts)
    return means[logged.folds, kinds]


def kinds_of(context: Floats, n: int, targets: int) -> Ints:
    """[rows] Kind of situation, numbered from 0: every feature cut at its own quantiles, not known a class of its own."""
    features = context.shape[1]
    kinds = np.zeros(n, np.int64)
    if not features or not n:
        return kinds
    parts = int(min(_MOST_KINDS, n / (_ROWS_A_MEAN * targets)) ** (1.0 / features) + 1e-9)
    for values in context.T:
        kinds = kinds * (parts + 1) + _cut(values, parts)
    return np.unique(kinds, return_inverse=True)[1].reshape(-1)


def _cut(values: Floats, parts: int) -> Ints:
    known = np.isfinite(values)
    if parts < 2 or not known.any():
        return np.where(known, 1, 0)
    edges = np.quantile(values[known], np.arange(1, parts) / parts)
    return np.where(known, 1 + np.searchsorted(edges, values, side="right"), 0)


def _leaning(sums: Floats, counts: Floats) -> Floats:
    """[folds × kinds × targets] means, thin ones drawn towards mean of the target × mean of the kind ÷ mean of all."""
    overall = _ratio(sums.sum(axis=(1, 2), keepdims=True), counts.sum(axis=(1, 2), keepdims=True))
    by_target = _drawn(sums.sum(axis=1, keepdims=True), counts.sum(axis=1, keepdims=True), overall)
    by_kind = _drawn(sums.sum(axis=2, keepdims=True), counts.sum(axis=2, keepdims=True), overall)
    tilt = np.where(overall > 0, by_kind / np.where(overall > 0, overall, 1.0), 1.0)
    return _drawn(sums, counts, by_target * tilt)


def _drawn(sums: Floats, counts: Floats, towards: Floats) -> Floats:
    return (sums + _PRIOR * towards) / (counts + _PRIOR)


def _ratio(sums: Floats, counts: Floats) -> Floats:
    return sums / np.maximum(counts, 1.0)
