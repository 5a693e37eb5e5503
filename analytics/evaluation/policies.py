"""Policies that need nothing but the candidates of a request, as probabilities of each target.

What goes by the router's own requests in flight (`least_connections`, `peak_ewma`, the load term of `performance`) does not follow from a log:
what was in flight is not logged, and under another policy it would have been something else. Such policies are played by simulation;
`snapshot_policies` has `performance` as a router would follow it that sees the snapshot alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from routecast.analytics.evaluation.logged import Flags, Floats, Logged
from routecast.models.errors import ConfigError

TargetPolicy = Callable[[Logged], Floats]
"""Logged decisions → [rows × targets] probability of each target, 0 where it was not allowed; a row of NaN where the policy cannot say."""


def uniform(logged: Logged) -> Floats:
    """Every candidate alike; the policy `random`."""
    return in_proportion(np.ones(len(logged.targets)), logged.allowed)


def static(weights: Mapping[str, float]) -> TargetPolicy:
    """In proportion to fixed weights ≥ 0 of the targets; who is not named has none. The policy `configured`.

    It is also what smooth weighted round robin does on average: with a random phase, its turns have these probabilities.
    Raises ConfigError where a weight is negative or not finite, and, when used, where it names a target that the log does not know.
    """
    if not all(0 <= weight < np.inf for weight in weights.values()):
        raise ConfigError(f"weights {dict(weights)!r}: each must be a number from 0 on")

    def policy(logged: Logged) -> Floats:
        unknown = sorted(weights.keys() - set(logged.targets))
        if unknown:
            raise ConfigError(f"weights of {unknown!r}: the log knows the targets {list(logged.targets)!r}")
        return in_proportion(np.array([weights.get(target, 0.0) for target in logged.targets]), logged.allowed)

    return policy


def in_proportion(weights: Floats, allowed: Flags) -> Floats:
    """[rows × targets] Weights ([targets] or [rows × targets], ≥ 0) among the candidates of each row; all alike where none has any."""
    among = weights * allowed
    total = among.sum(axis=1, keepdims=True)
    return np.where(total > 0, among / np.where(total > 0, total, 1.0), allowed / np.maximum(1, allowed.sum(axis=1, keepdims=True)))
