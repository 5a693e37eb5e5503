"""The product's own rules in a simulation without its pipeline, on fresh counts.

`performance`: planned shares, the cheapest of four draws. `weighted`: one draw by score × weight; `configured`: by weight alone, which is also what
round robin comes to. `least_connections`: the fewest in flight per weight, of all routers together.

Shares come from `planned_shares` at the arrival rate of the last seconds, a target's load term from `load_term`, capacity and service time from
what `CapacityFit` would make of its law. What is left out is the age of snapshots, the routers' own corrections and exploration: measured, mean times
to success of the whole and of this rule differ by a few percent, capacities by less (`make study-capacity` plays the truth through whole routers).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate
from random import Random
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.balance import DRAWS
from routecast.analytics.capacity.service_law import Law, TargetFit
from routecast.analytics.fleet.capacity_fit import CANDIDATES
from routecast.analytics.fleet.cost import RETRY_S, Weights
from routecast.analytics.fleet.shares import planned_shares
from routecast.analytics.routing.contention import load_term
from routecast.analytics.score import performance_score
from routecast.analytics.simulation.virtual_target import VirtualTarget
from routecast.models.config import UNKNOWN_QUALITY, ScoreWeights

Floats = NDArray[np.float64]
Rule = Literal["performance", "weighted", "configured", "least_connections"]

_TICK_MS = 1000.0
_KEPT = 0.5
"""Weight of the last second in the arrival rate."""
_PER_E_FOLD = 8
"""Shares are planned anew when the rate has changed by a factor of e^(1/8)."""
_LEAST_SHARE = 0.02
_NO_WEIGHT = 1e-9
_BEYOND = 3.0
"""Up to this multiple of its bound, what routing learns of a target is fitted."""


class FreshPlan:
    """Chooses targets for one simulated run.

    Args:
        fits: what is known of the targets.
        targets: the simulated ones, in the same order.
        input_tokens: of the requests.
        output_tokens: the same.
        rate_per_s: expected, for the beginning.
        random: for the draws.
        rule: how to choose.
    """

    def __init__(
        self, fits: Sequence[TargetFit], targets: Sequence[VirtualTarget], input_tokens: Floats, output_tokens: Floats, rate_per_s: float, random: Random,
        rule: Rule = "performance",
    ) -> None:  # fmt: skip
        seen = [_as_routing_sees(fit.law) for fit in fits]
        self._capacity = np.array([capacity for capacity, _ in seen])
        self._service_s = np.array([fit.alone_ms(input_tokens, output_tokens) * factor / 1000.0 for fit, (_, factor) in zip(fits, seen, strict=True)])
        success = np.array([1.0 - min(0.99, fit.fail_ratio) for fit in fits])
        self._cost_s: Floats = self._service_s + (1.0 - success) / success * (np.array([fit.fail_ms for fit in fits]) / 1000.0 + RETRY_S)
        self._limits = np.array([fit.requests_per_s or math.inf for fit in fits])
        own = np.array([fit.weight for fit in fits])
        self._weights = own if rule == "configured" else _scores(self._service_s, success) * own
        self._draws = DRAWS if rule == "performance" else 1
        self._connections: Floats | None = own if rule == "least_connections" else None
        self._targets = targets
        self._draw = random.random
        self._in_flight = [0] * len(fits)
        self._costs: list[list[float]] = [[] for _ in fits]
        self._cost = [self._cost_of(i, 1) for i in range(len(fits))]
        self._tables: dict[int, list[float]] = {}
        self._rate_per_s, self._arrived, self._tick_ms = rate_per_s, 0, _TICK_MS
        self._cumulative = self._table(rate_per_s)

    def arrived(self, now_ms: float) -> None:
        """A request has come."""
        while now_ms >= self._tick_ms:
            self._rate_per_s = (1.0 - _KEPT) * self._rate_per_s + _KEPT * self._arrived * 1000.0 / _TICK_MS
            self._arrived, self._tick_ms = 0, self._tick_ms + _TICK_MS
            self._cumulative = self._table(self._rate_per_s)
        self._arrived += 1

    def choose(self, tried: Collection[int]) -> int:
        """A target that was not tried and does not refuse; −1 where there is none."""
        cumulative, cost, draw = self._cumulative, self._cost, self._draw
        best = bisect_right(cumulative, draw()) if self._connections is None else cost.index(min(cost))
        for _ in range(self._draws - 1):
            other = bisect_right(cumulative, draw())
            if cost[other] < cost[best]:
                best = other
        if best not in tried and self._has_room(best):
            return best
        left = [i for i in range(len(cost)) if i not in tried and self._has_room(i)]
        return min(left, key=cost.__getitem__) if left else -1

    def started(self, target: int) -> None:
        """One more in flight."""
        self._in_flight[target] += 1
        self._cost[target] = self._cost_of(target, self._in_flight[target] + 1)

    def finished(self, target: int) -> None:
        """One less."""
        self._in_flight[target] -= 1
        self._cost[target] = self._cost_of(target, self._in_flight[target] + 1)

    def _has_room(self, target: int) -> bool:
        limit = self._targets[target].limit
        return limit is None or limit.remaining > 0

    def _cost_of(self, target: int, n: int) -> float:
        if self._connections is not None:
            return n / max(_NO_WEIGHT, float(self._connections[target]))
        known = self._costs[target]
        while len(known) <= n:
            known.append(float(self._cost_s[target]) * load_term(len(known) / float(self._capacity[target])))
        return known[n]

    def _table(self, rate_per_s: float) -> list[float]:
        step = round(math.log(max(1e-3, rate_per_s)) * _PER_E_FOLD)
        if step not in self._tables:
            self._tables[step] = _cumulative(self._weights if self._draws == 1 else self._planned(math.exp(step / _PER_E_FOLD)))
        return self._tables[step]

    def _planned(self, rate_per_s: float) -> Floats:
        shares = planned_shares(rate_per_s, self._cost_s, self._service_s, self._capacity, self._limits)
        return np.maximum(shares, _LEAST_SHARE / len(shares))


def _cumulative(weights: Floats) -> list[float]:
    return list(accumulate((weights / weights.sum()).tolist()))[:-1]


def _scores(service_s: Floats, success: Floats) -> Floats:
    """Published scores at equal quality, with the usual weights."""
    weights = ScoreWeights()
    return performance_score(
        service_s, success, np.full(len(service_s), UNKNOWN_QUALITY), float(np.median(service_s)),
        Weights(weights.response_time, weights.reliability, weights.quality),
    )  # fmt: skip


def _as_routing_sees(law: Law) -> tuple[float, float]:
    """The capacity that explains times under this law best, as `CapacityFit` looks for it, and the factor on the time alone that goes with it."""
    n = np.arange(1.0, max(2.0, math.ceil(_BEYOND * min(law.most, law.slots))) + 1.0)
    busy = np.minimum(n, law.slots)
    ln_time = np.log(1.0 + law.slope * np.maximum(0.0, busy - law.knee)) + np.log(np.maximum(1.0, n / law.slots))
    candidates = np.unique(np.append(CANDIDATES[:-1], [min(law.slots, 1e6), min(law.knee, 1e6)]))
    residual = ln_time[:, None] - np.log(np.maximum(1.0, n[:, None] / candidates))
    best = int(np.argmin(residual.var(axis=0)))
    return float(candidates[best]), float(math.exp(residual[:, best].mean()))
