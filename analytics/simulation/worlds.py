"""The standard worlds: targets, arrivals and troubles under which routing policies are compared.

A world is drawn once from a seed, the demand of every request included, so that all policies meet the same requests (common random
numbers). Twenty targets, sixteen routers and 400 s, of which the first 60 s are warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from routecast.analytics.simulation.arrivals import SERVICE_SIGMA, Floats, Ints, Requests, Traffic, lognormal_demand, poisson, superposed
from routecast.analytics.simulation.virtual_target import WELL, Condition

Kind = Literal["queueing", "elastic", "sharing"]
WorldName = Literal[
    "fifo", "elastic", "half", "mixed", "ps", "azure", "mooncake", "uneven", "join",
    "slow", "fastfail", "hang", "slowrec", "partial", "drift", "surge",
]  # fmt: skip
WORLD_NAMES: tuple[WorldName, ...] = get_args(WorldName)

TARGETS = 20
ROUTERS = 16
DURATION_S = 400.0
TROUBLE_S = 150.0
"""When troubles and the surge begin."""
SURGE_LASTS_S = 60.0
JOIN_S = 200.0
"""When late routers get their first request."""
MEAN_TO_MEDIAN = math.exp(SERVICE_SIGMA**2 / 2)
"""Mean ÷ median service time of a target."""


@dataclass(frozen=True)
class TargetSpec:
    """One target as it is when nothing is the matter."""

    kind: Kind
    slots: int
    """Calls it serves at full speed at once; of an elastic target, what its nominal capacity is reckoned from."""
    median_s: float
    """Median service time of a request that meets no queue."""
    requests_per_s: float | None = None
    """Rate limit; None = none."""

    @property
    def mean_s(self) -> float:
        """Mean service time of a request that meets no queue."""
        return self.median_s * MEAN_TO_MEDIAN

    @property
    def nominal_per_s(self) -> float:
        """Requests per second that keep all slots busy."""
        return self.slots / self.mean_s


@dataclass(frozen=True)
class Change:
    """From `at_ms` on, `target` is in `condition`."""

    at_ms: float
    target: int
    condition: Condition


@dataclass(frozen=True)
class Trouble:
    """Where and when most is wrong: attempts that begin there and then count as attempts into the bad target."""

    target: int
    from_ms: float
    until_ms: float


@dataclass(frozen=True, eq=False)
class World:
    """Everything about a run that does not depend on the policy."""

    name: str
    load: float
    """Offered work ÷ nominal capacity of all targets."""
    targets: tuple[TargetSpec, ...]
    requests: Requests
    changes: tuple[Change, ...] = ()
    """In order of time."""
    trouble: Trouble | None = None
    routers: int = ROUTERS
    warmup_ms: float = 60_000.0
    deadline_ms: float = math.inf
    """How long a caller waits for one attempt."""

    def until(self, end_s: float) -> World:
        """The same world with the requests that arrive before `end_s` alone."""
        n = int(np.searchsorted(self.requests.at_ms, end_s * 1000.0))
        return replace(self, requests=Requests(self.requests.at_ms[:n], self.requests.router[:n], self.requests.demand[:n]))


@dataclass(frozen=True)
class _Recipe:
    """What makes a world different from `fifo`."""

    load: float = 0.7
    kinds: tuple[Kind, ...] = ("queueing",)
    """Kinds of the targets, in turn."""
    limited: bool = False
    """Elastic targets refuse what exceeds their nominal capacity."""
    compression: float = 0.0
    """Arrivals are recorded ones, so much faster; 0 = they are Poisson."""
    surge_load: float = 0.0
    """What the surge adds to the load."""
    first_router: float = 1.0 / ROUTERS
    """Share of the requests that arrive at router 0."""
    early_routers: int = ROUTERS
    """Routers that are there from the beginning."""
    trouble: tuple[tuple[float, Condition], ...] = ()
    """Conditions of the busiest target, each with the seconds after `TROUBLE_S` at which it begins; the first one is the bad one."""
    deadline_ms: float = math.inf
    wander_sigma: float = 0.0
    """Standard deviation of the wandering ln(slowdown) of every target."""


_EASING = tuple((60.0 + second, Condition(slowdown=3.0 - 0.02 * second)) for second in range(100))
_RECIPES: dict[WorldName, _Recipe] = {
    "fifo": _Recipe(),
    "elastic": _Recipe(kinds=("elastic",)),
    "half": _Recipe(kinds=("queueing", "elastic")),
    "mixed": _Recipe(kinds=("queueing", "elastic"), limited=True),
    "ps": _Recipe(load=0.9, kinds=("sharing",)),
    "azure": _Recipe(compression=10.0),
    "mooncake": _Recipe(compression=16.0),
    "uneven": _Recipe(first_router=0.6),
    "join": _Recipe(early_routers=ROUTERS // 2),
    "slow": _Recipe(trouble=((0.0, Condition(slowdown=5.0)), (100.0, WELL))),
    "fastfail": _Recipe(trouble=((0.0, Condition(fail_ratio=1.0)), (100.0, WELL))),
    "hang": _Recipe(trouble=((0.0, Condition(hangs=True)), (60.0, WELL)), deadline_ms=30_000.0),
    "slowrec": _Recipe(trouble=((0.0, Condition(fail_ratio=1.0)), *_EASING, (160.0, WELL))),
    "partial": _Recipe(trouble=((0.0, Condition(fail_ratio=0.3)), (100.0, WELL))),
    "drift": _Recipe(wander_sigma=0.4),
    "surge": _Recipe(load=0.55, surge_load=0.4),
}


def build(name: WorldName, *, seed: int, load: float | None = None, traffic: Traffic | None = None) -> World:
    """Draw a standard world.

    `load` is 0.7 by default, 0.9 for `ps`, and for `surge` the 0.55 before and after the surge. `azure` and `mooncake` need the recorded
    `traffic`, which they compress; the others ignore it. Equal arguments give equal worlds. Raises ValueError without needed traffic.
    """
    recipe = _RECIPES[name]
    load = recipe.load if load is None else load
    of_targets, of_arrivals, of_routers, of_troubles = (np.random.default_rng([seed, stream]) for stream in range(4))
    targets = _targets(recipe, of_targets)
    capacity_per_s = sum(target.nominal_per_s for target in targets)
    if not recipe.compression:
        at_ms = poisson(of_arrivals, _pieces(recipe, load, capacity_per_s))
        demand = lognormal_demand(of_arrivals, len(at_ms))
    elif traffic is None:
        raise ValueError(f"world {name!r} needs recorded arrivals: pass traffic=Traffic(offsets_s, output_tokens)")
    else:
        compressed = replace(traffic, compression=recipe.compression)
        at_ms, demand = superposed(of_arrivals, compressed, load * capacity_per_s, DURATION_S)
    changes = tuple(_wander(of_troubles, recipe.wander_sigma)) if recipe.wander_sigma else _changes(recipe, busiest(targets))
    trouble = Trouble(changes[0].target, changes[0].at_ms, changes[1].at_ms) if recipe.trouble else None
    requests = Requests(at_ms, _routers(recipe, of_routers, at_ms), demand)
    return World(name, load, targets, requests, changes, trouble, deadline_ms=recipe.deadline_ms)


def busiest(targets: Sequence[TargetSpec]) -> int:
    """Index of the target that attracts most: largest slots ÷ median^1.5."""
    return max(range(len(targets)), key=lambda i: targets[i].slots / targets[i].median_s ** 1.5)


def _targets(recipe: _Recipe, rng: np.random.Generator) -> tuple[TargetSpec, ...]:
    medians_s = 0.6 * np.exp(rng.normal(0.55, 0.45, TARGETS))
    slots = np.maximum(3, np.round(np.exp(rng.normal(2.4, 0.7, TARGETS)))).astype(int)
    kinds = recipe.kinds
    targets = [TargetSpec(kinds[i % len(kinds)], int(slots[i]), float(medians_s[i])) for i in range(TARGETS)]
    if recipe.limited:
        targets = [replace(t, requests_per_s=t.nominal_per_s) if t.kind == "elastic" else t for t in targets]
    return tuple(targets)


def _pieces(recipe: _Recipe, load: float, capacity_per_s: float) -> list[tuple[float, float, float]]:
    end_s, usual_per_s, high_per_s = TROUBLE_S + SURGE_LASTS_S, load * capacity_per_s, (load + recipe.surge_load) * capacity_per_s
    return [(0.0, TROUBLE_S, usual_per_s), (TROUBLE_S, end_s, high_per_s), (end_s, DURATION_S, usual_per_s)]


def _routers(recipe: _Recipe, rng: np.random.Generator, at_ms: Floats) -> Ints:
    n = len(at_ms)
    present = np.where(at_ms < JOIN_S * 1000.0, recipe.early_routers, ROUTERS)
    others = rng.integers(1, present)
    alone = np.where(present == ROUTERS, recipe.first_router, 1.0 / present)
    return np.where(rng.random(n) < alone, 0, others)


def _changes(recipe: _Recipe, target: int) -> tuple[Change, ...]:
    return tuple(Change((TROUBLE_S + after_s) * 1000.0, target, condition) for after_s, condition in recipe.trouble)


def _wander(rng: np.random.Generator, sigma: float) -> Iterator[Change]:
    """ln(slowdown) of every target as an AR(1) in steps of 1 s that is correlated over 40 s."""
    kept = math.exp(-1.0 / 40.0)
    ln_slowdown = rng.normal(0.0, sigma, TARGETS)
    for second in range(int(DURATION_S)):
        for target in range(TARGETS):
            yield Change(second * 1000.0, target, Condition(slowdown=math.exp(ln_slowdown[target])))
        ln_slowdown = kept * ln_slowdown + rng.normal(0.0, sigma * math.sqrt(1.0 - kept * kept), TARGETS)
