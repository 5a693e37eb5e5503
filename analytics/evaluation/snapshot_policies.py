"""Policies that read snapshots, as probabilities of each target: those in force at each decision, or one for all of them.

A decision whose snapshot is not among those given, or that was made before the first, is left out and counted.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from routecast.analytics.balance import Table, least_of_draws
from routecast.analytics.evaluation.logged import Floats, Logged
from routecast.analytics.evaluation.policies import TargetPolicy
from routecast.analytics.evaluation.thompson import learned_chances
from routecast.analytics.routing.candidates import Candidates, Fitness, bootstrap, view_of, weighted_factors
from routecast.analytics.routing.contention import LOAD_NORM, load_term
from routecast.models.config import Routing, TargetConfig
from routecast.models.requirements import NONE
from routecast.models.snapshot import RoutingSnapshot, TargetScore

Snapshots = RoutingSnapshot | Mapping[tuple[int, int], RoutingSnapshot]
"""One for every decision, or those of a recording by (term, seq)."""
_Chances = Callable[[RoutingSnapshot, Sequence[str]], Mapping[str, float]]
"""Snapshot, ids of the candidates → probability of each; who is missing has none. Empty: cannot say."""
_FITS = Fitness(1.0, (), ())


def planned(snapshots: Snapshots) -> TargetPolicy:
    """In proportion to the planned shares: one draw, by nobody's load."""

    def chances(snapshot: RoutingSnapshot, candidates: Sequence[str]) -> dict[str, float]:
        return _normalised({t.id: t.share * t.ramp for t in snapshot.targets if t.id in candidates})

    return _by_snapshot(snapshots, chances)


def weighted(snapshots: Snapshots) -> TargetPolicy:
    """In proportion to published score × weight, less for a target that recovers."""

    def chances(snapshot: RoutingSnapshot, candidates: Sequence[str]) -> dict[str, float]:
        return _normalised({t.id: t.score * t.weight * t.ramp for t in snapshot.targets if t.id in candidates})

    return _by_snapshot(snapshots, chances)


def greedy(snapshots: Snapshots, routing: Routing) -> TargetPolicy:
    """The best weighted sum of the published factors; equals share. What requests required is not logged and counts as met."""

    def chances(snapshot: RoutingSnapshot, candidates: Sequence[str]) -> dict[str, float]:
        factors = {t.id: weighted_factors(t, 1.0, routing) for t in snapshot.targets if t.id in candidates}
        best = max(factors.values(), default=0.0)
        return _normalised({target: 1.0 for target, factor in factors.items() if factor == best})

    return _by_snapshot(snapshots, chances)


def performance(snapshots: Snapshots, targets: Sequence[TargetConfig], routing: Routing, rng: random.Random) -> TargetPolicy:
    """The cheapest of four draws, in closed form, by a router whose own requests in flight are as the snapshot expects.

    For another configuration pass snapshots that `reconfigured` made. `targets` are those of the service; `rng` breaks ties of cost.
    """
    return _by_costs(snapshots, Costs(targets, routing, rng), lambda table, costs: [least_of_draws(table, costs, i) for i in range(len(costs))])


def learned(snapshots: Snapshots, targets: Sequence[TargetConfig], routing: Routing, rng: random.Random) -> TargetPolicy:
    """The same on costs sampled from what each snapshot believes of them, over all samples. It has learned what the recorded fleet knew."""
    return _by_costs(snapshots, Costs(targets, routing, rng), learned_chances)


def expected_costs(snapshots: Snapshots, targets: Sequence[TargetConfig], routing: Routing) -> TargetPolicy:
    """No policy: [rows × targets] the cost in seconds that the snapshot in force expects of each candidate, load included."""
    of = Costs(targets, routing, random.Random(0))

    def costs(snapshot: RoutingSnapshot, candidates: Sequence[str]) -> dict[str, float]:
        found = of(snapshot, candidates)
        return {targets[i].id: cost for i, cost in zip(found[0].index, found[1], strict=True)} if found else {}

    return _by_snapshot(snapshots, costs)


class Costs:
    """What a router decides by that sees a snapshot alone: the table of its candidates, and their costs under the load that the snapshot expects."""

    def __init__(self, targets: Sequence[TargetConfig], routing: Routing, rng: random.Random) -> None:
        self._targets, self._routing, self._rng = targets, routing, rng
        self._fallback = bootstrap(targets)
        self._number = {target.id: i for i, target in enumerate(targets)}
        self._power = routing.factor_weights.current_load / LOAD_NORM

    @property
    def targets(self) -> Sequence[TargetConfig]:
        """By their numbers in tables."""
        return self._targets

    def __call__(self, snapshot: RoutingSnapshot, candidates: Sequence[str]) -> tuple[Table, list[float]] | None:
        """Table and costs, seconds; None where the configuration knows none of the candidates."""
        chosen = [self._number[target] for target in candidates if target in self._number]
        if not chosen:
            return None
        view = view_of(snapshot, self._targets, self._fallback)
        table = Candidates(view, self._routing, NONE, chosen, [_FITS] * len(self._targets), "", self._rng).table
        return table, [cost * _load(view.entries[i], snapshot.period_ms, self._power) for cost, i in zip(table.costs, table.index, strict=True)]


def _by_costs(snapshots: Snapshots, costs_of: Costs, law: Callable[[Table, list[float]], Sequence[float]]) -> TargetPolicy:
    def chances(snapshot: RoutingSnapshot, candidates: Sequence[str]) -> dict[str, float]:
        found = costs_of(snapshot, candidates)
        said = law(*found) if found else ()
        return {costs_of.targets[i].id: chance for i, chance in zip(found[0].index, said, strict=True)} if found and said else {}

    return _by_snapshot(snapshots, chances)


def _load(entry: TargetScore, period_ms: float, power: float) -> float:
    """Load term of a target in the middle of the period for which the snapshot holds."""
    left = math.exp(-period_ms / 2000.0 / entry.service_s)
    in_flight = entry.in_flight_mean + (entry.in_flight - entry.in_flight_mean) * left
    return math.pow(load_term((max(0.0, in_flight) + 1.0) / entry.capacity), power)


def _normalised(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {target: weight / total if total > 0 else 1.0 / len(weights) for target, weight in weights.items()}


def _by_snapshot(snapshots: Snapshots, chances: _Chances) -> TargetPolicy:
    def policy(logged: Logged) -> Floats:
        column = {target: i for i, target in enumerate(logged.targets)}
        # a router decides thousands of times from one snapshot: each pair of snapshot and candidates is worked out once
        versions = np.zeros_like(logged.versions) if isinstance(snapshots, RoutingSnapshot) else logged.versions
        cases, first, row = np.unique(np.hstack([versions, np.packbits(logged.allowed, axis=1)]), axis=0, return_index=True, return_inverse=True)
        table = np.full((len(cases), len(logged.targets)), np.nan)
        for case, example in enumerate(first.tolist()):
            term, seq = versions[example].tolist()
            snapshot = snapshots if isinstance(snapshots, RoutingSnapshot) else snapshots.get((term, seq))
            said = chances(snapshot, [target for target, i in column.items() if logged.allowed[example, i]]) if snapshot else {}
            if said:
                table[case] = 0.0
                table[case, [column[target] for target in said]] = list(said.values())
        return table[row.reshape(-1)]

    return policy
