"""What follows from one snapshot and from what the router itself knows right now: the candidates of every class of requests."""

from __future__ import annotations

import random
from collections.abc import Collection

from routecast.analytics.balance import POLICIES, Own, Policy, costs_now
from routecast.analytics.routing.candidates import Candidates, View, candidates
from routecast.models.config import Routing
from routecast.models.errors import ConfigError
from routecast.models.requirements import NONE, Requirements

_CLASSES = 512
"""Classes of requirements whose candidates are kept."""
_PREFERRED_FACTOR = 1.5
_READ_SNAPSHOT = frozenset({"performance", "learned", "weighted", "greedy"})
"""Policies that make nothing of an old snapshot."""


class Present:
    """Exchanged as a whole while other threads decide."""

    __slots__ = ("_rng", "_routing", "classes", "plain", "version", "view")

    def __init__(self, view: View, routing: Routing, rng: random.Random) -> None:
        self.view = view
        self._routing = routing
        self._rng = rng
        self.version = view.snapshot.version if view.snapshot else (0, 0)
        """(term, seq) of the snapshot; (0, 0): the configuration alone."""
        self.plain = candidates(view, routing, NONE, (), rng)
        """For requests that ask for nothing."""
        self.classes: dict[object, Candidates] = {}

    def candidates(self, requirements: Requirements, tried: Collection[str]) -> Candidates:
        """For a class of requests that has failed at the targets in `tried`. Raises NoTarget."""
        key: object = (requirements.key, frozenset(tried)) if tried else requirements.key
        classes = self.classes
        found = classes.get(key)
        if found is None:
            found = candidates(self.view, self._routing, requirements, tried, self._rng)
            if len(classes) >= _CLASSES:
                classes.clear()
            classes[key] = found
        return found


def prefer(everyone: Candidates, preferred: Candidates, costs: list[float], own: Own) -> tuple[Candidates, list[float]]:
    """The preferred candidates while their best costs at most 1.5 times the best of the rest, else everyone; with their costs now."""
    liked = costs_now(preferred.table, own)
    among = set(preferred.table.index)
    others = [cost for cost, i in zip(costs, everyone.table.index, strict=True) if i not in among]
    return (preferred, liked) if min(liked) <= _PREFERRED_FACTOR * min(others) else (everyone, costs)


class Policies:
    """The policy of one router: what its program gave it, else what operators say, else what is configured.

    Raises ConfigError when the policy does not exist.
    """

    def __init__(self, given: str | None, configured: str, *, adaptive: bool) -> None:
        self._adaptive = adaptive
        self._fixed = given is not None
        self._own = policy_named(given or configured, adaptive=adaptive)

    @property
    def open(self) -> bool:
        """Whether operators and experiments have a say: the program gave none."""
        return not self._fixed

    def named(self, name: str) -> tuple[str, Policy]:
        """The policy of this name, and its own name."""
        return policy_named(name, adaptive=self._adaptive)

    def in_force(self, told: str, *, alone: bool) -> tuple[str, Policy, bool]:
        """Name, policy, and whether the router's own measurements must do because the snapshot is too old for the policy that is followed.

        `told` is the operators' word, empty for none; a name that only a newer version knows is none.
        """
        name, policy = policy_named(told, adaptive=self._adaptive) if told in POLICIES and not self._fixed else self._own
        return ("peak_ewma", POLICIES["peak_ewma"], True) if alone and name in _READ_SNAPSHOT else (name, policy, False)


def policy_named(name: str, *, adaptive: bool) -> tuple[str, Policy]:
    """The policy that a configured name stands for, and its own name. Raises ConfigError for a name that does not exist."""
    known = POLICIES.get(name)
    if known is None:
        raise ConfigError(f"policy {name!r} does not exist: choose one of {sorted(POLICIES)}")
    if not adaptive and name in {"performance", "auto"}:
        return "configured", POLICIES["configured"]
    return "performance" if name == "auto" else name, known
