"""One run of a policy in a simulated world: requests arrive, are routed, retried and timed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.simulation.contended import processor_sharing
from routecast.analytics.simulation.servers import Call, Done, Queueing, Server
from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.virtual_target import Condition, RequestLimit, VirtualTarget
from routecast.analytics.simulation.worlds import World
from routecast.models.events import Outcome

ATTEMPTS = 3
FAILURE_COST_S = 30.0
"""What a request costs beyond its attempts when the last of them failed."""

Handle = TypeVar("Handle")


class Chooser(Protocol[Handle]):
    """A policy for all routers of a world."""

    def choose(self, router: int, tried: Collection[int]) -> int:
        """The target of the next attempt, none of those tried."""
        ...

    def started(self, router: int, target: int) -> Handle:
        """The attempt just chosen has begun; what is returned comes back when it ends."""
        ...

    def finished(self, handle: Handle, duration_ms: float, outcome: Outcome) -> None:
        """An attempt has ended."""
        ...


class Target(Protocol):
    """What a trial needs of a simulated target; `VirtualTarget` is one."""

    @property
    def condition(self) -> Condition:
        """What is the matter with it now."""
        ...

    @condition.setter
    def condition(self, condition: Condition) -> None: ...

    @property
    def server(self) -> Server:
        """What does the work."""
        ...

    @property
    def available(self) -> bool:
        """Whether a call made now can succeed."""
        ...

    @property
    def ended_headers(self) -> Mapping[str, str]:
        """Headers of the call that ended last; right while its `done` runs."""
        ...

    def submit(self, work_ms: float, done: Done) -> Call:
        """Begin a call."""
        ...


MakeTarget = Callable[[EventQueue, World, int, Random], Target]
"""(clock, world, number of the target, its luck) → target."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """What a policy is made from. One that stands for a real router uses the clock, not the targets' state."""

    queue: EventQueue
    world: World
    targets: Sequence[Target]
    random: Random
    excluded: set[int] = field(default_factory=set[int])
    """Targets a breaker has closed: rivals pass them over. Empty unless whoever drives the run fills it."""


@dataclass(frozen=True, eq=False)
class Result:
    """What happened to the requests that arrived after the warm-up."""

    times_s: NDArray[np.float64]
    """From arrival to success; after a last failure its cost included."""
    failed: NDArray[np.bool_]
    """Which of them had no success."""
    ended_s: NDArray[np.float64]
    """When each of them ended, counted from the start of the run."""
    attempts: NDArray[np.int64]
    """Attempts per target."""
    rate_limited: int
    """Attempts that were refused."""
    failed_attempts: int
    """Attempts that ended otherwise than `ok`, refusals included."""
    into_trouble: int
    """Attempts into the bad target while it was bad."""
    during_trouble: int
    """Attempts into any target in that time."""

    @property
    def failed_requests(self) -> int:
        """Requests without success."""
        return int(self.failed.sum())

    @property
    def mean_s(self) -> float:
        """Mean time to success."""
        return float(self.times_s.mean())

    def mean_until_s(self, end_s: float) -> float:
        """Mean over the requests that ended by `end_s`: what a run cut off there would report, too little where queues grow."""
        return float(self.times_s[self.ended_s <= end_s].mean())

    def quantile_s(self, p: float) -> float:
        """The time within which the share `p` of the requests succeeded."""
        return float(np.quantile(self.times_s, p))

    @property
    def rate_limited_ratio(self) -> float:
        """Share of the attempts that were refused."""
        return self.rate_limited / int(self.attempts.sum())

    @property
    def largest_share(self) -> float:
        """Share of the attempts that went to the target with most."""
        return float(self.attempts.max() / self.attempts.sum())

    @property
    def trouble_share(self) -> float:
        """Share of the attempts that went into the bad target while it was bad; not a number in a world without trouble."""
        return self.into_trouble / self.during_trouble if self.during_trouble else math.nan


def run(
    world: World, policy: Callable[[Simulation], Chooser[Handle]], *, seed: int = 0, start_ms: float = 0.0, make: MakeTarget | None = None,
    queue: EventQueue | None = None,
) -> Result:  # fmt: skip
    """Route every request of the world by a policy, until the last one has ended.

    Retries are immediate and exclude what was tried; the third failure ends a request. `seed` is the policy's luck and that of
    partial failures; the requests are the world's. The clock begins at `start_ms`, or is `queue` where it stands. `make` builds
    targets of another kind than the world's own. Equal arguments give equal results.
    """
    if queue is None:
        queue = EventQueue(start_ms)
    start_ms = queue.now_ms
    targets = [(make or virtual_target)(queue, world, i, Random(f"{seed} target {i}")) for i in range(len(world.targets))]
    simulation = Simulation(queue, world, targets, Random(f"{seed} policy"))
    for change in world.changes:
        queue.at(start_ms + change.at_ms, setattr, targets[change.target], "condition", change.condition)
    return _Trial(simulation, policy(simulation)).run()


