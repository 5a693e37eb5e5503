"""Several policies on the same logged decisions, each by the snapshot that was read then: what each would have chosen, how surely, at which cost.

All draw with the same luck: where two policies give a target the same probability, they choose it together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from routecast.analytics.evaluation.logged import Flags, Floats, Ints, Logged
from routecast.analytics.evaluation.policies import TargetPolicy

SILENT = "a policy cannot say what it would have done, mostly because the snapshot is not in the file"
LOGGED = "logged"
"""Beside the names of policies: what was chosen in fact."""


class Side(NamedTuple):
    """One policy, a row for each decision."""

    chosen: Ints
    """Column of the target that it draws."""
    propensity: Floats
    """Of that draw."""
    logged_propensity: Floats
    """Of the target that was chosen in fact."""
    cost_s: Floats
    """What the snapshot expects the chosen target to cost, seconds."""
    expected_cost_s: Floats
    """The same over all its draws."""


class Sides(NamedTuple):
    """All of them, on the decisions on which all of them say something."""

    logged: Logged
    sides: Mapping[str, Side]
    shares: Mapping[str, Floats]
    """[targets] Mean probability of each, by policy."""

    def agreement(self, one: str, other: str) -> float:
        """Share of the decisions in which both chose the same target; NaN without decisions. `LOGGED` is a name here."""
        mine, theirs = (self.logged.chosen if name == LOGGED else self.sides[name].chosen for name in (one, other))
        return float((mine == theirs).mean()) if len(mine) else float("nan")


def side_by_side(logged: Logged, policies: Mapping[str, TargetPolicy], costs: TargetPolicy, rng: np.random.Generator) -> Sides:
    """Ask each policy; `costs` gives the expected cost of every candidate. Decisions on which one of them is silent are left out and counted."""
    chances = {name: policy(logged) for name, policy in policies.items()}
    cost_s = costs(logged)
    says: Flags = np.all([np.isfinite(matrix.sum(axis=1)) for matrix in (*chances.values(), cost_s)], axis=0)
    logged, cost_s = logged.without(~says, SILENT), cost_s[says]
    luck = rng.random(len(says))[says]
    sides = {name: _side(logged, matrix[says], cost_s, luck) for name, matrix in chances.items()}
    return Sides(logged, sides, {name: matrix[says].mean(axis=0) if len(logged) else matrix.sum(axis=0) for name, matrix in chances.items()})


def _side(logged: Logged, chances: Floats, cost_s: Floats, luck: Floats) -> Side:
    up_to = np.cumsum(chances, axis=1)
    chosen = np.argmax(up_to > (luck * up_to[:, -1])[:, None], axis=1)
    rows = np.arange(len(logged))
    return Side(chosen, chances[rows, chosen], logged.of_chosen(chances), cost_s[rows, chosen], np.einsum("ij,ij->i", chances, cost_s))
