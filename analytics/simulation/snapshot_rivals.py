"""Rules that route by a table all routers read, published every period and read 0.2 s later."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import accumulate

from routecast.analytics.simulation.rivals import Attempt, barred, draw_uniform
from routecast.analytics.simulation.trial import Simulation
from routecast.models.events import Outcome

LAG_MS = 200.0
"""From the moment a table is made to the moment routers use it."""
MEMORY_MS = 10_000.0
"""Time constant with which past periods are forgotten."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a table says of one target."""

    response_s: float
    """Mean response time of successes; of a target without any, the median of the others."""
    success: float
    """Share of attempts that succeeded, 1 without any."""
    in_flight: float
    """Expected calls in flight by Little's law: successes per second × mean response time."""


class Board:
    """Counts every attempt that ends and hands out the table, period by period."""

    def __init__(self, simulation: Simulation, period_ms: float, read: Callable[[list[Published]], object]) -> None:
        n = len(simulation.targets)
        self._queue = simulation.queue
        self._period_ms = period_ms
        self._read = read
        self._kept = math.exp(-period_ms / MEMORY_MS)
        self._seconds = 0.0
        self._ended = [0.0] * n
        self._ok = [0.0] * n
        self._ok_s = [0.0] * n
        self._queue.after(period_ms, self._publish)

    def ended(self, target: int, duration_ms: float, outcome: Outcome) -> None:
        """Count an attempt."""
        self._ended[target] += 1.0
        if outcome == "ok":
            self._ok[target] += 1.0
            self._ok_s[target] += duration_ms / 1000.0

    def _publish(self) -> None:
        self._seconds += self._period_ms / 1000.0
        known = sorted(total / n for total, n in zip(self._ok_s, self._ok, strict=True) if n)
        if known:
            table = [self._published(target, known[len(known) // 2]) for target in range(len(self._ok))]
            self._queue.after(LAG_MS, self._read, table)
        self._seconds *= self._kept
        for sums in (self._ended, self._ok, self._ok_s):
            sums[:] = [value * self._kept for value in sums]
        self._queue.after(self._period_ms, self._publish)

    def _published(self, target: int, median_s: float) -> Published:
        ended, ok, ok_s = self._ended[target], self._ok[target], self._ok_s[target]
        return Published(
            response_s=ok_s / ok if ok else median_s,
            success=ok / ended if ended else 1.0,
            in_flight=ok_s / self._seconds,
        )


class Greedy:
    """Best published score wins: everyone takes the same target until the next table.

    Score = 0.4·T_ref/(T_ref + T) + 0.3·success, T the mean response time, T_ref its median over the targets.
    """

    def __init__(self, simulation: Simulation, period_ms: float) -> None:
        self._simulation = simulation
        self._ranking: list[int] = []
        self._board = Board(simulation, period_ms, self._rank)

    def _rank(self, table: list[Published]) -> None:
        t_ref_s = sorted(row.response_s for row in table)[len(table) // 2]
        scores = [0.4 * t_ref_s / (t_ref_s + row.response_s) + 0.3 * row.success for row in table]
        self._ranking = sorted(range(len(table)), key=lambda target: -scores[target])

    def choose(self, router: int, tried: Collection[int]) -> int:
        """The best score; before the first table a uniform draw."""
        del router
        without = barred(self._simulation, tried)
        if not self._ranking:
            return draw_uniform(self._simulation.random, len(self._simulation.targets), without)
        return next(target for target in self._ranking if target not in without)

    def started(self, router: int, target: int) -> Attempt:
        """Nothing to keep: its own calls in flight do not matter to it."""
        return router, target

    def finished(self, handle: Attempt, duration_ms: float, outcome: Outcome) -> None:
        """Tell the board."""
        self._board.ended(handle[1], duration_ms, outcome)


class WeightedThree:
    """Power of three: draws by w = C⁻², of which the least C·(n̂ + 1)/(n* + 1) is taken.

    C is the published mean response time, n* the in-flight that Little's law expects with it (successes per second × C) and
    n̂ = routers × own calls in flight, the router's own view of the present. By Little's law at an unchanged throughput, the response
    time grows in proportion to what is in flight.
    """

    DRAWS = 3

    def __init__(self, simulation: Simulation, period_ms: float) -> None:
        n, self._routers = len(simulation.targets), simulation.world.routers
        self._simulation = simulation
        self._own = [[0] * n for _ in range(self._routers)]
        self._unit_cost_s = [1.0] * n
        self._weights = list(accumulate([1.0] * n))
        self._board = Board(simulation, period_ms, self._prepare)

    def _prepare(self, table: list[Published]) -> None:
        self._unit_cost_s = [row.response_s / (row.in_flight + 1.0) for row in table]
        self._weights = list(accumulate(row.response_s**-2 for row in table))

    def choose(self, router: int, tried: Collection[int]) -> int:
        """The cheapest of three draws."""
        without = barred(self._simulation, tried)
        own, unit_cost_s, targets = self._own[router], self._unit_cost_s, range(len(self._weights))
        best, least = -1, math.inf
        while best < 0:
            for target in self._simulation.random.choices(targets, cum_weights=self._weights, k=self.DRAWS):
                cost_s = unit_cost_s[target] * (self._routers * own[target] + 1.0)
                if cost_s < least and target not in without:
                    best, least = target, cost_s
        return best

    def started(self, router: int, target: int) -> Attempt:
        """One more in flight."""
        self._own[router][target] += 1
        return router, target

    def finished(self, handle: Attempt, duration_ms: float, outcome: Outcome) -> None:
        """One less in flight; tell the board."""
        router, target = handle
        self._own[router][target] -= 1
        self._board.ended(target, duration_ms, outcome)
