"""A fleet in a box: routers, embedded log, fold and leader in virtual time. The same code as live, deterministic under a seed.

Example:
    fleet = Fleet(config, routers=16, seed=7)
    call = fleet.router(3).start(fleet.router(3).choose())
    fleet.advance_to(fleet.now_ms + 420)
    call.finish(outcome="ok")

"""

from __future__ import annotations

import random
from functools import partial

from routecast.analytics.simulation.simulator import EventQueue, Scheduled
from routecast.models.config import Config, Intervals
from routecast.models.details import Details
from routecast.models.errors import ConfigError
from routecast.models.events import Control
from routecast.models.insights import Insight
from routecast.models.snapshot import RoutingSnapshot
from routecast.streams.emitter import LINGER_MS, Emitter
from routecast.streams.leadership.elector import stretch_ms, words
from routecast.streams.leadership.planner import plan_at_once
from routecast.streams.memory import MemoryLog
from routecast.streams.pipeline import STATS_MS, News, Pipeline, deliver
from routecast.streams.router import Router

_DEADLINES_MS = 250.0


class VirtualClock:
    """Both clocks of a process, read off an event queue."""

    def __init__(self, queue: EventQueue) -> None:
        self._queue = queue

    def now_ms(self) -> float:
        """Epoch milliseconds of virtual time."""
        return float(self._queue.now_ms)

    def monotonic_s(self) -> float:
        """Virtual time in seconds."""
        return float(self._queue.now_ms) / 1000.0


class Fleet:
    """Routers of one service and the pipeline behind them, in virtual time.

    Args:
        config: targets and policy.
        routers: how many routers, each with an emitter of its own.
        period_ms: time between snapshots, 100 ms to 1 h; the configured one where None.
        start_ms: epoch milliseconds at which virtual time begins.
        seed: of all randomness.
        service: which service; may be left out where the configuration has only one.
        policy: overrides the configured policy.
        partitions: of the events topic.
        lag_ms: from building a snapshot to its arrival at the routers.
        queue: an event queue to share with a simulation; virtual time then is the queue's.
        planning: make capacity and recommendations every `analysis_ms` of virtual time: some seconds of wall time each.

    Memory and time: about 30 µs and no memory per request, plus the pipeline's own state.
    """

    def __init__(
        self, config: Config, *, routers: int = 16, period_ms: float | None = None, start_ms: float = 1_700_000_000_000.0, seed: int = 0,
        service: str | None = None, policy: str | None = None, partitions: int = 1, lag_ms: float = 200.0, queue: EventQueue | None = None,
        planning: bool = False,
    ) -> None:  # fmt: skip
        if period_ms is not None:
            intervals = Intervals.model_validate(config.intervals.model_dump() | {"snapshot_ms": period_ms})
            config = config.model_copy(update={"intervals": intervals})
        self.config = config
        self.service = service or _only_service(config)
        self.queue = queue if queue is not None else EventQueue(start_ms)
        self._clock = VirtualClock(self.queue)
        self._lag_ms = lag_ms
        self._log = MemoryLog(self._clock)
        self.pipeline = Pipeline(config, self._log, self.queue.now_ms, partitions=partitions)
        self._pending: dict[int, Scheduled] = {}
        self._newest: RoutingSnapshot | None = None
        self._details: Details | None = None
        self._insights: dict[str, Insight] = {}
        rng = random.Random(seed)
        self._routers = [self._new_router(i, rng.getrandbits(64), policy) for i in range(routers)]
        self._announce()
        self.queue.after(self.pipeline.flush_ms, self._flush)
        self.queue.after(_DEADLINES_MS, self._end_overdue)
        if planning:
            self.queue.after(config.intervals.analysis_ms, self._plan)
        if config.intervals.election_ms > 0 and policy is None:
            self.queue.after(config.intervals.election_ms, self._elect)

    def _new_router(self, i: int, seed: int, policy: str | None) -> Router:
        rng = random.Random(seed)
        emitter = Emitter(self._clock, rng, wake=partial(self._wake, i))
        emitter.name = f"fleet-{i}"
        return Router(self.config, self.service, emitter, self._clock, rng, policy=policy)

    def router(self, i: int) -> Router:
        """Router number `i`, from 0."""
        return self._routers[i]

    @property
    def now_ms(self) -> float:
        """Virtual time, epoch ms."""
        return self.queue.now_ms

    def advance_to(self, time_ms: float) -> None:
        """Let everything happen that is due until then: flushes, folds, snapshots, timers, and what shares the queue."""
        self.queue.advance_to(time_ms)

    def snapshot(self) -> RoutingSnapshot | None:
        """The newest snapshot that was published; None before the first."""
        return self._newest

    def details(self) -> Details | None:
        """The newest details that were published; None before the first."""
        return self._details

    def insights(self) -> tuple[Insight, ...]:
        """The newest of every insight that was published, in the order in which they were first heard of; what is over among them."""
        return tuple(self._insights.values())

    def tell(self, word: Control) -> None:
        """Say what an operator would: the next snapshot follows it."""
        self.pipeline.tell(word)

    def _wake(self, i: int, urgent: bool) -> None:  # noqa: FBT001 - the emitter's callback
        pending = self._pending.get(i)
        if pending is None or not pending.pending:
            self._pending[i] = self.queue.after(0.0 if urgent else LINGER_MS, self._send, i)
        elif urgent:
            pending.cancel()
            self._pending[i] = self.queue.after(0.0, self._send, i)

    def _send(self, i: int) -> None:
        self.pipeline.announce(self._routers[i].emitter)
        self.pipeline.send(self._routers[i].emitter)
        self.pipeline.fold()
        if self.pipeline.publish(self.queue.now_ms):
            self._spread()

    def _flush(self) -> None:
        self.queue.after(self.pipeline.flush_ms, self._flush)
        self.pipeline.flush()
        if self.pipeline.lead(self.queue.now_ms):
            self._spread()

    def _plan(self) -> None:
        self.queue.after(self.config.intervals.analysis_ms, self._plan)
        plan_at_once(self.pipeline.leader, sorted(self.config.services))

    def _elect(self) -> None:
        """Where a service is on `auto`; some seconds of wall time then."""
        self.queue.after(self.config.intervals.election_ms, self._elect)
        leader = self.pipeline.leader
        if following := leader.on_auto():
            from routecast.streams.leadership.evidence import elected_at_once  # noqa: PLC0415 - few need what evaluates

            for word in words(elected_at_once(self._log, self.config, following, stretch_ms(leader)), following, self.queue.now_ms, "fleet"):
                self.tell(word)

    def _spread(self) -> None:
        news = self.pipeline.news()
        for snapshot in news.snapshots:
            if snapshot.service == self.service:
                self._newest = snapshot
        for details in news.details:
            if details.service == self.service:
                self._details = details
        self._insights |= {insight.key: insight for insight in news.insights}
        self.queue.after(self._lag_ms, self._deliver, news)

    def _deliver(self, news: News) -> None:
        for router in self._routers:
            deliver(router, news)

    def _announce(self) -> None:
        self.queue.after(STATS_MS, self._announce)
        for router in self._routers:
            router.emitter.emit(router.stats())

    def _end_overdue(self) -> None:
        self.queue.after(_DEADLINES_MS, self._end_overdue)
        for router in self._routers:
            router.end_overdue()


def _only_service(config: Config) -> str:
    services = sorted(config.services)
    if len(services) != 1:
        raise ConfigError(f"which service? The configuration has {services}: pass service=")
    return services[0]
