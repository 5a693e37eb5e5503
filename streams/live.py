"""`kafka://` live: one background thread with an event loop carries what emitters have to the brokers and what is published to routers.

Delivery: what an emitter gave leaves in its order, one record at a time, until the brokers have confirmed it; an idempotent producer
keeps repetitions out. A record could count twice only where its partition has no leader for longer than 40 s right after it was
written. While the brokers are away emitters keep their newest events and count what they had to drop; routers go on with what they have.
Nothing here is waited for by the application, except `connect` for the first snapshot and `close` for what is still to be sent. A forked
child has no thread: it must connect anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError as Cancelled
from concurrent.futures import TimeoutError as TooLate
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from routecast.models.config import Config
from routecast.models.details import Details
from routecast.models.errors import CheckFailed
from routecast.models.snapshot import RoutingSnapshot, decode_snapshot
from routecast.streams.brokers.kafka import client_options, pace, reach, topic_name, unreachable
from routecast.streams.brokers.outgoing import Outgoing
from routecast.streams.brokers.reading import PartitionReader, consumer, decoded
from routecast.streams.clock import Clock
from routecast.streams.emitter import LINGER_MS, Emitter
from routecast.streams.fork import renew_after_fork, tell_of_inheritance
from routecast.streams.pipeline import STATS_MS
from routecast.streams.router import Router
from routecast.streams.topics import DETAILS, EVENTS, MOST_EVENT_BYTES, SCORES, TRIPS, Topic

_DEADLINES_S = 0.1
_RETRY_S = 0.5
_SILENT_S = 30.0
"""Least time between two complaints about the same trouble."""
_STOP_S = 2.0

_log = logging.getLogger(__name__)


class Live:
    """The connection of a process to its brokers. `close` delivers what waits and stops the thread.

    Raises ConfigError for TLS or password files that cannot be used; brokers that do not answer are no error but a warning in the log.
    """

    def __init__(self, config: Config, clock: Clock) -> None:
        client_options(config.kafka)
        self.config = config
        self.clock = clock
        self._complained_s: dict[str, float] = {}
        self._begin()
        renew_after_fork(self, Live._begin)
        self._loop: asyncio.AbstractEventLoop | None = asyncio.new_event_loop()
        self._urgent, self._joined, self._closing = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="routecast-kafka", daemon=True)
        self._thread.start()

    def _begin(self) -> None:
        self._loop = None
        self._members = threading.Lock()
        self._emitters: list[Outgoing] = []
        self._routers: list[Router] = []
        self._snapshots: dict[str, RoutingSnapshot] = {}
        self._details: dict[str, Details] = {}
        self._heard: dict[str, threading.Event] = {}

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:  # it also ends what aiokafka leaves running
            runner.run(self._main())

    async def _main(self) -> None:
        tasks = [asyncio.create_task(self._again(work)) for work in (self._send, self._receive, self._keep_time)]
        await self._closing.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _again(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it again whenever it fails: brokers come back."""
        while not self._closing.is_set():
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - the thread must go on, whatever a client library raises
                self._complain(error)
                await asyncio.sleep(_RETRY_S)

    def _complain(self, error: Exception) -> None:
        now_s, what = self.clock.monotonic_s(), str(error) or type(error).__name__
        if now_s >= self._complained_s.get(what, 0.0):
            self._complained_s[what] = now_s + _SILENT_S
            _log.warning("%s; trying again, next word about it in %.0f s at the earliest", what, _SILENT_S)

    def emitter(self, rng: random.Random) -> Emitter:
        """A new emitter whose events go to these brokers."""
        emitter = Emitter(self.clock, rng, wake=self._wake)
        with self._members:
            self._emitters.append(Outgoing(emitter, EVENTS))
        return emitter

    def router(self, service: str, rng: random.Random, policy: str | None = None) -> Router:
        """A new router on these brokers, with an emitter of its own; it begins with the newest snapshot this process has."""
        router = Router(self.config, service, Emitter(self.clock, rng, wake=self._wake), self.clock, rng, policy=policy)
        with self._members:
            self._heard.setdefault(service, threading.Event())
            if (snapshot := self._snapshots.get(service)) is not None:
                router.apply(snapshot)
            if (details := self._details.get(service)) is not None:
                router.apply_details(details)
            self._emitters += [Outgoing(router.emitter, EVENTS), Outgoing(router.emitter, TRIPS)]  # whoever may not tell of trips still reports
            self._routers.append(router)
        router.emitter.emit(router.stats())
        self._tell(self._joined.set)
        return router

    def wait_for_snapshot(self, service: str, timeout_s: float) -> bool:
        """Wait until there is a snapshot of this service; whether there is one."""
        return self._heard[service].wait(timeout_s)

    def release(self, emitter: Emitter, router: Router | None, timeout_s: float) -> bool:
        """Deliver what this emitter has waiting and let go of it, and of its router; whether everything was delivered in time."""
        with self._members:
            senders = [sender for sender in self._emitters if sender.emitter is emitter]
            if router in self._routers:
                self._routers.remove(router)
        delivered = self._empty(senders, timeout_s)
        with self._members:
            self._emitters = [sender for sender in self._emitters if sender not in senders]
        return delivered

    def _empty(self, senders: Sequence[Outgoing], timeout_s: float) -> bool:
        if self._loop is None:
            return False
        self._wake(urgent=True)
        waiting = asyncio.run_coroutine_threadsafe(_emptied(senders), self._loop)
        try:
            waiting.result(timeout_s)
        except (TooLate, Cancelled):
            waiting.cancel()
            return False
        return True

    def close(self, timeout_s: float) -> bool:
        """Stop; whether the thread ended in time."""
        self._tell(self._closing.set)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _wake(self, urgent: bool) -> None:  # noqa: FBT001 - the emitter's callback
        if self._loop is None:
            tell_of_inheritance()
        elif urgent:
            self._tell(self._urgent.set)

    def _tell(self, what: Callable[[], None]) -> None:
        """Have the thread do this; in a forked child, and after the end, nobody listens."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(what)

    async def _send(self) -> None:
        settings = self.config.kafka
        options = client_options(settings)
        await reach(settings)
        producer = AIOKafkaProducer(**options, enable_idempotence=True, acks="all", max_request_size=MOST_EVENT_BYTES)
        pace(producer.client)
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            await producer.stop()
            raise unreachable(settings, error) from error
        running: dict[Outgoing, asyncio.Task[None]] = {}
        try:
            await self._pump(producer, running)
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), _STOP_S)  # it delivers what it was given, unless the brokers are away
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    async def _pump(self, producer: AIOKafkaProducer, running: dict[Outgoing, asyncio.Task[None]]) -> None:
        """Send what emitters have, each its own records one after the other; raises what a sender raised."""
        names = {topic: topic_name(self.config.kafka, topic) for topic in (TRIPS, EVENTS)}
        partitions: dict[Topic, list[int]] = {TRIPS: [0]}  # that topic is not asked for: who may not see it still reports
        while True:
            with self._members:
                emitters = list(self._emitters)
            for sender in emitters:
                if sender.has_more and sender not in running:
                    if sender.topic not in partitions:  # only where there is something to send: programs without routers may not see trips
                        partitions[sender.topic] = sorted(await producer.partitions_for(names[sender.topic]))
                    partition = sender.partition(partitions[sender.topic])
                    running[sender] = asyncio.create_task(sender.send(producer, names[sender.topic], partition))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), LINGER_MS / 1000)
            self._urgent.clear()
            for sender in [sender for sender, task in running.items() if task.done()]:
                self._done(sender, running.pop(sender))

    def _done(self, sender: Outgoing, task: asyncio.Task[None]) -> None:
        """Raise what a sender raised; where this login may not announce anything, events go on all the same."""
        try:
            task.result()
        except TopicAuthorizationFailedError:
            if sender.topic != TRIPS:
                raise
            sender.give_up()
            why = f"this login may not write to {topic_name(self.config.kafka, TRIPS)!r}; `routecast access --role router` prints what allows it"
            self._complain(CheckFailed(f"nobody hears what trips here: {why}"))

    async def _receive(self) -> None:
        settings = self.config.kafka
        if not self._services():
            await self._joined.wait()
        async with consumer(settings, fetch_max_wait_ms=500) as client:
            read = PartitionReader(client, settings)
            while True:  # with one client, whoever joins: its library cannot always be stopped
                self._joined.clear()
                services = self._services()
                begin: dict[Topic, int] = {}
                for topic in (SCORES, DETAILS):
                    found, begin[topic] = await read.newest(topic, sorted(services))
                    for value in found.values():
                        self._take(topic, value)
                async for topic, record in read.follow(begin, until=self._joined):
                    if record.key in services and record.value is not None:
                        self._take(topic, record.value)

    def _services(self) -> set[bytes]:
        with self._members:
            return {router.name_of_service.encode() for router in self._routers}

    def _take(self, topic: Topic, value: bytes) -> None:
        """Hand a published record to the routers it concerns; one that cannot be read is left out."""
        if topic == SCORES and (snapshot := decoded(value, decode_snapshot)) is not None:
            with self._members:
                known = self._snapshots.get(snapshot.service)
                if known is None or snapshot.version > known.version:
                    self._snapshots[snapshot.service] = snapshot
                for router in self._routers:
                    router.apply(snapshot)
                self._heard.setdefault(snapshot.service, threading.Event()).set()
        elif topic == DETAILS and (details := decoded(value, Details.decode)) is not None:
            with self._members:
                self._details[details.service] = details
                for router in self._routers:
                    router.apply_details(details)

    async def _keep_time(self) -> None:
        stats_s = self.clock.monotonic_s()
        while True:
            await asyncio.sleep(_DEADLINES_S)
            with self._members:
                routers = list(self._routers)
            for router in routers:
                router.end_overdue()
            if self.clock.monotonic_s() >= stats_s:
                stats_s = self.clock.monotonic_s() + STATS_MS / 1000
                for router in routers:
                    router.emitter.emit(router.stats())


async def _emptied(senders: Sequence[Outgoing]) -> None:
    for sender in senders:
        await sender.emptied()
