"""The sink: what is on the log, into InfluxDB.

Delivery: every record at least once. Offsets are committed only after InfluxDB has answered for the lines, and Kafka has confirmed the dead
letters, of everything before them; points overwrite themselves, so InfluxDB holds each once. Dead letters may come twice. Ordering: as in
each partition. Lost in a crash: nothing. Memory: one batch that is being stored and one that waits; nothing is fetched beyond. It joins
no group, so that neither rebalances nor time limits disturb a wait of days; two sinks store the same twice, which does no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from routecast.dashboards.influx.batch import Batch
from routecast.dashboards.influx.writer import Writer
from routecast.dashboards.points.translation import READ, Translator
from routecast.dashboards.points.vitals import SinkVitals
from routecast.models.config import Config
from routecast.models.errors import CheckFailed, Unreachable
from routecast.streams.brokers.access import SINK
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.brokers.reading import PartitionReader, consumer, record_of
from routecast.streams.clock import Clock
from routecast.streams.leadership.leading import producer
from routecast.streams.memory import Record
from routecast.streams.topics import DEADLETTER, Topic

_RECORDS: Final = 200
"""Fetched at once."""
_POLL_MS: Final = 200
_RETRY_S: Final = 2.0
_STOP_S: Final = 10.0
_KEY_CHARACTERS: Final = 1000

_log = logging.getLogger(__name__)


class Sink:
    """Reads, translates, stores, commits; starts anew from what is committed when the log fails.

    Args:
        config: the log, and names that are expected.
        writer: stores lines.
        vitals: what it says of itself.
        clock: monotonic, for the age of batches.
        ready: told whether everything is well, again and again.

    `run` raises Unreachable where somebody has to mend something in InfluxDB or Kafka never answered, CheckFailed where topics are missing.
    """

    def __init__(self, config: Config, writer: Writer, vitals: SinkVitals, clock: Clock, ready: Callable[[bool], None] = lambda _: None) -> None:
        self._config = config
        self._writer = writer
        self._vitals = vitals
        self._clock = clock
        self._ready = ready
        self._translator = Translator(config)
        self._session: _Session | None = None
        self.dead_letters = 0
        """What could not be stored, since the start."""

    @property
    def lag(self) -> dict[Topic, int]:
        """Records that are on the log and not stored yet, by topic; nothing before the log was reached."""
        return self._session.lag_by_topic if self._session else {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until the event is set; then what waits is stored, if that takes no longer than ten seconds."""
        reached = False
        while not stop.is_set():
            try:
                async with consumer(self._config.kafka, group=self._config.kafka.prefix + SINK) as client, producer(self._config) as out:
                    session = _Session(self._config, client)
                    await session.begin()
                    self._session = session
                    reached = True
                    _log.info("storing in InfluxDB from %d partitions", len(session.next))
                    await self._serve(session, out, stop)
            except (KafkaError, OSError) as error:
                await self._wait(error, stop)
            except Unreachable as error:
                if not reached or not isinstance(error.__cause__, KafkaError | OSError):
                    raise
                await self._wait(error, stop)
        self._ready(False)  # noqa: FBT003 - a function of one argument

    async def _wait(self, error: Exception, stop: asyncio.Event) -> None:
        _log.warning("the log cannot be used at present, trying again: %s", error)
        self._ready(False)  # noqa: FBT003 - a function of one argument
        try:
            await asyncio.wait_for(stop.wait(), _RETRY_S)
        except TimeoutError:
            return

    async def _serve(self, session: _Session, out: AIOKafkaProducer, stop: asyncio.Event) -> None:
        """Until it is to stop or the log has grown partitions; one batch is stored while the next one fills."""
        stopped, storing, filling = asyncio.ensure_future(stop.wait()), None, Batch()
        try:
            while not (stop.is_set() or session.grown):
                if storing is not None and storing.done():
                    storing = storing.result()
                if storing is None and filling.due(self._clock.monotonic_s()):
                    storing, filling = asyncio.create_task(self._store(session, out, filling)), Batch()
                self._ready(self._writer.up)
                if filling.full and storing is not None:
                    await asyncio.wait({stopped, storing}, return_when=asyncio.FIRST_COMPLETED)
                    continue
                self._take(await session.more(), filling)
                self._tell(session, filling)
            async with asyncio.timeout(_STOP_S):
                if storing is not None:
                    await storing
                await self._store(session, out, filling)
        except TimeoutError:
            _log.warning("stopped before everything was stored: the next start reads it again")
        finally:
            stopped.cancel()
            if storing is not None:
                storing.cancel()

    def _take(self, waiting: deque[_Read], batch: Batch) -> None:
        """Translate records until the batch is full."""
        while waiting and not batch.full:
            topic, partition, record = waiting.popleft()
            now_s, place = self._clock.monotonic_s(), f"{topic}/{partition}/{record.offset}"
            found = self._translator.record(topic, place, record.value)
            batch.add(found.lines, now_s)
            batch.dead += [(f"{place}: {bad.reason}", bad.raw) for bad in found.bad]
            batch.reach(TopicPartition(topic_name(self._config.kafka, topic), partition), record.offset, now_s)

    def _tell(self, session: _Session, batch: Batch) -> None:
        point = self._vitals.point(session.lag, self.dead_letters)
        if point is not None:
            batch.add([self._translator.line(point)], self._clock.monotonic_s())

    async def _store(self, session: _Session, out: AIOKafkaProducer, batch: Batch) -> None:
        """Store, bury, commit: in this order, since what is committed is not read again."""
        rejected = await self._writer.store(batch.lines)
        dead = batch.dead + [(f"influx/{found.line.destination.bucket}/{found.line.measurement}: {found.reason}", found.line.text) for found in rejected]
        await asyncio.gather(*[await self._bury(out, reason, raw) for reason, raw in dead])
        self.dead_letters += len(dead)
        if batch.next:
            await session.commit(batch.next)

    async def _bury(self, out: AIOKafkaProducer, reason: str, raw: bytes) -> Any:
        _log.warning("cannot be stored: %s", reason[:300])
        return await out.send(topic_name(self._config.kafka, DEADLETTER), raw, key=reason[:_KEY_CHARACTERS].encode(errors="replace"), partition=0)


