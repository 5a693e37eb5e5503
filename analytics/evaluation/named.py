"""Policies of the product by their names, as far as their choices follow from a log and its snapshots."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from routecast.analytics.evaluation.policies import TargetPolicy, static, uniform
from routecast.analytics.evaluation.snapshot_policies import Snapshots, greedy, learned, performance, weighted
from routecast.models.config import Routing, TargetConfig

NOT_LOGGED: Final = "it goes by what is not logged, such as each router's requests in flight: only the simulation can tell"
"""Why a policy has no probabilities."""


def policy_named(name: str, snapshots: Snapshots, targets: Sequence[TargetConfig], routing: Routing) -> TargetPolicy | None:
    """The choices of this policy as probabilities; None where they do not follow from what is logged, or there is no such policy.

    `auto` stands for `performance`, with which it begins; `round_robin` for its turns on average.
    """
    rng = random.Random(0)
    made: Mapping[str, Callable[[], TargetPolicy]] = {
        "performance": lambda: performance(snapshots, targets, routing, rng),
        "auto": lambda: performance(snapshots, targets, routing, rng),
        "learned": lambda: learned(snapshots, targets, routing, rng),
        "weighted": lambda: weighted(snapshots),
        "greedy": lambda: greedy(snapshots, routing),
        "round_robin": lambda: _by_weight({target.id: target.weight for target in targets}),
        "configured": lambda: _by_weight({target.id: target.weight for target in targets}),
        "random": lambda: uniform,
    }
    return made[name]() if name in made else None


def _by_weight(weights: Mapping[str, float]) -> TargetPolicy:
    """By the configured weights, of the targets that the log allowed anywhere: others were out all the time."""
    return lambda logged: static({target: weights.get(target, 0.0) for target in logged.targets})(logged)
