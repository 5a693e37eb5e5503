"""What would become of the recorded load if something about the targets were different: the same arrivals, before and after, run by run.

Effects belong to pairs: each run takes a fit that the events leave possible and plays the arrivals with the targets as they are and as they
would be, with the same luck. Weights act where they do in routing: under the policy `weighted`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.insights.fresh_plan import Rule
from routecast.analytics.insights.replayed import Arrivals, Replayed, replay
from routecast.analytics.insights.service_law import TargetFit
from routecast.analytics.insights.target_fit import drawn
from routecast.models.insights import Effect

Floats = NDArray[np.float64]

RUNS: Final = 6
"""Pairs of runs that an effect is made of."""
_STUDENT_95 = 2.571
"""97.5 % quantile of Student's t with five degrees of freedom."""


@dataclass(frozen=True)
class Drain:
    """A target gets nothing more."""

    target: str


@dataclass(frozen=True)
class Copy:
    """There is another target like this one."""

    target: str


@dataclass(frozen=True)
class Limit:
    """A target has another rate limit; None: none."""

    target: str
    requests_per_min: float | None


@dataclass(frozen=True)
class Slots:
    """A target works on at most so many calls at once, whatever it could."""

    target: str
    slots: int


@dataclass(frozen=True)
class Weight:
    """A target's weight is multiplied by this; policy `weighted` alone heeds weights."""

    target: str
    factor: float


Change = Drain | Copy | Limit | Slots | Weight


class Figures(NamedTuple):
    """Of the requests of one run; times in ms until success, without those that failed."""

    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    fail_ratio: float
    usd_per_request: float


class WhatIf(NamedTuple):
    """Means over the runs, and every run."""

    now: Figures
    expected: Figures
    runs: tuple[tuple[Figures, Figures], ...]

    def effects(self) -> tuple[Effect, ...]:
        """Every figure now and as expected, with the 95 % interval that the differences within runs give."""
        return tuple(self._effect(i, name) for i, name in enumerate(Figures._fields))

    def _effect(self, i: int, name: str) -> Effect:
        differences = np.array([after[i] - before[i] for before, after in self.runs])
        half = _STUDENT_95 * float(differences.std(ddof=1)) / math.sqrt(len(differences))
        expected = self.now[i] + float(differences.mean())
        return Effect(figure=name, now=self.now[i], expected=expected, low=expected - half, high=expected + half)


Prices = Callable[[str], tuple[float, float]]
"""Target → price of an input and of an output token, USD."""


def _free(_target: str) -> tuple[float, float]:
    return 0.0, 0.0


def what_if(
    fits: Sequence[TargetFit], arrivals: Arrivals, change: Change, *, load: float = 1.0, seed: int = 0, rule: Rule = "performance", prices: Prices = _free
) -> WhatIf:
    """What this change would do at `load` times the recorded rate.

    Deterministic; 12 runs, about 10 µs a request each. Raises ValueError for a target that is not among the fits, where nothing would be left, and for
    weights where the rule heeds none.
    """
    if change.target not in [fit.target for fit in fits]:
        raise ValueError(f"nothing is known of {change.target!r}: give one of {', '.join(repr(fit.target) for fit in fits)}")
    if isinstance(change, Drain) and len(fits) == 1:
        raise ValueError(f"{change.target!r} is the only target: without it nothing is served, add another one first")
    if isinstance(change, Weight) and rule != "weighted":
        raise ValueError(f"policy {rule!r} heeds no weights: switch it to 'weighted' first")
    rng = np.random.default_rng([seed, 3])

    def figures(targets: Sequence[TargetFit], number: int) -> Figures:
        prices_of = [prices(_origin(fit)) for fit in targets]
        return _figures(replay(targets, arrivals, load, seed=seed + number, rule=rule, usd=prices_of))

    drawn_ = [[drawn(fit, rng) for fit in fits] for _ in range(RUNS)]
    runs = tuple((figures(targets, number), figures(changed(targets, change), number)) for number, targets in enumerate(drawn_))
    now, expected = (Figures(*np.mean([run[side] for run in runs], axis=0).tolist()) for side in (0, 1))
    return WhatIf(now, expected, runs)


def changed(fits: Sequence[TargetFit], change: Change) -> list[TargetFit]:
    """The targets as they would be."""
    match change:
        case Drain(target):
            return [fit for fit in fits if fit.target != target]
        case Copy(target):
            return [*fits, *(replace(fit, target=f"{target}{_COPY}") for fit in fits if fit.target == target)]
        case Limit(target, per_min):
            return [replace(fit, requests_per_s=None if per_min is None else per_min / 60.0) if fit.target == target else fit for fit in fits]
        case Slots(target, slots):
            return [replace(fit, law=fit.law._replace(slots=min(fit.law.slots, float(slots)))) if fit.target == target else fit for fit in fits]
        case Weight(target, factor):
            return [replace(fit, weight=fit.weight * factor) if fit.target == target else fit for fit in fits]


_COPY = " (copy)"


def _origin(fit: TargetFit) -> str:
    return fit.target.removesuffix(_COPY)


def _figures(run: Replayed) -> Figures:
    served = run.time_ms[np.isfinite(run.wait_ms)]
    if not len(served):
        return Figures(math.inf, math.inf, math.inf, math.inf, 1.0, 0.0)
    p50, p95, p99 = np.quantile(served, [0.5, 0.95, 0.99]).tolist()
    return Figures(float(served.mean()), p50, p95, p99, run.failed_ratio, run.usd)
