"""Service laws from events: which law makes the observed ends of a target's calls most likely.

Under a law with v(m) = 1/slowness(m), a call that began to be worked on at b and ended at y did w = ∫ v(m(t)) dt of work between them. Given the
arrivals, the likelihood of all ends is then the product of f(w)·v(m at the end) over the calls, f the density of work: what hinders one call is
what the others did, and every factor depends on the past alone (P. Brémaud, "Point Processes and Queues", 1981). f is lognormal around the time
that the tokens let expect. The bound on calls worked on enters through b, which FIFO order and the known ends give. The likelihood is evaluated on a
grid of laws, which at once says how likely the others are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.capacity.law_grid import Pairs, beyond, highest_roof, ln_prior, pairs, roofs
from routecast.analytics.capacity.occupancy import Occupancy
from routecast.analytics.capacity.service_law import Law

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_LEAST_WORK, _QUICK = 0.02, 0.2
"""A bound under which a call got less than so much of what quick calls of its size take is unlikely, not impossible: clocks err."""
_IMPOSSIBLE = 8.0
"""ln likelihood that such a call costs."""
_SLOTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 60, 75, 95, 120, 150, 200, 260, 340, 450, 600)
_COARSE_CALLS, _COARSE_ROOFS, _FINE_ROOFS = 700, 16, 20
_STAGES = 2
_BOUNDS, _MARGIN = 8, 1.3
_ALL = slice(None)
_ALIKE = 10.0
"""Laws whose ln likelihood is lower by more are left out."""
_CAUTION = 0.5
"""What the likelihood counts for: bursts, clocks and odd spreads make calls tell less than independent lognormal ones."""


class Calls(NamedTuple):
    """What is known of the calls to one target, in order of their starts."""

    start_ms: Floats
    end_ms: Floats
    expected_ms: Floats
    """Up to a factor, the time alone that the tokens let expect."""
    counts: Bools
    """Which of them tell of the work of an answer."""


class Likely(NamedTuple):
    """Laws and how likely they are."""

    laws: Floats
    """[laws × 3]."""
    ln: Floats
    """ln of the likelihood × prior of each, up to a constant."""
    ln_work: Floats
    """Mean logarithm of the work, ms, that the calls took under each: a law that slows down earlier leaves less of their time to it."""

    @property
    def best(self) -> Law:
        """The most likely."""
        return Law(*self.laws[int(np.argmax(self.ln))].tolist())


class LawFit:
    """The likelihood of laws for the calls of one target."""

    def __init__(self, calls: Calls) -> None:
        self._occupancy = Occupancy(calls.start_ms, calls.end_ms)
        self._counts = np.flatnonzero(calls.counts)
        self._duration_ms = np.maximum((calls.end_ms - calls.start_ms)[self._counts], 1e-3)
        expected_ms = calls.expected_ms[self._counts]
        self._least_ms = _LEAST_WORK * expected_ms * float(np.quantile(self._duration_ms / expected_ms, _QUICK))
        self._ln_expected = np.log(expected_ms)
        self._at_end = self._occupancy.at_end[self._counts].astype(float)
        self.seen = self._occupancy.most

    def roughly(self) -> Law:
        """The best law of a coarse grid, on some of the calls."""
        return self._coarsely().best

    def fit(self) -> Likely:
        """The laws that are not out of the question, by likelihood and prior: a coarse grid on some of the calls, then finer ones where it is likely."""
        found = self._coarsely()
        for _ in range(_STAGES):
            bounds = self._over(_near(found.best.slots, self.seen), partial(_with_none, found.best))
            found = self._over(_thinned(bounds), partial(pairs, _roofs_of(found, self.seen)))
        return _kept(found, self.seen)

    def _coarsely(self) -> Likely:
        every = slice(None, None, max(1, len(self._counts) // _COARSE_CALLS))
        heights = roofs(1.0, highest_roof(self.seen), _COARSE_ROOFS)
        return self._over([c for c in _SLOTS if c < self.seen] + [math.inf], partial(pairs, heights), every)

    def work_ms(self, law: Law) -> Floats:
        """Work of every call that counts, ms alone, under a law; at least what its size makes possible."""
        work = self._spent(law.slots) @ self._speeds(law.slots, np.array([law.knee]), np.array([law.slope]))[:, 0]
        return np.maximum(work, self._least_ms)

    def _spent(self, slots: float) -> Floats:
        return self._occupancy.spent_ms(self._occupancy.begun(slots))[self._counts]

    def _speeds(self, slots: float, knees: Floats, slopes: Floats) -> Floats:
        busy = np.minimum(self._occupancy.levels, slots)[:, None]
        return 1.0 / (1.0 + slopes * np.maximum(0.0, busy - knees))

    def _over(self, bounds: Iterable[float], grid: Callable[[float], Pairs], some: slice = _ALL) -> Likely:
        return _merged([self._of(c, *grid(min(c, self.seen)), some) for c in bounds])

    def _of(self, slots: float, knees: Floats, slopes: Floats, some: slice) -> Likely:
        spent, least_ms, ln_expected = self._spent(slots)[some], self._least_ms[some], self._ln_expected[some]
        possible = spent.sum(axis=1) > least_ms
        work = np.log(spent[possible] @ self._speeds(slots, knees, slopes))
        at_end = np.log1p(slopes * np.maximum(0.0, np.minimum(self._at_end[some][possible], slots)[:, None] - knees))
        variance = np.maximum((work - ln_expected[possible, None]).var(axis=0), 1e-6) if possible.sum() > 1 else np.full(len(knees), 1e6)
        impossible = np.log(self._duration_ms[some][~possible]).sum() + _IMPOSSIBLE * (~possible).sum()
        ln = -0.5 * len(possible) * np.log(variance) - work.sum(axis=0) - at_end.sum(axis=0) - impossible
        return Likely(np.stack([np.full(len(knees), slots), knees, slopes], axis=1), ln, work.mean(axis=0) if len(work) else np.zeros(len(knees)))


def _with_none(law: Law, _most: float) -> Pairs:
    """No slope, and that of this law."""
    return np.array([1.0, law.knee]), np.array([0.0, law.slope])


def _roofs_of(likely: Likely, seen: float) -> Floats:
    """Roofs around those that are not out of the question; all where none is."""
    slopes = likely.laws[(likely.ln > likely.ln.max() - _ALIKE) & (likely.laws[:, 2] > 0), 2]
    low, high = (1.0 / slopes.max() / _MARGIN, 1.0 / slopes.min() * _MARGIN) if len(slopes) else (1.0, highest_roof(seen))
    return roofs(low, min(high, highest_roof(seen)), _FINE_ROOFS)


def _near(slots: float, seen: int) -> list[float]:
    """All bounds of the coarse grid, and those between the neighbours of this one."""
    known = [c for c in _SLOTS if c < seen]
    below = max((c for c in known if c < slots), default=1)
    above = min((c for c in known if c > slots), default=seen)
    return sorted({*map(float, known), *_spread(below, max(below, min(above, seen - 1))), math.inf})


def _thinned(bounds: Likely) -> list[float]:
    """Of the bounds that are not out of the question, at most eight: the best, none at all, and some between the others."""
    kept = np.unique(bounds.laws[bounds.ln > bounds.ln.max() - _ALIKE, 0])
    few = kept[np.unique(np.linspace(0, len(kept) - 1, _BOUNDS - 1).round().astype(int))]
    return sorted({*few.tolist(), bounds.best.slots})


def _spread(low: int, high: int) -> list[float]:
    return sorted({float(round(c)) for c in np.linspace(low, high, min(16, high - low + 1)).tolist()})


def _merged(parts: list[Likely]) -> Likely:
    return Likely(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _kept(likely: Likely, seen: float) -> Likely:
    _, index = np.unique(likely.laws, axis=0, return_index=True)
    kept = index[likely.ln[index] > likely.ln.max() - _ALIKE]
    laws, of = beyond(likely.laws[kept], seen)
    bounded = (laws[:, 0] < math.inf) | (laws[:, 2] > 0)
    laws, of = laws[bounded], kept[of[bounded]]
    return Likely(laws, _CAUTION * (likely.ln[of] - likely.ln.max()) + ln_prior(laws), likely.ln_work[of])
