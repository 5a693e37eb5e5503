"""The worker on Faust: an agent that folds events, a table whose changelog holds the rows, an agent whose partition makes the leader.

Delivery: at least once from Kafka, exactly once in the rows, see `folding`. Ordering: one agent, one event at a time. Lost in a crash:
nothing. A worker that stood still longer than the session timeout ends itself before it writes anything: another has its partitions.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import faust
from faust.types import TP

from routecast.analytics.fold import Record as Row
from routecast.models.config import Config
from routecast.models.vitals import encode_vitals
from routecast.streams.brokers.faust_app import app_of, pace_clients
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.brokers.reading import PartitionReader, reader
from routecast.streams.clock import Clock
from routecast.streams.exposition import serving
from routecast.streams.folding import Folding
from routecast.streams.garbage import Garbage
from routecast.streams.leadership.leading import Leading
from routecast.streams.measures import Measures, Timing
from routecast.streams.memory import Record
from routecast.streams.notifications.notifying import Notifying
from routecast.streams.notifications.posting import poster
from routecast.streams.notifications.webhook import webhook_url
from routecast.streams.topics import CONTROL, DEADLETTER, EVENTS, MOST_EVENT_BYTES, PANES, VITALS
from routecast.streams.vitals import WorkerVitals

FLUSH_MS = 500.0
"""Rows are written this often."""
_BEFORE_TICK_MS = 150.0
"""Flushes are timed so that rows reach the leader this long before it ticks."""
_PACE_S = 0.1
_SILENT_S = 2.0
"""How long a partition may be silent before somebody looks whether the log holds more."""
_RETRY_S = 0.5
_COUNT_S = 60.0
STALLED = 75
"""Exit code of a worker that stood still for too long."""
_LEAVE_S = 8.0
"""Longest time for leaving in good order."""


_log = logging.getLogger(__name__)


class Worker:
    """Everything one worker process does; `app` is what Faust runs.

    Args:
        config: targets, intervals and the log; the topics exist.
        clock: time of flushes and ticks.
        ready: called with True when all partitions of this worker can be folded, with False when that is over.
        metrics: listens where what it tells of itself is asked for.
    """

    def __init__(self, config: Config, clock: Clock, ready: Callable[[bool], None], metrics: socket.socket | None = None) -> None:
        settings = config.kafka
        self._settings = settings
        self._clock = clock
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self.app = app_of(settings)
        raw: Any = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
        events = self.app.topic(topic_name(settings, EVENTS), **raw)
        control = self.app.topic(topic_name(settings, CONTROL), **raw)
        self._dead = self.app.topic(topic_name(settings, DEADLETTER), **raw)
        self._told = self.app.topic(topic_name(settings, VITALS), **raw)
        changelog = self.app.topic(topic_name(settings, PANES), internal=True, **raw)
        self._table = self.app.Table("panes", key_type=bytes, value_type=bytes, changelog_topic=changelog)
        self.folding = Folding(clock, self._write, self._bury)
        self._garbage = Garbage(clock)
        self.leading = Leading(config, clock, self.name, self.still_alive, self._garbage.quiet)
        self._measures = Measures(config, clock, self.folding, self.leading)
        self._flushes = Timing()
        self._vitals = WorkerVitals(self.name, clock, self._flushes, self.leading.ticks)
        self._buried = 0
        self._seen_s = clock.monotonic_s()
        self._ready = False
        self._tell_ready = ready
        self._generation = 0
        self._recovery: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self.app.agent(events)(self._fold)
        self.app.agent(control)(self._own_control)
        self.app.on_partitions_assigned.connect(self._assigned)
        self.app.on_partitions_revoked.connect(self._revoked)
        self.app.on_before_shutdown.connect(self._leave)
        self.app.task(self._flush_always)
        self.app.task(self._catch_up_always)
        self._metrics = metrics
        self.app.task(self._tell)
        self.app.task(self._say)
        url = webhook_url(config.alerts)
        if url is not None:
            notifying = Notifying(config, lambda: poster(url, config.alerts.timeout_ms), clock, random.Random())
            self.app.task(notifying.run)

    async def _tell(self) -> None:
        if self._metrics is None:
            return
        async with serving(self._metrics, lambda: self._measures.samples(self._ends(), self._buried), lambda: self._ready):
            while not self.app.should_stop:
                counted = self._measures.take()  # also while nobody asks
                await asyncio.sleep(_COUNT_S if counted else _PACE_S)

    async def _say(self) -> None:
        while not self.app.should_stop:
            await asyncio.sleep(self._vitals.wait_s())
            ends = self._ends()
            lag = sum(max(0, ends[partition] - reached - 1) for partition, reached in self.folding.reached.items() if partition in ends)
            vitals = self._vitals.take(lag, self.folding.folded, self._buried + self.leading.buried)
            self._told.send_soon(key=self.name.encode(), value=encode_vitals(vitals), partition=0)

    def _ends(self) -> dict[int, int]:
        """Of the owned partitions, where the log ends as far as fetches have told."""
        events, consumer = topic_name(self._settings, EVENTS), self.app.consumer
        found: dict[int, int | None] = {partition: consumer.highwater(TP(events, partition)) for partition in self.folding.owned}
        return {partition: end for partition, end in found.items() if end is not None}

    async def _fold(self, stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            self.folding.fold(message.partition, Record(message.offset, message.timestamp * 1000.0, b"", event.value))

    async def _own_control(self, stream: AsyncIterable[object]) -> None:
        """Its partition makes the leader, which reads the records itself."""
        async for _ in stream:
            pass

    async def _catch_up_always(self) -> None:
        while not self.app.should_stop:
            try:
                async with self._opened() as read:
                    while not self.app.should_stop:
                        await self._some_time()
                        await self.folding.catch_up(read)
            except Exception:  # noqa: BLE001 - the log may be away for long, and nobody else would read what is missing
                _log.warning("what was delivered too early cannot be read again yet, trying again", exc_info=True)
                await asyncio.sleep(_RETRY_S)

    async def _some_time(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.folding.behind.wait(), _SILENT_S)

    def _opened(self) -> AbstractAsyncContextManager[PartitionReader]:
        return reader(self._settings, group=self.app.conf.id)

    def begin_watch(self) -> None:
        """Keep time from the first partitions on: none can be lost before, and joining a group may take longer than its sessions."""
        if self._watch is None:
            self._seen_s = self._clock.monotonic_s()
            self._watch = asyncio.create_task(self._keep_time())

    async def _assigned(self, *sent: Any, **_: Any) -> None:
        self.begin_watch()
        pace_clients(self.app)
        assigned: set[TP] = sent[1]
        events = topic_name(self._settings, EVENTS)
        self._generation = self.folding.own(tp.partition for tp in assigned if tp.topic == events)
        self._set_ready(ready=False)
        if self._recovery is not None:
            self._recovery.cancel()
        self._recovery = asyncio.create_task(self._recover(self._generation))
        if any(tp.topic == topic_name(self._settings, CONTROL) for tp in assigned):
            self.leading.begin()
        else:
            await self.leading.end()

    async def _recover(self, generation: int) -> None:
        await self.folding.recover(generation, self._opened)
        if generation == self._generation:
            self._garbage.settle()
            self._set_ready(ready=True)

    def _set_ready(self, *, ready: bool) -> None:
        if ready:
            _log.info("ready: partitions %s", sorted(self.folding.owned))
        if ready != self._ready:
            self._ready = ready
            self._tell_ready(ready)

    async def _revoked(self, *_: Any, **__: Any) -> None:
        self._generation = self.folding.own(())
        self._set_ready(ready=False)

    async def _keep_time(self) -> None:
        while not self.app.should_stop:
            self.still_alive()
            self._seen_s = self._clock.monotonic_s()
            await asyncio.sleep(_PACE_S)

    async def _flush_always(self) -> None:
        while not self.app.should_stop:
            now_ms = self._clock.now_ms()
            await asyncio.sleep(max(0.0, FLUSH_MS - (now_ms + _BEFORE_TICK_MS) % FLUSH_MS) / 1000.0)
            await self._flush()
            if self.leading.leader is None:
                self._garbage.quiet()

    async def _flush(self) -> None:
        began_s = self._clock.monotonic_s()
        try:
            await self.folding.flush()
        except Exception:  # noqa: BLE001 - whatever it was, the log may lack rows now
            _log.exception("rows could not be written: this worker ends, its partitions are rebuilt from the log by the next owner")
            os._exit(STALLED)
        self._flushes.add(self._clock.monotonic_s() - began_s)

    async def _leave(self, *_: object, **__: object) -> None:
        self._set_ready(ready=False)
        await self.leading.end()
        await self._flush()

    def leave_at_once(self, *, failed: bool) -> None:
        """End the process, whatever is still to be written: the next owner rebuilds it from the log."""
        self._set_ready(ready=False)
        _log.warning("the brokers have not let this worker go within %.0f s of being told to stop: it ends, nothing is lost", _LEAVE_S)
        os._exit(STALLED if failed else 0)

    def still_alive(self) -> None:
        """End the process if its loop stood still longer than the session timeout."""
        stood_s = self._clock.monotonic_s() - self._seen_s
        if stood_s * 1000.0 > self._settings.session_timeout_ms:
            _log.error("stood still for %.1f s, longer than the session timeout: somebody else has the partitions, this worker ends", stood_s)
            os._exit(STALLED)

    async def _write(self, partition: int, rows: Iterable[Row]) -> None:
        self.still_alive()
        await self._learn(partition)
        await asyncio.gather(
            *(self._table.send_changelog(partition, key, value, key_serializer="raw", value_serializer="raw") for key, value in rows)
        )  # fmt: skip

    async def _learn(self, partition: int) -> None:
        """Have the producer learn of a partition that was added: Faust's would crash where it does not know it."""
        producer: Any = self.app.producer  # Faust does not show the client inside
        client = producer._producer.client  # noqa: SLF001
        if partition not in (client.cluster.partitions_for_topic(topic_name(self._settings, PANES)) or ()):
            await client.force_metadata_update()

    def _bury(self, place: str, value: bytes, reason: str) -> None:
        self._buried += 1
        self._dead.send_soon(key=f"{place}: {reason}"[:1000].encode(), value=value[:MOST_EVENT_BYTES], partition=0)


class Runner(faust.Worker):
    """Runs a worker until a signal comes; then it ends soon, also while no broker answers: Faust would wait for them for 20 minutes."""

    def __init__(self, worker: Worker, **options: Any) -> None:
        super().__init__(worker.app, **options)
        self._worker = worker

    async def stop(self) -> None:
        """Leave in good order where that is quick."""
        self.loop.call_later(_LEAVE_S, lambda: self._worker.leave_at_once(failed=self.crashed))
        await super().stop()
