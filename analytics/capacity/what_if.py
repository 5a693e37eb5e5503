"""What would become of the recorded load if something about the targets were different: the same arrivals, before and after, run by run.

Effects belong to pairs: each run takes a fit that the events leave possible and plays the arrivals with the targets as they are and as they
would be, with the same luck. Weights act where they do in routing: under the policy `weighted`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.capacity.fresh_plan import Rule
from routecast.analytics.capacity.replayed import Arrivals, Replayed, replay
from routecast.analytics.capacity.service_law import TargetFit
from routecast.analytics.capacity.target_fit import drawn
from routecast.models.recommendation import Effect

Floats = NDArray[np.float64]

RUNS: Final = 6
"""Pairs of runs that an effect is made of. All of them lie on one side of the median once in 32 times."""
_BY_RATIO = frozenset({"mean_ms", "p50_ms", "p95_ms", "p99_ms", "usd_per_request"})


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


@dataclass(frozen=True)
class Price:
    """A target costs so many times what it costs now."""

    target: str
    factor: float


@dataclass(frozen=True)
class Quality:
    """A target's answers are this good, 0..1."""

    target: str
    quality: float


Change = Drain | Copy | Limit | Slots | Weight | Price | Quality


class Figures(NamedTuple):
    """Of the requests of one run; times in ms until success, without those that failed."""

    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    fail_ratio: float
    usd_per_request: float
    quality: float
    """Mean over the answers; 0 where that of the targets is not given."""


class WhatIf(NamedTuple):
    """Means over the runs, and every run."""

    now: Figures
    expected: Figures
    runs: tuple[tuple[Figures, Figures], ...]

    def effects(self) -> tuple[Effect, ...]:
        """Every figure now and as expected, by the median over runs, with a 95 % interval free of assumptions: the least and the most of six runs.

        The interval lies within what the pairs of runs say as well as within what the runs after the change say. In a full queue a run may wait a second
        or a minute: times and costs are compared by ratio.
        """
        return tuple(self._effect(i, name) for i, name in enumerate(Figures._fields))

    def _effect(self, i: int, name: str) -> Effect:
        before, after = (np.array([run[side][i] for run in self.runs]) for side in (0, 1))
        now = float(np.median(before))
        by_ratio = name in _BY_RATIO and before.min() > 0
        paired = now * after / before if by_ratio else now + after - before
        low, high = max(float(paired.min()), float(after.min())), min(float(paired.max()), float(after.max()))
        low, high = min(low, high), max(low, high)
        return Effect(figure=name, now=now, expected=min(high, max(low, float(np.median(after)))), low=low, high=high)


Prices = Callable[[str], tuple[float, float]]
"""Target → price of an input and of an output token, USD."""
Qualities = Callable[[str], float]
"""Target → mean quality of its answers, 0..1."""


def _free(_target: str) -> tuple[float, float]:
    return 0.0, 0.0


def _unjudged(_target: str) -> float:
    return 0.0


def what_if(
    fits: Sequence[TargetFit], arrivals: Arrivals, change: Change, *, load: float = 1.0, seed: int = 0, rule: Rule = "performance", prices: Prices = _free
) -> WhatIf:
    """What this change would do at `load` times the recorded rate.

    Deterministic; 12 runs, about 10 µs a request each. Raises ValueError for a target that is not among the fits, where nothing would be left, and for
    weights where the rule heeds none.
    """
    return Present(fits, arrivals, load=load, seed=seed, rule=rule, prices=prices).what_if(change)


class Present:
    """The recorded load with the targets as they are, to hold changes beside it: it is played once for all of them.

    Args:
        fits: the targets.
        arrivals: at least one.
        load: times the recorded rate.
        seed: of everything random.
        rule: how targets are chosen.
        prices: of the targets; free where none are given.
        qualities: of their answers.
    """

    def __init__(
        self, fits: Sequence[TargetFit], arrivals: Arrivals, *, load: float = 1.0, seed: int = 0, rule: Rule = "performance", prices: Prices = _free,
        qualities: Qualities = _unjudged,
    ) -> None:  # fmt: skip
        self._fits, self._arrivals, self._load, self._seed = fits, arrivals, load, seed
        self._rule: Rule = rule
        self._prices, self._qualities = prices, qualities
        rng = np.random.default_rng([seed, 3])
        self._drawn = [[drawn(fit, rng) for fit in fits] for _ in range(RUNS)]

    @cached_property
    def _now(self) -> list[Figures]:
        return [self._figures(targets, number, self._prices, self._qualities) for number, targets in enumerate(self._drawn)]

    def what_if(self, change: Change) -> WhatIf:
        """What this change would do. Raises ValueError as the function of this name does."""
        self._refuse(change)
        prices, qualities = self._prices, self._qualities
        if isinstance(change, Price):
            prices = _scaled(prices, change)
        if isinstance(change, Quality):
            qualities = _replaced(qualities, change)
        then = [self._figures(changed(targets, change), number, prices, qualities) for number, targets in enumerate(self._drawn)]
        now, expected = (Figures(*np.mean(figures, axis=0).tolist()) for figures in (self._now, then))
        return WhatIf(now, expected, tuple(zip(self._now, then, strict=True)))

    def _refuse(self, change: Change) -> None:
        if change.target not in [fit.target for fit in self._fits]:
            raise ValueError(f"nothing is known of {change.target!r}: give one of {', '.join(repr(fit.target) for fit in self._fits)}")
        if isinstance(change, Drain) and len(self._fits) == 1:
            raise ValueError(f"{change.target!r} is the only target: without it nothing is served, add another one first")
        if isinstance(change, Weight) and self._rule == "performance":
            raise ValueError(f"policy {self._rule!r} heeds no weights: switch it to 'weighted' first")

    def _figures(self, targets: Sequence[TargetFit], number: int, prices: Prices, qualities: Qualities) -> Figures:
        names = [_origin(fit) for fit in targets]
        run = replay(targets, self._arrivals, self._load, seed=self._seed + number, rule=self._rule, usd=[prices(name) for name in names])
        return _figures(run, [qualities(name) for name in names])


def _scaled(prices: Prices, change: Price) -> Prices:
    def after(target: str) -> tuple[float, float]:
        per_input, per_output = prices(target)
        factor = change.factor if target == change.target else 1.0
        return factor * per_input, factor * per_output

    return after


def _replaced(qualities: Qualities, change: Quality) -> Qualities:
    return lambda target: change.quality if target == change.target else qualities(target)


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
        case Price() | Quality():
            return list(fits)


_COPY = " (copy)"


def _origin(fit: TargetFit) -> str:
    return fit.target.removesuffix(_COPY)


def _figures(run: Replayed, qualities: Sequence[float]) -> Figures:
    times = run.time_ms[np.isfinite(run.wait_ms)]
    if not len(times):
        return Figures(math.inf, math.inf, math.inf, math.inf, 1.0, 0.0, 0.0)
    p50, p95, p99 = np.quantile(times, [0.5, 0.95, 0.99]).tolist()
    quality = float(np.dot(run.served, qualities)) / len(times)
    return Figures(float(times.mean()), p50, p95, p99, run.failed_ratio, run.usd, quality)
