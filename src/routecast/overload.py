"""A fleet under more load than its targets can serve, in virtual time: what is served, what is turned away, and who waits how long.

Targets have slots and a line of their own; applications call them through `Router.call`. Benchmarks print it, tests hold it.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from routecast.analytics.simulation.servers import Queueing
from routecast.models.config import Config
from routecast.models.decision import Decision
from routecast.models.errors import CallFailed, QueueFull
from routecast.models.events import Outcome, Urgency
from routecast.models.requirements import Requirements
from routecast.testing import Fleet
from routecast.virtual_time import run

SLOTS = (4, 6, 8, 10, 12, 16, 20, 24)
MEAN_S = 1.5
SIGMA = 0.5
MIX: tuple[tuple[Urgency, float, float], ...] = (("high", 0.2, 10_000.0), ("medium", 0.5, 20_000.0), ("low", 0.3, 20_000.0))
"""Urgency, share of the requests, deadline in ms."""
CAPACITY_PER_S = sum(SLOTS) / MEAN_S


@dataclass
class Seen:
    """What became of the requests, by urgency where it matters."""

    arrived: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    took_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    longest_queue: int = 0
    ended_in_overload: int = 0
    attempts: int = 0
    emptied_s: float = math.nan
    """From the end of the overload until nobody waited any more."""

    def answered_ratio(self, urgency: str) -> float:
        """Share of the requests of this urgency that got an answer."""
        return self.answered[urgency] / self.arrived[urgency] if self.arrived[urgency] else math.nan

    def p95_ms(self, urgency: str) -> float:
        """95th percentile of the response time of those answered, waiting included."""
        ordered = sorted(self.took_ms[urgency])
        return ordered[int(0.95 * len(ordered))] if ordered else math.nan


class Overload:
    """Seventy per cent for a minute, `load` for two, then half.

    Args:
        load: arrivals as a share of what all slots can serve.
        routers: how many share the traffic.
    """

    def __init__(self, load: float = 1.5, routers: int = 4, seed: int = 1, overload_s: float = 120.0, queue: int = 200) -> None:
        targets = [{"id": f"t{i}", "provider": f"p{i}", "model": "m", "service": "chat", "capacity": slots} for i, slots in enumerate(SLOTS)]
        config = Config.model_validate({"target": targets, "routing": {"overflow": {"queue": queue}}})
        self.fleet = Fleet(config, routers=routers, seed=seed)
        self.routers = [self.fleet.router(i) for i in range(routers)]
        self.luck = random.Random(seed)
        self.load, self.overload_s = load, overload_s
        self.seen = Seen()
        self.requirements = {urgency: Requirements(urgency=urgency) for urgency, _, _ in MIX}
        self.servers = {f"t{i}": Queueing(self.fleet.queue, slots) for i, slots in enumerate(SLOTS)}
        self._begin_s = 60.0
        self._start_ms = self.fleet.now_ms

    def run(self) -> Seen:
        """Carry out everything; what was seen of the two minutes."""
        run(self.fleet.queue, self._main())
        return self.seen

    @property
    def throughput(self) -> float:
        """Answers during the overload ÷ what all slots can give."""
        return self.seen.ended_in_overload / (self.overload_s - 10.0) / CAPACITY_PER_S

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return (self.fleet.now_ms - self._start_ms) / 1000.0

    def _counts(self) -> bool:
        """Whether the overload is on, its first ten seconds aside."""
        return self._begin_s + 10.0 <= self.now_s < self._begin_s + self.overload_s

    async def _main(self) -> None:
        end_s = self._begin_s + self.overload_s
        async with asyncio.TaskGroup() as requests:
            while self.now_s < end_s + 60.0:
                load = 0.7 if self.now_s < self._begin_s else self.load if self.now_s < end_s else 0.5
                await asyncio.sleep(self.luck.expovariate(load * CAPACITY_PER_S))
                requests.create_task(self._request())
                waiting = sum(router.waiting for router in self.routers)
                self.seen.longest_queue = max(self.seen.longest_queue, waiting)
                if waiting == 0 and self.now_s > end_s and math.isnan(self.seen.emptied_s):
                    self.seen.emptied_s = self.now_s - end_s

    async def _request(self) -> None:
        draw = self.luck.random()
        urgency, _, deadline_ms = next(kind for i, kind in enumerate(MIX) if draw < sum(share for _, share, _ in MIX[: i + 1]) or i == len(MIX) - 1)
        counted, began_ms, seen = self._counts(), self.fleet.now_ms, self.seen
        work_ms = self.luck.lognormvariate(-(SIGMA**2) / 2, SIGMA) * MEAN_S * 1000.0
        seen.arrived[urgency] += counted
        try:
            answer = await self.luck.choice(self.routers).call(
                lambda decision, _: self._served(decision, work_ms), self.requirements[urgency], deadline_ms=deadline_ms
            )
        except QueueFull:
            seen.refused[urgency] += counted
        except CallFailed:
            seen.failed[urgency] += counted
        else:
            seen.answered[urgency] += counted
            if counted:
                seen.took_ms[urgency].append(self.fleet.now_ms - began_ms)
                seen.attempts += len(answer.attempts)

    async def _served(self, decision: Decision, work_ms: float) -> None:
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        job = self.servers[decision.target].submit(work_ms, lambda outcome: None if ended.done() else ended.set_result(outcome))
        try:
            await ended
            self.seen.ended_in_overload += self._counts()
        finally:
            job.cancel()
