"""How many requests a target serves at once before they wait, fitted from latency against what was in flight.

For each candidate c the residual e = ln L − ln max(1, (n₀+1)/c) of every success is summed, where n₀ is the fleet's in-flight on
that target when the request started. The candidate of least residual variance is the fit; where "infinite" is as good, latency
does not depend on load (the target is elastic) and the fit follows what was seen in flight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CANDIDATES: Floats = np.array([1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 60, 75, 95, 120, 150, 200, 260, 340, 450, 600, math.inf], float)
ELASTIC = len(CANDIDATES) - 1
PRIOR = 4.0
_PRIOR_INDEX = int(np.flatnonzero(CANDIDATES == PRIOR)[0])
_TAU_S = 300.0
_MAX_TAU_S = 120.0
_LEAST_N = 8
_AS_GOOD = 1.003


_NONE: Floats = np.zeros(1)
"""Of every group."""


class LatencyGroups(NamedTuple):
    """Successes newly known, grouped by target and the half-second in which they started."""

    target: Ints
    n: Floats
    sum_ln: Floats
    """Σ ln L, L in seconds."""
    sum_ln2: Floats
    in_flight: Floats
    """What the fleet had in flight on the target at the start of the slot."""
    tokens_n: Floats = _NONE
    """Those whose output tokens are known."""
    sum_ln_tokens: Floats = _NONE
    """Σ ln(output tokens + `FIXED_TOKENS`) of those."""

    def of(self, some: NDArray[np.bool_]) -> LatencyGroups:
        """These groups alone."""
        return LatencyGroups(self.target[some], *(figures[some] for figures in self.figures()))

    def figures(self) -> list[Floats]:
        """All but the target, of every group."""
        return [np.broadcast_to(each, self.n.shape) for each in (self.n, self.sum_ln, self.sum_ln2, self.in_flight, self.tokens_n, self.sum_ln_tokens)]

    def residual_sums(self) -> Floats:
        """[groups × candidates] Σ e."""
        return self.sum_ln[:, None] - self.n[:, None] * self.load_terms()

    def load_terms(self) -> Floats:
        """[groups × candidates] ln max(1, (n₀+1)/c)."""
        return np.log(np.maximum(1.0, (self.in_flight[:, None] + 1.0) / CANDIDATES))


def joined(parts: Sequence[LatencyGroups]) -> LatencyGroups:
    """Several groups as one."""
    if not parts:
        return LatencyGroups(np.zeros(0, np.int64), *(np.zeros(0) for _ in LatencyGroups._fields[1:]))
    targets = np.concatenate([part.target for part in parts])
    return LatencyGroups(targets, *(np.concatenate([part.figures()[i] for part in parts]) for i in range(len(LatencyGroups._fields) - 1)))


class Fit(NamedTuple):
    """Per target."""

    capacity: Floats
    choice: Ints
    """Index of the candidate whose residuals speak for the target."""
    variance: Floats
    """Residual variance at the choice; 0 with too few data."""
    n: Floats


class CapacityFit:
    """Sums of `n` targets × 27 candidates, decayed over 300 s: 450 bytes a target."""

    STATE: ClassVar[tuple[str, ...]] = ("_n", "_e", "_e2", "_most")

    def __init__(self, n: int = 0) -> None:
        self._n: Floats = np.zeros(n)
        self._e: Floats = np.zeros((n, len(CANDIDATES)))
        self._e2: Floats = np.zeros((n, len(CANDIDATES)))
        self._most: Floats = np.zeros(n)

    def grow(self, n: int) -> None:
        """Make room for `n` targets."""
        more = n - len(self._n)
        self._n, self._most = np.pad(self._n, (0, more)), np.pad(self._most, (0, more))
        self._e, self._e2 = np.pad(self._e, ((0, more), (0, 0))), np.pad(self._e2, ((0, more), (0, 0)))

    def update(self, elapsed_s: float, groups: LatencyGroups) -> None:
        """Take what is new since `elapsed_s` ago."""
        decay = math.exp(-elapsed_s / _TAU_S)
        self._n *= decay
        self._e *= decay
        self._e2 *= decay
        self._most *= math.exp(-elapsed_s / _MAX_TAU_S)
        terms = groups.load_terms()
        np.add.at(self._n, groups.target, groups.n)
        np.add.at(self._e, groups.target, groups.residual_sums())
        np.add.at(self._e2, groups.target, groups.sum_ln2[:, None] - 2 * terms * groups.sum_ln[:, None] + groups.n[:, None] * terms**2)
        np.maximum.at(self._most, groups.target, groups.in_flight + 1.0)

    def fit(self, configured: Floats) -> Fit:
        """The fit of every target; `configured` caps it (inf where nothing is configured)."""
        n = np.maximum(self._n, 1e-9)[:, None]
        variance = np.maximum(0.0, self._e2 / n - (self._e / n) ** 2)
        choice = np.argmin(variance, axis=1).astype(np.int64)
        rows = np.arange(len(choice))
        elastic = variance[:, ELASTIC] <= _AS_GOOD * variance[rows, choice]
        choice[elastic] = ELASTIC
        few = self._n < _LEAST_N
        choice[few] = _PRIOR_INDEX
        capacity = np.where(choice == ELASTIC, np.maximum(3.0, 1.2 * self._most), CANDIDATES[choice])
        return Fit(np.minimum(capacity, configured), choice, np.where(few, 0.0, variance[rows, choice]), self._n.copy())
