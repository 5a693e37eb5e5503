"""Drives the product in the simulator: each simulated router is a real one of `routecast.testing.Fleet`."""

from __future__ import annotations

import math
from collections.abc import Collection

from routecast.analytics.simulation.trial import Simulation
from routecast.models.config import Config
from routecast.models.decision import Decision
from routecast.models.events import Outcome
from routecast.streams.calls.call import Call
from routecast.testing import Fleet


class FleetChooser:
    """A policy of the fleet, told what an application would tell it: starts, ends, and the limits in the answers' headers."""

    def __init__(self, simulation: Simulation, period_ms: float, policy: str = "performance") -> None:
        n, world = len(simulation.targets), simulation.world
        self._targets = simulation.targets
        self._ids = [f"target-{i:02}" for i in range(n)]
        self._index = {target_id: i for i, target_id in enumerate(self._ids)}
        self._deadline_ms = world.deadline_ms if world.deadline_ms < math.inf else None
        config = Config.model_validate({"target": [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in self._ids]})
        self.fleet = Fleet(
            config,
            routers=world.routers,
            period_ms=period_ms,
            start_ms=simulation.queue.now_ms,
            seed=simulation.random.getrandbits(32),
            policy=policy,
            queue=simulation.queue,
        )
        self._chosen: tuple[Decision, int] | None = None

    def choose(self, router: int, tried: Collection[int]) -> int:
        """The decision of that router."""
        decision = self.fleet.router(router).choose(tried=[self._ids[i] for i in tried])
        self._chosen = decision, len(tried) + 1
        return self._index[decision.target]

    def started(self, router: int, target: int) -> tuple[Call, int]:
        """Report the start of what was just chosen."""
        if self._chosen is None:
            raise RuntimeError("a trial starts what it has chosen")
        decision, attempt = self._chosen
        return self.fleet.router(router).start(decision, attempt=attempt, deadline_ms=self._deadline_ms), target

    def finished(self, handle: tuple[Call, int], duration_ms: float, outcome: Outcome) -> None:
        """Report the end, with what the headers of the answer say."""
        del duration_ms
        call, index = handle
        headers = self._targets[index].ended_headers if outcome in {"ok", "rate_limited"} else {}
        if headers:
            call.headers(headers, status=429 if outcome == "rate_limited" else 200)
        call.finish(outcome)
