"""Policies: how one target is drawn from the candidates. A policy is weights × cost × pick rule, a few lines each.

Every policy returns the position it picked and its *propensity*, the exact probability of that pick given the candidates and the
costs at that moment; policies that do not draw return 1. `rng` is a parameter, so tests are deterministic.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, compress, repeat
from math import exp
from operator import itemgetter, le, mul
from struct import Struct

EXPLORE = 0.01
"""Share of the draws that are uniform over the candidates, so that logs stay usable for off-policy evaluation."""
DRAWS = 4
_PEAK_TAU_S = 10.0


class Table:
    """Candidates of one class of requests under one snapshot, in an order that was shuffled for this snapshot.

    All lists are in that order; `index` leads back to the router's own numbering. Position breaks ties of cost.
    """

    __slots__ = ("costs", "cumulative", "explore", "factors", "in_order", "index", "pack", "scores", "spreads", "weights")

    def __init__(
        self, index: Sequence[int], costs: Sequence[float], shares: Sequence[float], scores: Sequence[float], factors: Sequence[float], *, explore: bool,
        spreads: Sequence[float] = (),
    ) -> None:  # fmt: skip
        self.index = list(index)
        self.in_order: Callable[[Sequence[float]], tuple[float, ...]] = _picker(self.index)
        """Values in the router's own numbering → those of the candidates, in their order."""
        self.costs = list(costs)
        """Expected cost of each candidate in seconds before its load term."""
        self.pack = Struct(f"{len(self.costs)}d").pack
        """A value for each candidate → bytes, for decisions."""
        total = sum(shares)
        self.weights = [share / total for share in shares] if total > 0 else [1.0 / len(index)] * len(index)
        self.cumulative = [*accumulate(self.weights)][:-1]
        self.scores = list(scores)
        """Configured weight of each candidate × its score, for `weighted`."""
        self.factors = list(factors)
        """Weighted sum of the four factors, for `greedy`."""
        self.spreads = list(spreads)
        """How sure the costs are: standard deviation of what is believed of ln cost, for `learned`; empty: certain."""
        self.explore = explore


class Own:
    """What the router itself knows of every target, in its own numbering."""

    __slots__ = ("in_flight", "latency_ms", "terms", "weight", "wheel")

    def __init__(self, in_flight: list[int], terms: list[float], weight: list[float]) -> None:
        self.in_flight = in_flight
        self.terms = terms
        """Load factor on the cost of each target."""
        self.weight = weight
        """Configured weights, > 0 where a target may be used at all."""
        self.wheel = [0.0] * len(in_flight)
        """State of the smooth weighted round robin."""
        self.latency_ms = [0.0] * len(in_flight)
        """Own peak-EWMA latency; 0 = never measured."""


Pick = tuple[int, float]
"""Position in the table and propensity."""

Policy = Callable[[Table, Own, list[float], random.Random], Pick]
"""(candidates, own knowledge, costs now, random numbers) → pick. The costs are of this decision alone: they are left as the policy saw them."""


def costs_now(table: Table, own: Own) -> list[float]:
    """Expected cost in seconds of each candidate with its present load."""
    return list(map(mul, table.costs, table.in_order(own.terms)))


def _picker(index: Sequence[int]) -> Callable[[Sequence[float]], tuple[float, ...]]:
    if len(index) == 1:
        only = index[0]
        return lambda values: (values[only],)
    return itemgetter(*index)


def performance(table: Table, _own: Own, costs: Sequence[float], rng: random.Random) -> Pick:
    """The cheapest of four draws from the planned shares; 1 % of the time a uniform draw."""
    n = len(costs)
    if n == 1:
        return 0, 1.0
    draw = rng.random
    if table.explore and draw() < EXPLORE:
        best = int(draw() * n)
    else:
        cumulative = table.cumulative
        best = bisect_right(cumulative, draw())
        for _ in range(DRAWS - 1):
            other = bisect_right(cumulative, draw())
            if costs[other] < costs[best] or (costs[other] == costs[best] and other < best):
                best = other
    return best, least_of_draws(table, costs, best)


def least_of_draws(table: Table, costs: Sequence[float], chosen: int) -> float:
    """Probability with which `performance` picks `chosen`: 0.99·(Q⁴ − (Q − w)⁴) + 0.01/n, Q = weight of all that are not better."""
    weights, cost = table.weights, costs[chosen]
    if len(costs) == 1:
        return 1.0
    q = sum(compress(weights, map(le, repeat(cost), costs)))
    equal = costs.index(cost)
    while equal < chosen:
        q -= weights[equal]
        equal = costs.index(cost, equal + 1)
    worse = q - weights[chosen]
    drawn = min(1.0, q**DRAWS - worse**DRAWS if worse > 0 else q**DRAWS)  # q may exceed 1 by rounding
    return (1.0 - EXPLORE) * drawn + EXPLORE / len(costs) if table.explore else drawn


