"""How busy every target is as one router sees it: the snapshot's in-flight, aged, corrected by what this router did since.

n̂ = n* + (n − n*)·δ + 0.6·R·(own − [a·n* + (own at publish − a·n*)·δ]), δ = exp(−age/S), a = the router's share of the traffic,
R = min(64, 1/a): what a router sees of its own traffic stands for that of the others. Utilisation u = max(1, n̂+1)/ĉ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

REFRESH_MS = 250.0
"""Constants that depend on the age of the snapshot are renewed this often."""
_OWN_WEIGHT = 0.6
_MOST_REPLICAS = 64.0
_WIDEN_PERIODS = 2.0
_ALONE_PERIODS = 10.0
_RATE_TAU_S = 10.0
FLOOR = 0.5
"""Below this utilisation a target is not cheaper for being emptier."""
_DELAY_FROM = 0.8
_DELAY_SLOPE = 5.0
_MOST_LN = 600.0
"""Largest logarithm of a load term: a cost times it is still a number."""
LOAD_NORM = 0.25
"""Weight of the factor current_load at which the load term acts as it is."""


class OwnRate:
    """First attempts per second of this router, an unbiased exponential average over 10 s."""

    def __init__(self) -> None:
        self._count = self._seconds = 0.0
        self.pending = 0

    def refresh(self, elapsed_s: float) -> None:
        """Fold in the requests of the last `elapsed_s`."""
        decay = math.exp(-elapsed_s / _RATE_TAU_S)
        self._count = self._count * decay + self.pending
        self._seconds = self._seconds * decay + elapsed_s
        self.pending = 0

    def share(self, rate_per_s: float, routers: int) -> float:
        """This router's share of a service that gets `rate_per_s`, in (0, 1]; before any arrival, or at a rate of 0, one of `routers` equals."""
        if self._count <= 0 or rate_per_s <= 0:
            return 1.0 / max(1, routers)
        return min(1.0, max(self._count / self._seconds / rate_per_s, 1e-6))


class Target(NamedTuple):
    """What of the snapshot bears on load."""

    in_flight: float
    in_flight_mean: float
    capacity: float
    service_s: float


def load_term(u: float) -> float:
    """Factor on the cost of a target at utilisation u ≥ 0: max(0.5, u)·(1 + 5·max(0, u − 0.8))."""
    term = max(FLOOR, u)
    return term * (1.0 + _DELAY_SLOPE * (u - _DELAY_FROM)) if u > _DELAY_FROM else term


def utilisation_behind(term: float) -> float:
    """The utilisation that has this load term; below one half it is not known and one half is returned."""
    if term <= _DELAY_FROM:
        return term
    linear = 1.0 - _DELAY_SLOPE * _DELAY_FROM
    return (-linear + math.sqrt(linear**2 + 4.0 * _DELAY_SLOPE * term)) / (2.0 * _DELAY_SLOPE)


class Contention:
    """Own in-flight and the load term of every target of one service, kept up to date at each start and end."""

    def __init__(self, n: int, power: float) -> None:
        self.own = [0] * n
        self.terms = [1.0] * n
        """Factor on a target's cost, ≥ 0.5: max(0.5, u)·(1 + 5·max(0, u − 0.8)), to the configured power."""
        self._power = power
        self._targets: list[Target] = []
        self._base = [0.0] * n
        self._per_own = [0.0] * n
        self._least = [0.0] * n
        self.at_publish = [0] * n
        """Own in-flight when the snapshot was made."""
        self.share = 1.0
        """This router's share of the traffic, in (0, 1]."""
        self._at_ms = 0.0
        self._period_ms = math.inf

    def take(self, at_ms: float, period_ms: float, targets: Sequence[Target], own_at_publish: Sequence[int]) -> None:
        """Use what was published at `at_ms` and will be again after `period_ms` (inf: never); sequences are in the router's order."""
        self._at_ms, self._period_ms = at_ms, period_ms
        self._targets = list(targets)
        self._least = [1.0 / target.capacity for target in targets]
        self.at_publish = list(own_at_publish)

    def refresh(self, now_ms: float, share: float) -> None:
        """Renew what depends on the age of the snapshot and on the router's share of the traffic."""
        self.share = share
        age_ms = max(0.0, now_ms - self._at_ms)
        fresh = age_ms <= _WIDEN_PERIODS * self._period_ms
        replicas = _OWN_WEIGHT * min(_MOST_REPLICAS, 1.0 / share)
        base, per_own, at_publish = self._base, self._per_own, self.at_publish
        for i, (in_flight, mean, capacity, service_s) in enumerate(self._targets):
            delta = math.exp(-age_ms / 1000 / service_s) if fresh else 0.0
            expected_own = share * mean + (at_publish[i] - share * mean) * delta
            base[i] = (mean + (in_flight - mean) * delta - replicas * expected_own + 1.0) / capacity
            per_own[i] = replicas / capacity
            self._update(i)

    def started(self, i: int) -> None:
        """One more of this router's requests is open at target `i`."""
        self.own[i] += 1
        self._update(i)

    def finished(self, i: int) -> None:
        """One of this router's requests at target `i` ended."""
        self.own[i] -= 1
        self._update(i)

    def utilisation(self, i: int) -> float:
        """Estimated u of target `i`; may exceed 1."""
        u = self._base[i] + self._per_own[i] * self.own[i]
        least = self._least[i]
        return max(least, u)

    def _update(self, i: int) -> None:
        term = load_term(self.utilisation(i))
        self.terms[i] = term if self._power == 1.0 else math.exp(min(_MOST_LN, self._power * math.log(term)))

    def alone(self, now_ms: float) -> bool:
        """Whether the snapshot is so old (10 periods) that only the router's own measurements count."""
        return now_ms - self._at_ms > _ALONE_PERIODS * self._period_ms
