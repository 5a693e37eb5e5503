"""`memory://` live: one background thread drives the pipeline for all routers and emitters of this process.

Nothing outlives the process, and a forked child has no pipeline: it must connect anew.
"""

from __future__ import annotations

import logging
import random
import threading
from functools import partial

from routecast.models.config import Config
from routecast.models.details import Details
from routecast.models.events import Control
from routecast.models.snapshot import RoutingSnapshot
from routecast.streams.clock import Clock
from routecast.streams.emitter import LINGER_MS, Emitter
from routecast.streams.fork import renew_after_fork, tell_of_inheritance
from routecast.streams.leadership.electing import Ballot
from routecast.streams.leadership.elector import Elector
from routecast.streams.leadership.leader import word_of
from routecast.streams.leadership.planner import Planner
from routecast.streams.memory import MemoryLog
from routecast.streams.pipeline import STATS_MS, News, Pipeline, deliver
from routecast.streams.router import Router
from routecast.streams.topics import CONTROL

NAME = "embedded"
"""In words of its elections."""
_log = logging.getLogger(__name__)


class Embedded:
    """A running embedded pipeline. `close` delivers what waits and stops the thread."""

    def __init__(self, config: Config, clock: Clock, *, partitions: int = 1) -> None:
        self.config = config
        self.clock = clock
        self._pipeline = Pipeline(config, MemoryLog(clock), clock.now_ms(), partitions=partitions)
        self._planner = Planner(config, clock)
        self._elector = Elector(config, clock, NAME, partial(Ballot, log=self._pipeline.log))
        self._flush_at_s = clock.monotonic_s() + self._pipeline.flush_ms / 1000
        self._stats_at_s = clock.monotonic_s()
        self._snapshots: dict[str, RoutingSnapshot] = {}
        self._details: dict[str, Details] = {}
        self._closing = False
        self._inherited = False
        self._begin()
        renew_after_fork(self, Embedded._begin_anew)
        self._thread = threading.Thread(target=self._run, name="routecast-embedded", daemon=True)
        self._thread.start()

    def _begin_anew(self) -> None:
        self._inherited = True
        self._begin()

    def _begin(self) -> None:
        self._emitters: list[Emitter] = []
        self._routers: list[Router] = []
        self._members = threading.Lock()
        self._woken = threading.Event()
        self._published = threading.Event()

    def emitter(self, rng: random.Random) -> Emitter:
        """A new emitter of this pipeline."""
        emitter = Emitter(self.clock, rng, wake=self._wake)
        with self._members:
            self._emitters.append(emitter)
        return emitter

    def router(self, service: str, rng: random.Random, policy: str | None = None) -> Router:
        """A new router of this pipeline, with an emitter of its own; it begins with the newest snapshot there is."""
        router = Router(self.config, service, Emitter(self.clock, rng, wake=self._wake), self.clock, rng, policy=policy)
        with self._members:
            deliver(router, News(list(self._snapshots.values()), list(self._details.values()), []))
            self._emitters.append(router.emitter)
            self._routers.append(router)
            self._stats_at_s = self.clock.monotonic_s()
        self._woken.set()
        return router

    def tell(self, word: Control) -> None:
        """Say what an operator would: the next snapshot follows it."""
        self._pipeline.tell(word)
        self._woken.set()

    def words(self) -> list[Control]:
        """What operators and elections said last, the oldest first; a thousand are kept."""
        records = self._pipeline.log.read(CONTROL, 0, 0)
        return [word for record in records if (word := word_of(record.value or b"")[0]) is not None]

    def wait_for_snapshot(self, _: str, timeout_s: float) -> bool:
        """Wait until snapshots were published, those of all services at once; whether there are any."""
        return self._published.wait(timeout_s)

    def release(self, emitter: Emitter, router: Router | None, _: float) -> bool:
        """Take an emitter, and its router, out of the pipeline after delivering what waits, which takes no time here."""
        with self._members:
            if emitter in self._emitters:
                self._hand_over(emitter)
                self._emitters.remove(emitter)
            if router in self._routers:
                self._routers.remove(router)
        return True

    def close(self, timeout_s: float) -> bool:
        """Deliver what waits and stop; whether the thread ended in time."""
        self._closing = True
        self._planner.close()
        self._elector.close()
        self._woken.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _wake(self, urgent: bool) -> None:  # noqa: FBT001 - the emitter's callback
        if self._inherited:
            tell_of_inheritance()
        elif urgent:
            self._woken.set()

    def _run(self) -> None:
        while not self._closing:
            self._woken.wait(LINGER_MS / 1000)
            self._woken.clear()
            self._try_step()
        self._try_step()

    def _try_step(self) -> None:
        try:
            self.step()
        except Exception:  # noqa: BLE001 - the thread must go on; what failed is logged, the record behind it left out
            _log.exception("the embedded pipeline skipped a step; routers go on with their last snapshot")

    def step(self) -> None:
        """Do everything that is due."""
        now_s = self.clock.monotonic_s()
        with self._members:
            for router in self._routers:
                router.end_overdue()
                if now_s >= self._stats_at_s:
                    router.emitter.emit(router.stats())
            if now_s >= self._stats_at_s:
                self._stats_at_s = now_s + STATS_MS / 1000
            for emitter in self._emitters:
                self._hand_over(emitter)
        self._pipeline.fold()
        self._pipeline.publish(self.clock.now_ms())
        if now_s >= self._flush_at_s or self._closing:
            self._flush_at_s = now_s + self._pipeline.flush_ms / 1000
            self._pipeline.flush()
            if self._pipeline.lead(self.clock.now_ms()) and not self._closing:
                self._planner.turn(self._pipeline.leader)
                for word in self._elector.turn(self._pipeline.leader):
                    self._pipeline.tell(word)
        self._deliver(self._pipeline.news())

    def _hand_over(self, emitter: Emitter) -> None:
        self._pipeline.announce(emitter)
        self._pipeline.send(emitter)

    def _deliver(self, news: News) -> None:
        with self._members:
            self._snapshots |= {snapshot.service: snapshot for snapshot in news.snapshots}
            self._details |= {details.service: details for details in news.details}
            for router in self._routers:
                deliver(router, news)
        if news.snapshots:
            self._published.set()
