"""`memory://` live: one background thread drives the pipeline for all routers and emitters of this process.

Nothing outlives the process, and a forked child has no pipeline: it must connect anew.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading

from routecast.models.config import Config
from routecast.streams.clock import Clock
from routecast.streams.emitter import LINGER_MS, Emitter
from routecast.streams.memory import MemoryLog
from routecast.streams.pipeline import FLUSH_MS, STATS_MS, Pipeline, deliver
from routecast.streams.router import Router

_log = logging.getLogger(__name__)


class Embedded:
    """A running embedded pipeline. `close` delivers what waits and stops the thread."""

    def __init__(self, config: Config, clock: Clock, *, partitions: int = 1) -> None:
        self.config = config
        self.clock = clock
        now_ms = clock.now_ms()
        self._pipeline = Pipeline(config, MemoryLog(clock), now_ms, partitions=partitions)
        self._emitters: list[Emitter] = []
        self._routers: list[Router] = []
        self._flush_at_ms = now_ms + FLUSH_MS
        self._stats_at_ms = now_ms
        self._members = threading.Lock()
        self._woken = threading.Event()
        self._closing = False
        self._published = threading.Event()
        self._thread = threading.Thread(target=self._run, name="routecast-embedded", daemon=True)
        self._thread.start()

    def emitter(self, rng: random.Random) -> Emitter:
        """A new emitter of this pipeline."""
        emitter = Emitter(self.clock, rng, wake=self._wake)
        with self._members:
            self._emitters.append(emitter)
        return emitter

    def router(self, service: str, rng: random.Random, policy: str | None = None) -> Router:
        """A new router of this pipeline, with an emitter of its own."""
        router = Router(self.config, service, self.emitter(rng), self.clock, rng, policy=policy)
        with self._members:
            self._routers.append(router)
            self._stats_at_ms = self.clock.now_ms()
        self._woken.set()
        return router

    def wait_for_snapshot(self, timeout_s: float) -> bool:
        """Wait until a snapshot was published; whether there is one."""
        return self._published.wait(timeout_s)

    def release(self, emitter: Emitter, router: Router | None = None) -> None:
        """Take an emitter, and its router, out of the pipeline after delivering what waits."""
        with self._members:
            self._pipeline.send(emitter)
            with contextlib.suppress(ValueError):
                self._emitters.remove(emitter)
            if router is not None:
                with contextlib.suppress(ValueError):
                    self._routers.remove(router)

    def close(self, timeout_s: float) -> bool:
        """Deliver what waits and stop; whether the thread ended in time."""
        self._closing = True
        self._woken.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _wake(self, urgent: bool) -> None:  # noqa: FBT001 - the emitter's callback
        if urgent:
            self._woken.set()

    def _run(self) -> None:
        while not self._closing:
            self._woken.wait(LINGER_MS / 1000)
            self._woken.clear()
            try:
                self.step()
            except Exception:  # noqa: BLE001 - the thread must go on; what failed is logged and tried again
                _log.exception("the embedded pipeline skipped a step; routers go on with their last snapshot")

    def step(self) -> None:
        """Do everything that is due."""
        now_ms = self.clock.now_ms()
        with self._members:
            emitters, routers = list(self._emitters), list(self._routers)
            for router in routers:
                router.end_overdue()
                if now_ms >= self._stats_at_ms:
                    router.emitter.emit(router.stats())
            for emitter in emitters:
                self._pipeline.send(emitter)
        if now_ms >= self._stats_at_ms:
            self._stats_at_ms = now_ms + STATS_MS
        self._pipeline.fold()
        if now_ms >= self._flush_at_ms:
            self._flush_at_ms = now_ms + FLUSH_MS
            self._pipeline.flush()
            self._pipeline.lead(now_ms)
        news = self._pipeline.news()
        for router in routers:
            deliver(router, news)
        if news.snapshots:
            self._published.set()
