"""Policies that read snapshots, as probabilities of each target: those in force at each decision, or one for all of them.

A decision whose snapshot is not among those given, or that was made before the first, is left out and counted.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from routecast.analytics.balance import least_of_draws
from routecast.analytics.evaluation.logged import Floats, Logged
from routecast.analytics.evaluation.policies import TargetPolicy
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
    fallback = bootstrap(targets)
    number = {target.id: i for i, target in enumerate(targets)}

    def chances(snapshot: RoutingSnapshot, candidates: Sequence[str]) -> dict[str, float]:
        chosen = [number[target] for target in candidates if target in number]
        if not chosen:
            return {}
        view = view_of(snapshot, targets, fallback)
        table = Candidates(view, routing, NONE, chosen, [_FITS] * len(targets), "", rng).table
        power = routing.factor_weights.current_load / LOAD_NORM
        costs = [cost * _load(view.entries[i], snapshot.period_ms, power) for cost, i in zip(table.costs, table.index, strict=True)]
        return {targets[i].id: least_of_draws(table, costs, position) for position, i in enumerate(table.index)}

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
