"""References: rules that see the true state of every target, for measuring how far a policy is from what could be done."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from routecast.analytics.simulation.trial import Simulation
from routecast.models.events import Outcome

Cost = Callable[[float, float], float]
"""Cost of a target from its mean service time in seconds and u = (calls in flight + 1) ÷ slots; u = 0 for an elastic target."""


def orc_cost(service_s: float, load: float) -> float:
    """S·u; of an elastic target S."""
    return service_s * load if load else service_s


def best_cost(service_s: float, load: float) -> float:
    """S·max(1, u)·(1 + 100·max(0, u − 1)): the fastest target with a free slot, else nearly the least wait."""
    return service_s if load <= 1.0 else service_s * load * (1.0 + 100.0 * (load - 1.0))


class Reference:
    """Takes the target of least cost on perfect fresh state, passing over what is down or at its rate limit.

    It knows the present slowdown of every target, not the work of the request. Ties go to the first target.
    """

    def __init__(self, simulation: Simulation, cost: Cost) -> None:
        specs = simulation.world.targets
        self._targets = [(i, target, target.server, specs[i].mean_s) for i, target in enumerate(simulation.targets)]
        self._cost = cost

    def choose(self, router: int, tried: Collection[int]) -> int:
        """The target of least cost, for every router alike."""
        del router
        best, least, cost_of = -1, math.inf, self._cost
        for i, target, server, mean_s in self._targets:
            cost = cost_of(mean_s * server.slowdown, (server.in_flight + 1) / server.slots)
            if cost < least and i not in tried and target.available:
                best, least = i, cost
        return best if best >= 0 else next(i for i, *_ in self._targets if i not in tried)

    def started(self, router: int, target: int) -> None:
        """Nothing to keep: the state is the targets' own."""

    def finished(self, handle: None, duration_ms: float, outcome: Outcome) -> None:
        """Nothing to learn."""


def orc(simulation: Simulation) -> Reference:
    """ORC: the policies' yardstick."""
    return Reference(simulation, orc_cost)


def best(simulation: Simulation) -> Reference:
    """BEST: about as well as can be done without knowing the requests' work."""
    return Reference(simulation, best_cost)