def virtual_target(queue: EventQueue, world: World, number: int, random: Random) -> VirtualTarget:
    """A target as the world specifies it."""
    spec = world.targets[number]
    slots = math.inf if spec.kind == "elastic" else spec.slots
    server: Server = processor_sharing(queue, spec.slots) if spec.kind == "sharing" else Queueing(queue, slots)
    limit = RequestLimit(queue, spec.requests_per_s) if spec.requests_per_s else None
    return VirtualTarget(queue, server, random, limit=limit, deadline_ms=world.deadline_ms)


class _Request:
    __slots__ = ("arrived_ms", "counts", "demand", "router", "started_ms", "tried")

    def __init__(self, arrived_ms: float, router: int, demand: float, *, counts: bool) -> None:
        self.arrived_ms = arrived_ms
        self.started_ms = arrived_ms
        self.router = router
        self.demand = demand
        self.counts = counts
        self.tried: tuple[int, ...] = ()


class _Tally:
    """What becomes the result."""

    def __init__(self, world: World, start_ms: float) -> None:
        self._start_ms = start_ms
        self._trouble = world.trouble
        self._times_s: list[float] = []
        self._failed: list[bool] = []
        self._ended_s: list[float] = []
        self._attempts = [0] * len(world.targets)
        self._rate_limited = self._failed_attempts = 0
        self._into_trouble = self._during_trouble = 0

    def began(self, target: int, now_ms: float) -> None:
        self._attempts[target] += 1
        trouble = self._trouble
        if trouble is not None and trouble.from_ms <= now_ms - self._start_ms < trouble.until_ms:
            self._during_trouble += 1
            self._into_trouble += target == trouble.target

    def failed(self, outcome: Outcome) -> None:
        self._failed_attempts += 1
        self._rate_limited += outcome == "rate_limited"

    def ended(self, time_s: float, now_ms: float, *, failed: bool) -> None:
        self._failed.append(failed)
        self._times_s.append(time_s + FAILURE_COST_S if failed else time_s)
        self._ended_s.append((now_ms - self._start_ms) / 1000.0)

    def result(self) -> Result:
        return Result(
            times_s=np.array(self._times_s),
            failed=np.array(self._failed, dtype=np.bool_),
            ended_s=np.array(self._ended_s),
            attempts=np.array(self._attempts, dtype=np.int64),
            rate_limited=self._rate_limited,
            failed_attempts=self._failed_attempts,
            into_trouble=self._into_trouble,
            during_trouble=self._during_trouble,
        )


class _Trial(Generic[Handle]):
    def __init__(self, simulation: Simulation, chooser: Chooser[Handle]) -> None:
        self._world = simulation.world
        self._targets = simulation.targets
        self._queue = simulation.queue
        self._chooser = chooser
        self._tally = _Tally(simulation.world, simulation.queue.now_ms)
        self._open = 0

    def run(self) -> Result:
        requests, queue = self._world.requests, self._queue
        at_ms, first_ms = (requests.at_ms + queue.now_ms).tolist(), queue.now_ms + self._world.warmup_ms
        for arrived_ms, router, demand in zip(at_ms, requests.router.tolist(), requests.demand.tolist(), strict=True):
            queue.advance_to(arrived_ms)
            self._open += 1
            self._attempt(_Request(arrived_ms, router, demand, counts=arrived_ms >= first_ms))
        while self._open:
            queue.advance_to(queue.now_ms + 1000.0)
        return self._tally.result()

    def _attempt(self, request: _Request) -> None:
        now_ms = self._queue.now_ms
        target = self._chooser.choose(request.router, request.tried)
        request.tried += (target,)
        request.started_ms = now_ms
        handle = self._chooser.started(request.router, target)
        work_ms = request.demand * self._world.targets[target].mean_s * 1000.0
        self._targets[target].submit(work_ms, partial(self._ended, request, handle))
        if request.counts:
            self._tally.began(target, now_ms)

    def _ended(self, request: _Request, handle: Handle, outcome: Outcome) -> None:
        now_ms = self._queue.now_ms
        self._chooser.finished(handle, now_ms - request.started_ms, outcome)
        failed = outcome != "ok"
        if failed and request.counts:
            self._tally.failed(outcome)
        if failed and len(request.tried) < ATTEMPTS:
            self._attempt(request)
            return
        self._open -= 1
        if request.counts:
            self._tally.ended((now_ms - request.arrived_ms) / 1000.0, now_ms, failed=failed)
