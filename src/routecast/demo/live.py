"""The demonstration on Kafka: recorded traffic in real time through real routers, emitters, brokers and workers.

Simulated are the providers alone; they are those of the demonstration in virtual time, with the same requests and the same troubles, on
an event queue that waits for the wall clock. Routers measure durations themselves, on the monotonic clock, as in an application: so the
counts must be exact, while times are as good as this machine is free.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from random import Random
from typing import NamedTuple, NoReturn

from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.trial import Result, Simulation, run
from routecast.demo.comparison import count_checks, counted, moments, policy_row
from routecast.demo.demonstration import SERVICE, Scene, scene
from routecast.demo.pipeline import LivePipeline
from routecast.freshness import Arrivals, ends, freshness
from routecast.models.config import Kafka
from routecast.models.details import Details
from routecast.models.errors import CheckFailed
from routecast.models.report import CountCheck, LiveReport
from routecast.models.snapshot import RoutingSnapshot
from routecast.routed import RouterPolicy
from routecast.streams.brokers.reading import PartitionReader, consumer, decoded
from routecast.streams.clock import Clock
from routecast.streams.router import Router
from routecast.streams.topics import DETAILS

Watcher = Callable[[RoutingSnapshot | None, float], object]
"""Called every real second with the newest snapshot and the virtual seconds since the start."""
Counts = Counter[tuple[str, str]]
"""By target and outcome."""

_WATCH_S = 1.0
_LOOK_S = 0.02
"""Longest sleep, so that arrivals of snapshots are noted this exactly."""
_FIRST_SNAPSHOT_S = 60.0
_SETTLE_S = 45.0
_AGREEING = 2
"""Details in a row that must agree: one alone could be on its way past the truth."""


class Time(NamedTuple):
    """How time passes."""

    clock: Clock
    sleep: Callable[[float], object]
    speed: float
    """Virtual seconds in a real one."""


class Pacer:
    """Lets an event queue wait for the wall clock. Never drifts: every moment is reckoned from the first one."""

    def __init__(self, time: Time, look: Callable[[float], object]) -> None:
        """`look` is called with the virtual milliseconds whenever the queue moves on, and every 20 ms while it waits."""
        self._time = time
        self._look = look
        self._begun_s = time.clock.monotonic_s()
        self.behind_s = 0.0
        """Most that anything came too late, real time."""

    def __call__(self, at_ms: float) -> None:
        """Return at this virtual time, or at once when it has passed."""
        due_s = self._begun_s + at_ms / 1000.0 / self._time.speed
        self._look(at_ms)
        while (left_s := due_s - self._time.clock.monotonic_s()) > 0:
            self._time.sleep(min(left_s, _LOOK_S))
            self._look(at_ms)
        self.behind_s = max(self.behind_s, -left_s)

    @property
    def took_s(self) -> float:
        """Real seconds since the beginning."""
        return self._time.clock.monotonic_s() - self._begun_s


@contextmanager
def connected(pipeline: LivePipeline, time: Time, routers: int, seed: int, policy: str | None) -> Generator[list[Router]]:
    """So many routers, as soon as there is a snapshot; they deliver what they have to report before they go.

    Raises CheckFailed where no snapshot comes within a minute.
    """
    with ExitStack() as stack:
        there = [
            stack.enter_context(Router.connect_sync(pipeline.url, pipeline.config, service=SERVICE, policy=policy, rng=Random(f"{seed} router {i}")))
            for i in range(routers)
        ]
        until_s = time.clock.monotonic_s() + _FIRST_SNAPSHOT_S
        while there[0].snapshot is None:
            pipeline.check()
            if time.clock.monotonic_s() > until_s:
                kafka = pipeline.config.kafka
                raise CheckFailed(f"no snapshot within {_FIRST_SNAPSHOT_S:.0f} s: does a worker run on {kafka.bootstrap!r} with prefix {kafka.prefix!r}?")
            time.sleep(_LOOK_S)
        yield there


def perform(pipeline: LivePipeline, seed: int, duration_s: float, time: Time, *, routers: int, policy: str | None, watcher: Watcher) -> LiveReport:
    """Play the recorded traffic once, let everything settle, and hold what the pipeline counted against the truth."""
    stage, settings = scene(seed, duration_s), pipeline.config.kafka
    with connected(pipeline, time, routers, seed, policy) as there:
        before = Counter[tuple[str, str]]() if pipeline.fresh else counted(asyncio.run(_details_after(settings, time.clock.now_ms())))
        begin, arrivals = asyncio.run(ends(settings)), Arrivals(there)
        played = _play(pipeline, stage, seed, time, there, watcher, arrivals)
        checks = asyncio.run(_settled(settings, before, played.truth))
        arrivals.look()
        checks.append(CountCheck(what="routers that got no newer snapshot", pipeline=arrivals.silent, truth=0))
        fresh = asyncio.run(freshness(settings, begin, arrivals))
    name = policy or pipeline.config.routing_for(SERVICE).policy
    return LiveReport(
        seed=seed, duration_s=duration_s, speed=time.speed, took_s=played.took_s, behind_ms=played.behind_s * 1000.0, brokers=settings.bootstrap,
        prefix=settings.prefix, workers=pipeline.workers, routers=routers, requests=len(stage.world.requests), load=stage.world.load,
        compression=stage.compression, targets=stage.described(), policy=policy_row(name, played.result), decisions=tuple(played.routed.explained),
        freshness=fresh, dropped=sum(router.emitter.dropped for router in there), checks=tuple(checks),
    )  # fmt: skip


def perform_forever(pipeline: LivePipeline, seed: int, duration_s: float, time: Time, *, routers: int, policy: str | None, watcher: Watcher) -> NoReturn:
    """Play the recorded traffic again and again, each time with a seed of its own, until an exception ends it."""
    with connected(pipeline, time, routers, seed, policy) as there:
        for number in count():
            _play(pipeline, scene(seed + number, duration_s), seed + number, time, there, _later(watcher, number * duration_s), Arrivals(()))
    raise RuntimeError("numbers never end")


def _later(watcher: Watcher, since_s: float) -> Watcher:
    """The same watcher, for a run that begins at this virtual second of a longer one."""
    return lambda snapshot, at_s: watcher(snapshot, since_s + at_s)


class _Played(NamedTuple):
    result: Result
    routed: RouterPolicy
    took_s: float
    behind_s: float

    @property
    def truth(self) -> Counts:
        return self.routed.truth


def _play(pipeline: LivePipeline, stage: Scene, seed: int, time: Time, routers: Sequence[Router], watcher: Watcher, arrivals: Arrivals) -> _Played:
    next_s = time.clock.monotonic_s()

    def look(at_ms: float) -> None:
        nonlocal next_s
        arrivals.look()
        if time.clock.monotonic_s() >= next_s:
            next_s += _WATCH_S
            pipeline.check()
            watcher(routers[0].snapshot, at_ms / 1000.0)

    pacer, names, made = Pacer(time, look), [it.name for it in stage.runs], list[RouterPolicy]()

    def build(simulation: Simulation) -> RouterPolicy:
        made.append(RouterPolicy(simulation, names, lambda i: routers[i % len(routers)], moments(stage.duration_s), time.speed))
        return made[0]

    try:
        result = run(stage.world, build, seed=seed, make=stage.make, queue=EventQueue(pace=pacer))
    except BaseException:
        for routed in made:
            routed.give_up()
        raise
    return _Played(result, made[0], pacer.took_s, pacer.behind_s)


async def _settled(settings: Kafka, before: Counts, truth: Counts) -> list[CountCheck]:
    """The checks once the details agree twice in a row, or do not within 45 s."""
    agreeing, checks = 0, count_checks("pipeline", Counter(), truth, -1)
    try:
        async with asyncio.timeout(_SETTLE_S):
            async for details in _details(settings):
                checks = _checks(details, before, truth)
                agreeing = agreeing + 1 if all(check.agrees for check in checks) else 0
                if agreeing == _AGREEING:
                    break
    except TimeoutError:
        pass
    return checks


def _checks(details: Details, before: Counts, truth: Counts) -> list[CountCheck]:
    in_flight = sum(service.in_flight for service in details.services if service.id == SERVICE)
    now = counted(details)
    now.subtract(before)
    return count_checks("pipeline", now, truth, in_flight)


async def _details_after(settings: Kafka, at_ms: float) -> Details | None:
    """The first details as of then or later: what others reported before; None where none come within 45 s."""
    try:
        async with asyncio.timeout(_SETTLE_S):
            async for details in _details(settings):
                if details.at_ms >= at_ms:
                    return details
    except TimeoutError:
        pass
    return None


async def _details(settings: Kafka) -> AsyncIterator[Details]:
    """The newest details of the service, then each that comes."""
    key = SERVICE.encode()
    async with consumer(settings) as client:
        read = PartitionReader(client, settings)
        found, begin = await read.newest(DETAILS, [key])
        if (details := decoded(found.get(key), Details.decode)) is not None:
            yield details
        async for _, record in read.follow({DETAILS: begin}, asyncio.Event()):
            if record.key == key and (details := decoded(record.value, Details.decode)) is not None:
                yield details