def learned(table: Table, own: Own, costs: list[float], rng: random.Random) -> Pick:
    """`performance` on costs sampled from what is believed of each (Thompson 1933): what is little known is tried more often.

    The samples replace `costs`. Given them the propensity is exact, which is what inverse weighting needs; over all samples nobody is drawn
    with less than 1 %/n. Urgent requests are no experiments: for them the costs stay.
    """
    if table.explore and table.spreads:
        noise = rng.gauss
        costs[:] = [cost * exp(spread * noise(0.0, 1.0)) for cost, spread in zip(costs, table.spreads, strict=True)]
    return performance(table, own, costs, rng)


def weighted(table: Table, _own: Own, _costs: Sequence[float], rng: random.Random) -> Pick:
    """A draw in proportion to score × configured weight."""
    return _draw(table.scores, rng)


def configured(table: Table, own: Own, _costs: Sequence[float], rng: random.Random) -> Pick:
    """A draw in proportion to the configured weights alone: what is left with adaptation switched off."""
    return _draw([own.weight[i] for i in table.index], rng)


def uniform(table: Table, _own: Own, _costs: Sequence[float], rng: random.Random) -> Pick:
    """Any candidate, all equally likely."""
    n = len(table.index)
    return int(rng.random() * n), 1.0 / n


def least_connections(table: Table, own: Own, _costs: Sequence[float], _rng: random.Random) -> Pick:
    """The candidate with the fewest of this router's requests open, per weight."""
    loads = [own.in_flight[i] / own.weight[i] for i in table.index]
    return loads.index(min(loads)), 1.0


def round_robin(table: Table, own: Own, _costs: Sequence[float], _rng: random.Random) -> Pick:
    """Smooth weighted round robin over the candidates."""
    wheel = own.wheel
    for i in table.index:
        wheel[i] += own.weight[i]
    turns = [wheel[i] for i in table.index]
    best = turns.index(max(turns))
    wheel[table.index[best]] -= sum([own.weight[i] for i in table.index])
    return best, 1.0


def greedy(table: Table, _own: Own, _costs: Sequence[float], _rng: random.Random) -> Pick:
    """The best weighted sum of the published factors: what a fleet must not do, kept for comparison."""
    return table.factors.index(max(table.factors)), 1.0


def peak_ewma(table: Table, own: Own, _costs: Sequence[float], rng: random.Random) -> Pick:
    """The better of two distinct candidates by own peak-EWMA latency × (own in-flight + 1): for when snapshots stay away."""
    n = len(table.index)
    if n == 1:
        return 0, 1.0
    measured = [latency for latency in own.latency_ms if latency > 0]
    usual = sum(measured) / len(measured) if measured else 1.0
    costs = [(own.latency_ms[i] or usual) * (own.in_flight[i] + 1) for i in table.index]
    first = int(rng.random() * n)
    second = (first + 1 + int(rng.random() * (n - 1))) % n
    best = min(first, second, key=lambda position: (costs[position], position))
    worse = sum(costs[i] > costs[best] or (costs[i] == costs[best] and i > best) for i in range(n))
    return best, 2.0 * worse / (n * (n - 1))


def _draw(weights: Sequence[float], rng: random.Random) -> Pick:
    total = sum(weights)
    if total <= 0:
        return int(rng.random() * len(weights)), 1.0 / len(weights)
    cumulative = [*accumulate(weights)]
    best = min(bisect_right(cumulative, rng.random() * total), len(weights) - 1)
    return best, in_proportion(weights, best)


def in_proportion(weights: Sequence[float], chosen: int) -> float:
    """Probability of `chosen` in a draw in proportion to these weights; where all are 0, all are equally likely."""
    total = sum(weights)
    return weights[chosen] / total if total > 0 else 1.0 / len(weights)


POLICIES: Mapping[str, Policy] = {
    "performance": performance,
    "auto": performance,
    "learned": learned,
    "weighted": weighted,
    "least_connections": least_connections,
    "round_robin": round_robin,
    "greedy": greedy,
    "random": uniform,
    "configured": configured,
    "peak_ewma": peak_ewma,
}
"""By the name used in the configuration and in logs. `auto` is `performance` where no snapshot says what evidence chose."""


def update_peak_ewma(latency_ms: float, observed_ms: float, since_s: float) -> float:
    """Peak-EWMA: jumps up at once, fades with 10 s (Finagle's peak EWMA load metric)."""
    if observed_ms > latency_ms:
        return observed_ms
    keep = exp(-max(0.0, since_s) / _PEAK_TAU_S)  # a clock may be set back
    return latency_ms * keep + observed_ms * (1.0 - keep)
