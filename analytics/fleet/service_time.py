"""Mean time of a request that meets no queue, from log latencies freed of load, and quick to notice that a target has changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.fleet.capacity_fit import CANDIDATES, Fit, LatencyGroups

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_TAU_S = 300.0
_RECENT_TAU_S = 6.0
_RESTART = 4.5
_LEAST_RECENT = 2
_LEAST_VARIANCE, _MOST_VARIANCE = 0.05, 4.0
"""Beyond the upper bound latencies have several causes (answers from a cache) and the mean of a lognormal would explode."""
_LEAST_N = 1e-200
"""Evidence that has faded below this is none; until then means outlive an idle night."""
_NOBODY: Ints = np.zeros(0, np.int64)
_UNKNOWN_S = 1.0
"""Service time where nothing at all is known yet."""


class ServiceTime:
    """Long and recent sums of residuals of `n` targets.

    Short arithmetic means are avoided on purpose: slow, rarely used targets would get twice their true time.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_long_n", "_long_e", "_recent_n", "_recent_e")

    def __init__(self, n: int = 0) -> None:
        self._long_n: Floats = np.zeros(n)
        self._long_e: Floats = np.zeros((n, len(CANDIDATES)))
        self._recent_n: Floats = np.zeros(n)
        self._recent_e: Floats = np.zeros((n, len(CANDIDATES)))

    def grow(self, n: int) -> None:
        """Make room for `n` targets."""
        more = n - len(self._long_n)
        self._long_n, self._recent_n = np.pad(self._long_n, (0, more)), np.pad(self._recent_n, (0, more))
        self._long_e, self._recent_e = np.pad(self._long_e, ((0, more), (0, 0))), np.pad(self._recent_e, ((0, more), (0, 0)))

    def forget(self, targets: Ints) -> None:
        """Restart these targets from the prior."""
        for sums in (self._long_n, self._long_e, self._recent_n, self._recent_e):
            sums[targets] = 0.0

    def update(self, elapsed_s: float, groups: LatencyGroups) -> None:
        """Take what is new since `elapsed_s` ago; the recent sums hold at least that."""
        sums = groups.residual_sums()
        long, recent = math.exp(-elapsed_s / _TAU_S), math.exp(-elapsed_s / _RECENT_TAU_S)
        for old, new, decay in (
            (self._long_n, groups.n, long),
            (self._long_e, sums, long),
            (self._recent_n, groups.n, recent),
            (self._recent_e, sums, recent),
        ):
            np.multiply(old, decay, out=old)
            np.add.at(old, groups.target, new)

    def restart(self, fit: Fit, sd: Floats, caution: float, told: Ints = _NOBODY) -> Ints:
        """Let targets whose recent mean is off the long one start anew from the recent sums; which ones.

        `sd` is the residual standard deviation per target; `caution` scales how far off is far (1 by default). Those of `told` are known to have
        changed.
        """
        rows = np.arange(len(self._long_n))
        long = self._long_e[rows, fit.choice] / np.maximum(self._long_n, 1e-9)
        recent = self._recent_e[rows, fit.choice] / np.maximum(self._recent_n, 1e-9)
        off = np.abs(recent - long) * np.sqrt(self._recent_n) / sd > _RESTART * caution
        off[told] = True
        changed = np.flatnonzero(off & (self._recent_n >= _LEAST_RECENT)).astype(np.int64)
        self._long_n[changed] = self._recent_n[changed]
        self._long_e[changed] = self._recent_e[changed]
        return changed

    def estimate(self, fit: Fit, variance: float, learning_rate: float, models: Ints) -> Floats:
        """Seconds per target, shrunk in the logarithm towards the same model elsewhere, else towards the median of the service.

        `models` numbers the model of each target, −1 for none.
        """
        rows = np.arange(len(fit.choice))
        n, e = self._long_n, self._long_e[rows, fit.choice]
        known = n > _LEAST_N
        means = e / np.maximum(n, _LEAST_N)
        middle = float(np.median(means[known])) if known.any() else math.log(_UNKNOWN_S) - variance / 2
        prior = _elsewhere(models, n, e, middle)
        weight = 1.0 / learning_rate - 1.0
        shrunk = np.where(known, (e + weight * prior) / np.maximum(n + weight, _LEAST_N), prior)
        return np.exp(shrunk + variance / 2)

    def spread(self, variance: float, learning_rate: float) -> Floats:
        """Standard deviation of what is believed of the logarithm of each estimate: the prior counts as in `estimate`."""
        return np.sqrt(variance / np.maximum(self._long_n + 1.0 / learning_rate - 1.0, 1.0))


def model_numbers(models: Sequence[str]) -> Ints:
    """A number for each model, equal for equal ones."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(model, len(numbers)) for model in models], np.int64)


def pooled_variance(fit: Fit) -> float:
    """Residual variance of a service: its targets' variances weighted by their evidence, 0.05..4."""
    total = float(fit.n.sum())
    return min(_MOST_VARIANCE, max(_LEAST_VARIANCE, float((fit.n * fit.variance).sum()) / total)) if total else _LEAST_VARIANCE


def _elsewhere(models: Ints, n: Floats, e: Floats, otherwise: float) -> Floats:
    """Of each target the mean over the others of its model, `otherwise` where there is no evidence."""
    found = np.full(len(models), otherwise)
    for model in range(int(models.max(initial=-1)) + 1):
        same = np.flatnonzero(models == model)
        evidence, sums = _of_others(n[same]), _of_others(e[same])
        known = evidence > _LEAST_N
        found[same[known]] = sums[known] / evidence[known]
    return found


def _of_others(values: Floats) -> Floats:
    """Of each the sum of all others. The whole less its own would lose what is small beside it."""
    around = np.pad(values, 1)
    return np.cumsum(around)[:-2] + np.cumsum(around[::-1])[::-1][2:]