class _Read(NamedTuple):
    """A record and where it stood."""

    topic: Topic
    partition: int
    record: Record


class _Session:
    """The log, from one connection to its failure."""

    def __init__(self, config: Config, client: AIOKafkaConsumer) -> None:
        self._config = config
        self._client = client
        self._topics: dict[str, Topic] = {topic_name(config.kafka, topic): topic for topic in READ}
        self._waiting: deque[_Read] = deque()
        self.next: dict[TopicPartition, int] = {}
        """Where each partition goes on after what is stored."""

    async def begin(self) -> None:
        """Where the last one stopped. Raises CheckFailed where topics are missing."""
        read = PartitionReader(self._client, self._config.kafka)
        places = [TopicPartition(name, partition) for name, topic in self._topics.items() for partition in await read.partitions(topic)]
        missing = set(self._topics) - {place.topic for place in places}
        if missing:
            raise CheckFailed(f"topics {', '.join(map(repr, sorted(missing)))} do not exist: `routecast topics create` makes them")
        self._client.assign(places)
        self.next = {place: await self._client.position(place) for place in places}

    async def more(self) -> deque[_Read]:
        """What has come; whoever takes it takes it out. Nothing is fetched while something is left."""
        if not self._waiting:
            batches = await self._client.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS)
            self._waiting += [_Read(self._topics[place.topic], place.partition, record_of(item)) for place, items in batches.items() for item in items]
        return self._waiting

    async def commit(self, places: dict[TopicPartition, int]) -> None:
        """Everything before these offsets is stored."""
        await self._client.commit(places)
        self.next.update(places)

    @property
    def grown(self) -> bool:
        """Whether there are partitions that it does not read."""
        return sum(len(self._client.partitions_for_topic(name) or ()) for name in self._topics) > len(self.next)

    @property
    def lag(self) -> int:
        """Records that are on the log and not stored yet, as far as fetches have told."""
        return sum(self.lag_by_topic.values())

    @property
    def lag_by_topic(self) -> dict[Topic, int]:
        """The same, told apart."""
        found = dict.fromkeys(self._topics.values(), 0)
        for place, following in self.next.items():
            found[self._topics[place.topic]] += max(0, (self._client.highwater(place) or 0) - following)
        return found
