"""The leader on Kafka: tails the fold's changelog and what operators and routers say, ticks, publishes, checkpoints.

Delivery: reads without a group, from the start of the changelog; its claim, a record of its own, orders it after its predecessors.
Ordering: a tick is confirmed by the log before its snapshots are written. Lost in a crash: at most the ticks since the last one; the
next leader continues from the newest checkpoint and from the rows.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from importlib import metadata
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from routecast.analytics.merge import Merge
from routecast.models.config import Config
from routecast.models.errors import DecodeError
from routecast.models.events import Control, encode_events
from routecast.models.metrics import CLOSED_WINDOWS
from routecast.models.tick import Claim, encode_tick
from routecast.streams.brokers.kafka import client_options, pace, topic_name
from routecast.streams.brokers.reading import PartitionReader, consumer, decoded, record_of
from routecast.streams.clock import Clock
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.leadership.elector import Elector
from routecast.streams.leadership.leader import Leader, Message, trips_of, word_of
from routecast.streams.leadership.planner import Planner
from routecast.streams.leadership.recalling import recalling
from routecast.streams.leadership.rest import Rest
from routecast.streams.measures import Timing
from routecast.streams.memory import Record
from routecast.streams.topics import CONTROL, DEADLETTER, INSIGHTS, METRICS, MOST_ROW_BYTES, PANES, STATE, TICKS, TRIPS

CHECKPOINT_MS = 30_000.0
_LOOK_MS = 250.0
"""Least time between looks."""
_FAR_BACK_MS = 60_000.0
"""Set back further than this, a clock was ahead for so long that panes of now have expired already."""
_RETRY_S = 0.5
_STOP_S = 2.0

_log = logging.getLogger(__name__)


class Leading:
    """Leads while it is told to; starts anew when something fails.

    Args:
        config: services, targets, intervals, and the log.
        clock: time of ticks.
        worker: name in claims.
        alive: called before anything is published; ends the process that stood still for too long.
        quiet: called after each tick, when nothing is due for a while.
    """

    def __init__(self, config: Config, clock: Clock, worker: str, alive: Callable[[], None], quiet: Callable[[], None] = lambda: None) -> None:
        self._config = config
        self._clock = clock
        self._worker = worker
        self._alive, self._quiet = alive, quiet
        self._task: asyncio.Task[None] | None = None
        self.term = -1
        """Of the current leadership; −1 while it does not lead."""
        self.leader: Leader | None = None
        """While it leads."""
        self.ticks = Timing()
        """How long each took, publishing included."""
        self.buried = 0
        """Records that it gave to the dead letters."""

    def begin(self) -> None:
        """Take over, unless it leads already."""
        if self._task is None:
            self._task = asyncio.create_task(self._lead_always())

    async def end(self) -> None:
        """Give up leading."""
        task, self._task, self.term, self.leader = self._task, None, -1, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _lead_always(self) -> None:
        while self._task is asyncio.current_task():  # libraries swallow cancellations now and then
            try:
                await self._lead()
            except Exception:  # noqa: BLE001 - the log may be away for long, and nobody else will lead meanwhile
                _log.warning("leading failed, starting anew", exc_info=True)
                self.term, self.leader = -1, None
                await asyncio.sleep(_RETRY_S)

    async def _lead(self) -> None:
        settings = self._config.kafka
        async with producer(self._config) as out, consumer(settings) as client:
            session = _Session(self._config, out, client)
            read = PartitionReader(client, settings)
            checkpoint = decoded((await read.newest(STATE, [b"checkpoint"]))[0].get(b"checkpoint"), Checkpoint.decode)
            ends = {topic: (await read.ends(topic, [0]))[0] for topic in (CONTROL, TRIPS)}
            anew = [topic for topic, heard in ((CONTROL, checkpoint.control), (TRIPS, checkpoint.trips)) if heard >= ends[topic]] if checkpoint else []
            if anew:
                _log.warning("topic %r was made anew: its words count from the first on, and the checkpoint that heard others is left out", anew[0])
                checkpoint = None
            words = [record async for record in read.stretch(CONTROL, 0, 0, ends[CONTROL])]
            session.closed = await self._closed(read)
            places = [TopicPartition(topic_name(settings, PANES), partition) for partition in await read.partitions(PANES)]
            merge = await session.merged(places)
            await session.log_configuration()
            self._alive()
            self.leader = session.leader = await self._claimed(session, merge, checkpoint)
            for word in words:  # what is drained must be so in the first snapshot already
                await session.hear(word)
            elector = Elector(self._config, self._clock, self._worker)
            with closing(Planner(self._config, self._clock)) as session.planner, closing(elector) as session.elector:
                async with recalling(settings, session.leader.windows):
                    await self._serve(session, places)

    async def _closed(self, read: PartitionReader) -> int:
        """Partitions of the closed windows."""
        found = len(await read.partitions(METRICS))
        if found < len(CLOSED_WINDOWS):
            _log.warning("topic %r has %d partitions, not %d: `routecast topics` says how to mend that", METRICS, found, len(CLOSED_WINDOWS))
        return found

    async def _claimed(self, session: _Session, merge: Merge, checkpoint: Checkpoint | None) -> Leader:
        now_ms = self._clock.now_ms()
        claim = Claim(at_ms=now_ms, worker=self._worker, config_version=self._config.version, version=metadata.version("routecast"))
        offset = await session.publish(Message(TICKS, b"", encode_tick(claim)))
        before = checkpoint.term if checkpoint else -1
        self.term = offset if offset > before else before + 1 + offset  # where ticks were made anew, routers would take the new leader for an old one
        _log.info("leading with term %d from %s", self.term, f"checkpoint {checkpoint.term}/{checkpoint.seq}" if checkpoint else "the rows alone")
        return Leader(self._config, self.term, now_ms, merge, checkpoint)

    async def _serve(self, session: _Session, places: list[TopicPartition]) -> None:
        leader, client = session.leader, session.client
        control, trips = (TopicPartition(topic_name(self._config.kafka, topic), 0) for topic in (CONTROL, TRIPS))
        positions = {place: await client.position(place) for place in places}
        client.assign([*places, control, trips])
        for place, position in positions.items():
            client.seek(place, position)
        client.seek(control, leader.control + 1)
        client.seek(trips, leader.trips + 1)
        period_ms = float(self._config.intervals.snapshot_ms)
        next_ms, look_ms, fresh, rest = 0.0, 0.0, False, Rest()
        while not self._outdated(client, places):
            now_ms = self._clock.now_ms()
            back_ms = next_ms - period_ms - now_ms
            if back_ms > _FAR_BACK_MS:
                _log.warning("the clock was set back by %.0f s: leading anew", back_ms / 1000.0)
                return
            if back_ms > period_ms:
                next_ms, look_ms = 0.0, 0.0
            wait_ms = max(0.0, min(next_ms, look_ms if fresh else math.inf) - now_ms)
            batch = await client.getmany(timeout_ms=int(min(wait_ms, period_ms)) + 1)
            said = sum([await session.hear(record_of(message)) for message in batch.pop(control, ())]) > 0
            said |= sum([await session.heed(record_of(message)) for message in batch.pop(trips, ())]) > 0
            fresh |= sum([await session.take(leader.take, message) for messages in batch.values() for message in messages]) > 0
            now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
            rested = rest.left_s(now_s) == 0.0  # else a leader of many targets would leave nothing of the loop to the fold
            if fresh and now_ms >= look_ms:
                leader.look(now_ms)
                look_ms, fresh = now_ms + _LOOK_MS, False
                rest.begin(now_s, self._clock.monotonic_s())
            if said or now_ms >= next_ms or (rested and leader.urgent(now_ms)):
                self._alive()
                await session.tick(now_ms)
                self.ticks.add(self._clock.monotonic_s() - now_s)
                self.buried += session.buried
                session.buried = 0
                next_ms = (math.floor(now_ms / period_ms) + 1) * period_ms
                fresh = False
                self._quiet()
                rest.begin(now_s, self._clock.monotonic_s())
            look_ms = max(look_ms, now_ms + rest.left_s(now_s) * 1000.0)

    def _outdated(self, client: AIOKafkaConsumer, places: list[TopicPartition]) -> bool:
        """Whether the changelog has partitions that this leadership does not read."""
        name = topic_name(self._config.kafka, PANES)
        more = len(client.partitions_for_topic(name) or ()) > len(places)
        if more:
            _log.info("topic %r has more partitions now: leading anew, from all of them", name)
        return more


class _Session:
    """One leadership: the leader and how it publishes."""

    leader: Leader
    planner: Planner
    elector: Elector
    buried = 0
    """Records given to the dead letters since somebody asked."""
    closed = 0
    """Partitions of the closed windows; a topic made for fewer windows has fewer."""

    def __init__(self, config: Config, out: AIOKafkaProducer, client: AIOKafkaConsumer) -> None:
        self.client = client
        self._config = config
        self._out = out
        self._checkpoint_ms = 0.0

    async def merged(self, places: list[TopicPartition]) -> Merge:
        """All rows that the changelog holds now."""
        merge = Merge()
        ends = await self.client.end_offsets(places)
        self.client.assign(places)
        await self.client.seek_to_beginning(*places)
        while any([await self.client.position(place) < end for place, end in ends.items()]):
            for messages in (await self.client.getmany(timeout_ms=200)).values():
                for message in messages:
                    await self.take(merge.add, message)
        return merge

    async def take(self, add: Callable[[bytes, bytes | None], bool], message: Any) -> bool:
        """Take a row; whether it completed a cut. What is no row goes to the dead letters."""
        record = record_of(message)
        try:
            return add(record.key, record.value)
        except DecodeError as error:
            await self._bury(f"{PANES}/{message.partition}/{record.offset}", record.value, str(error))
            return False

    async def hear(self, record: Record) -> bool:
        """Take an operator's word; whether it changed anything. What is none goes to the dead letters."""
        if record.offset <= self.leader.control or record.value is None:
            return False
        word, reason = word_of(record.value)
        if word is None:
            await self._bury(f"{CONTROL}/0/{record.offset}", record.value, reason)
        return self.leader.hear(record.offset, word)

    async def heed(self, record: Record) -> bool:
        """Take what routers said; whether it changed anything. What is none of it goes to the dead letters."""
        words, reason = trips_of(record.value or b"")
        if reason:
            await self._bury(f"{TRIPS}/0/{record.offset}", record.value, reason)
        return self.leader.heed(record.offset, record.append_ms, words)

    async def _bury(self, place: str, value: bytes | None, reason: str) -> None:
        self.buried += 1
        await self.publish(Message(DEADLETTER, f"{place}: {reason}"[:1000].encode(), value or b""))

    async def tick(self, now_ms: float) -> None:
        """Tick and publish: what is said once only when a checkpoint knows of it, so that the next leader says it again under the same names."""
        tick, *messages = self.leader.tick(now_ms)
        insights = [message for message in messages if message.topic == INSIGHTS]
        await self.publish(tick)
        await asyncio.gather(*(self.publish(message) for message in messages if message.topic != INSIGHTS))
        if now_ms - self._checkpoint_ms >= CHECKPOINT_MS or self.leader.said_once:
            self._checkpoint_ms = now_ms
            await self.publish(self.leader.checkpoint())
        await asyncio.gather(*(self.publish(message) for message in insights))
        self.planner.turn(self.leader)
        for word in self.elector.turn(self.leader):
            await self._elect(word)

    async def _elect(self, word: Control) -> None:
        """Say what evidence chose; this leader hears it as it hears operators."""
        try:
            await self.publish(Message(CONTROL, word.key.encode(), encode_events([word])))
        except KafkaError as error:
            _log.warning("policy auto stays as it is: %s cannot be written (%r); see `routecast access --role worker`", CONTROL, error)

    async def publish(self, message: Message) -> int:
        partition = min(message.partition, max(0, self.closed - 1))
        sent = await self._out.send_and_wait(topic_name(self._config.kafka, message.topic), message.value, key=message.key or None, partition=partition)
        return int(sent.offset)

    async def log_configuration(self) -> None:
        """For whoever computes snapshots again."""
        key = f"config/{self._config.version}".encode()
        await self.publish(Message(STATE, key, self._config.model_dump_json().encode()))


@asynccontextmanager
async def producer(config: Config, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """A started idempotent producer."""
    client = AIOKafkaProducer(**client_options(config.kafka), enable_idempotence=True, acks="all", max_request_size=MOST_ROW_BYTES, **options)
    pace(client.client)
    await client.start()
    try:
        yield client
    finally:
        with suppress(TimeoutError):
            await asyncio.wait_for(client.stop(), _STOP_S)  # while brokers are away it would wait for what it was given to send
