"""Rules in common use that know only what their own router has seen: what a better policy has to beat.

`Simulation.excluded` is passed over while anything else is left. State is kept per router; nothing is shared.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from random import Random

from routecast.analytics.simulation.trial import Simulation
from routecast.models.events import Outcome

Attempt = tuple[int, int]
"""Router and target."""


def barred(simulation: Simulation, tried: Collection[int]) -> Collection[int]:
    """What may not be chosen: the tried and the excluded; the tried alone when that would be everything."""
    if not simulation.excluded:
        return tried
    both = simulation.excluded.union(tried)
    return tried if len(both) == len(simulation.targets) else both


def draw_uniform(random: Random, n: int, without: Collection[int]) -> int:
    """One of the n targets, all that remain equally likely."""
    while True:
        target = random.randrange(n)
        if target not in without:
            return target


class Uniform:
    """Any target, all equally likely."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def choose(self, router: int, tried: Collection[int]) -> int:
        """A uniform draw."""
        del router
        return draw_uniform(self._simulation.random, len(self._simulation.targets), barred(self._simulation, tried))

    def started(self, router: int, target: int) -> None:
        """Nothing to keep."""

    def finished(self, handle: None, duration_ms: float, outcome: Outcome) -> None:
        """Nothing to learn."""


class RoundRobin:
    """Each router in turn, from a random first target."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._n = len(simulation.targets)
        self._next = [simulation.random.randrange(self._n) for _ in range(simulation.world.routers)]

    def choose(self, router: int, tried: Collection[int]) -> int:
        """The next target in turn."""
        without = barred(self._simulation, tried)
        while True:
            target = self._next[router]
            self._next[router] = (target + 1) % self._n
            if target not in without:
                return target

    def started(self, router: int, target: int) -> None:
        """Nothing to keep."""

    def finished(self, handle: None, duration_ms: float, outcome: Outcome) -> None:
        """Nothing to learn."""


class LeastConnections:
    """The target with the fewest calls of this router in flight; among equals a uniform draw."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._own = [[0] * len(simulation.targets) for _ in range(simulation.world.routers)]

    def choose(self, router: int, tried: Collection[int]) -> int:
        """The least connected target."""
        without = barred(self._simulation, tried)
        own = self._own[router]
        left = [i for i in range(len(own)) if i not in without] if without else range(len(own))
        fewest = min(own[i] for i in left) if without else min(own)
        return self._simulation.random.choice([i for i in left if own[i] == fewest])

    def started(self, router: int, target: int) -> Attempt:
        """One more in flight."""
        self._own[router][target] += 1
        return router, target

    def finished(self, handle: Attempt, duration_ms: float, outcome: Outcome) -> None:
        """One less in flight."""
        del duration_ms, outcome
        router, target = handle
        self._own[router][target] -= 1


class PeakEwma:
    """Power of two choices on peak-EWMA latency × (own calls in flight + 1), as in Finagle and Linkerd.

    The latency jumps to a slower answer at once and decays towards faster ones, half-forgotten after 7 s (τ = 10 s). It is held, not
    decayed, while no answer comes: with 16 routers an estimate that fades between answers forgives overloaded targets, which
    measured five times worse at 70 % load. Failures teach no latency.
    """

    DECAY_MS = 10_000.0
    UNKNOWN_MS = 1e9
    """Cost of a target that never answered and has a call in flight."""

    def __init__(self, simulation: Simulation) -> None:
        n, routers = len(simulation.targets), simulation.world.routers
        self._simulation = simulation
        self._own = [[0] * n for _ in range(routers)]
        self._latency_ms = [[0.0] * n for _ in range(routers)]
        self._answered_ms = [[0.0] * n for _ in range(routers)]

    def choose(self, router: int, tried: Collection[int]) -> int:
        """The cheaper of two different targets."""
        random, n = self._simulation.random, len(self._simulation.targets)
        without = barred(self._simulation, tried)
        one = draw_uniform(random, n, without)
        if len(without) >= n - 1:
            return one
        other = draw_uniform(random, n, (*without, one))
        return one if self._cost_ms(router, one) <= self._cost_ms(router, other) else other

    def started(self, router: int, target: int) -> Attempt:
        """One more in flight."""
        self._own[router][target] += 1
        return router, target

    def finished(self, handle: Attempt, duration_ms: float, outcome: Outcome) -> None:
        """One less in flight, and its latency learnt."""
        router, target = handle
        self._own[router][target] -= 1
        if outcome != "ok":
            return
        now_ms = self._simulation.queue.now_ms
        kept = math.exp((self._answered_ms[router][target] - now_ms) / self.DECAY_MS)
        self._answered_ms[router][target] = now_ms
        latency_ms = self._latency_ms[router][target]
        self._latency_ms[router][target] = max(duration_ms, latency_ms * kept + duration_ms * (1.0 - kept))

    def _cost_ms(self, router: int, target: int) -> float:
        own, latency_ms = self._own[router][target], self._latency_ms[router][target]
        if own and not latency_ms:
            return self.UNKNOWN_MS + own
        return latency_ms * (own + 1)
