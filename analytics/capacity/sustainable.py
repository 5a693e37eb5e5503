"""The highest load at which the 95th percentile of the wait keeps a limit: bisection on replays, and its interval over fits and runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from routecast.analytics.capacity.replayed import Arrivals, replay
from routecast.analytics.capacity.service_law import TargetFit
from routecast.analytics.capacity.target_fit import drawn

P: Final = 0.95
DRAWS: Final = 12
"""Fits that the interval is made of."""
_EMPTIEST, _FULLEST = 0.05, 1.3
"""Of what all targets can do: loads between which the limit is looked for."""
_CLOSE = 1.01
"""Ratio of loads at which a search ends; neighbours differ by less than two runs do."""
_STRIDE = 1.12
STUDENT_95 = 2.2
"""97.5 % quantile of Student's t with eleven degrees of freedom."""
FAMILY = 0.06
"""Standard deviation, in the logarithm, of what is left where several targets share the load: no law of the family is quite theirs, and whole routers choose
a little otherwise than the rule that is played. Measured on 13 draws of seeds 0 to 6 of the study (docs/capacity.md)."""

Told = Callable[[float], object]
"""Called with the share of the work that is done, 0..1."""


class Found(NamedTuple):
    """Load factors on the recorded rate."""

    load: float
    low: float
    high: float
    """Ends of the 95 % interval."""
    drawn: tuple[tuple[TargetFit, ...], ...]
    """The fits behind it."""


def full_load(fits: Sequence[TargetFit], arrivals: Arrivals) -> float:
    """The load at which all targets together are as busy as their laws and limits let them be."""
    per_s = sum(_full_per_s(fit, arrivals) for fit in fits)
    return per_s * 60.0 / arrivals.per_min


def _full_per_s(fit: TargetFit, arrivals: Arrivals) -> float:
    return min(fit.law.most / fit.alone_ms(arrivals.input_tokens, arrivals.output_tokens) * 1000.0, fit.requests_per_s or math.inf)


@dataclass(frozen=True)
class Search:
    """Looks for the load at which these arrivals wait `limit_ms`."""

    arrivals: Arrivals
    limit_ms: float

    def holds(self, fits: Sequence[TargetFit], load: float, seed: int) -> bool:
        """Whether the limit is kept at this load."""
        return replay(fits, self.arrivals, load, seed=seed).wait_quantile_ms(P) <= self.limit_ms

    def find(self, fits: Sequence[TargetFit], seed: int) -> float:
        """The load, within 1 %; the emptiest that is tried where even that does not keep the limit."""
        full = full_load(fits, self.arrivals)
        return self._between(fits, seed, _EMPTIEST * full, _FULLEST * full)

    def near(self, fits: Sequence[TargetFit], seed: int, load: float) -> float:
        """The same from a load that is near."""
        step = _STRIDE if self.holds(fits, load, seed) else 1.0 / _STRIDE
        full = full_load(fits, self.arrivals)
        while _EMPTIEST * full < load * step < _FULLEST * full and self.holds(fits, load * step, seed) == (step > 1.0):
            load *= step
        return self._between(fits, seed, min(load, load * step), max(load, load * step))

    def _between(self, fits: Sequence[TargetFit], seed: int, low: float, high: float) -> float:
        while high / low > _CLOSE:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.holds(fits, middle, seed) else (low, middle)
        return math.sqrt(low * high)


def found(search: Search, fits: Sequence[TargetFit], seed: int, tell: Told | None = None) -> Found:
    """The load with its interval: the mean, in the logarithm, over fits that the same events leave possible, each with luck of its own."""
    rng = np.random.default_rng([seed, 2])
    start, loads, all_drawn = search.find(fits, seed), list[float](), list[tuple[TargetFit, ...]]()
    for number in range(DRAWS):
        again = tuple(drawn(fit, rng) for fit in fits)
        near = start * full_load(again, search.arrivals) / full_load(fits, search.arrivals)
        loads.append(math.log(search.near(again, seed + number + 1, near)))
        all_drawn.append(again)
        if tell is not None:
            tell((number + 1) / DRAWS)
    mean, family = float(np.mean(loads)), FAMILY if len(fits) > 1 else 0.0
    half = STUDENT_95 * math.hypot(float(np.std(loads, ddof=1)), family)
    return Found(math.exp(mean), math.exp(mean - half), math.exp(mean + half), tuple(all_drawn))
