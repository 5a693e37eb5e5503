"""The contract of a log, written once and held by every log: the embedded one and Kafka."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Iterator
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from routecast.models.config import Kafka
from routecast.streams.brokers.kafka import client_options, topic_name
from routecast.streams.brokers.reading import PartitionReader, consumer
from routecast.streams.memory import MemoryLog, Record

Result = TypeVar("Result")


class _Clock:
    """Time as the test sets it."""

    def __init__(self) -> None:
        self.ms = 1000.0

    def now_ms(self) -> float:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000


class Log(Protocol):
    """What the contract speaks of."""

    def append(self, topic: Any, value: bytes | None, *, key: bytes = b"", partition: int = 0) -> int:
        """Append a record; its offset."""
        ...

    def read(self, topic: Any, partition: int, offset: int, limit: int = 1000) -> list[Record]:
        """Records from an offset on."""
        ...

    def end(self, topic: Any, partition: int) -> int:
        """The next offset."""
        ...


class KafkaLog:
    """Topics of a broker, as our clients write and read them, for callers of any thread."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._loop = asyncio.new_event_loop()
        self._reading = threading.Lock()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._run(self._open())

    def _run(self, work: Awaitable[Result]) -> Result:
        async def done() -> Result:
            return await work

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(30)

    async def _open(self) -> None:
        admin = AIOKafkaAdminClient(**client_options(self._kafka))
        await admin.start()
        names = [topic_name(self._kafka, topic) for topic in ("events", "panes", "ticks", "metrics")]
        await admin.create_topics([NewTopic(name, 3, 1, topic_configs={"message.timestamp.type": "LogAppendTime"}) for name in names])
        await admin.close()
        self._producer = AIOKafkaProducer(**client_options(self._kafka), enable_idempotence=True, acks="all")
        await self._producer.start()
        self._consumer = consumer(self._kafka)
        self._reader = PartitionReader(await self._consumer.__aenter__(), self._kafka)

    def close(self) -> None:
        """Let go of the broker."""
        self._run(self._producer.stop())
        self._run(self._consumer.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def append(self, topic: Any, value: bytes | None, *, key: bytes = b"", partition: int = 0) -> int:
        """Append a record; its offset."""
        return int(self._run(self._producer.send_and_wait(topic_name(self._kafka, topic), value, key=key, partition=partition)).offset)

    def read(self, topic: Any, partition: int, offset: int, limit: int = 1000) -> list[Record]:
        """Records from an offset on."""

        async def stretch() -> list[Record]:
            end = (await self._reader.ends(topic, [partition]))[partition]
            return [record async for record in self._reader.stretch(topic, partition, offset, min(end, offset + limit))]

        with self._reading:
            return self._run(stretch())

    def end(self, topic: Any, partition: int) -> int:
        """The next offset."""
        with self._reading:
            return self._run(self._reader.ends(topic, [partition]))[partition]


@pytest.fixture
def clock() -> _Clock:
    """The embedded log's clock; a broker has its own."""
    return _Clock()


@pytest.fixture(params=["memory", "kafka"])
def log(request: pytest.FixtureRequest, clock: _Clock) -> Iterator[Log]:
    """The log under test, empty."""
    if request.param == "memory":
        yield MemoryLog(clock)
        return
    log = KafkaLog(request.getfixturevalue("kafka"))
    yield log
    log.close()


def _all(log: Log, topic: Any, partition: int, limit: int = 1000) -> list[tuple[int, bytes | None]]:
    """Everything of a partition, read in pieces as a consumer would."""
    found: list[tuple[int, bytes | None]] = []
    while records := log.read(topic, partition, found[-1][0] + 1 if found else 0, limit):
        found += [(record.offset, record.value) for record in records]
    return found


class TestLog:
    """What every log must do."""

    def test_a_partition_keeps_the_order_of_its_appends(self, log: Log) -> None:
        """Offsets are dense from 0."""
        assert [log.append("events", value, partition=1) for value in (b"a", b"b", b"c")] == [0, 1, 2]
        assert _all(log, "events", 1) == [(0, b"a"), (1, b"b"), (2, b"c")]
        assert log.end("events", 1) == 3

    def test_partitions_and_topics_know_nothing_of_each_other(self, log: Log) -> None:
        """Random appends: each has its own order and its own offsets."""
        luck, truth = random.Random(1), dict[tuple[str, int], list[bytes]]()
        for i in range(500):
            place = (luck.choice(["events", "panes", "ticks"]), luck.randrange(3))
            assert log.append(place[0], b"%d" % i, partition=place[1]) == len(truth.setdefault(place, []))
            truth[place].append(b"%d" % i)
        assert {place: [value for _, value in _all(log, *place)] for place in truth} == truth
        assert {place: log.end(*place) for place in truth} == {place: len(values) for place, values in truth.items()}

    def test_append_times_never_go_back(self, log: Log, clock: _Clock) -> None:
        """Even when the clock does."""
        for ms in (1000.0, 2000.0, 500.0, 1999.0, 2500.0):
            clock.ms = ms
            log.append("events", b"")
        times = [record.append_ms for record in log.read("events", 0, 0)]
        assert times[0] >= 1000.0
        assert all(a <= b for a, b in pairwise(times))
        assert times[-1] >= 2500.0

    @pytest.mark.parametrize("limit", [1, 2, 3, 10, 11])
    def test_reading_goes_on_where_it_stopped(self, log: Log, limit: int) -> None:
        """In pieces of at most `limit`, nothing twice and nothing left out."""
        for i in range(10):
            log.append("events", bytes([i]))
        assert len(log.read("events", 0, 0, limit)) == min(limit, 10)
        assert _all(log, "events", 0, limit) == [(i, bytes([i])) for i in range(10)]
        assert [record.offset for record in log.read("events", 0, 4, 3)] == [4, 5, 6]

    def test_there_is_nothing_beyond_the_end(self, log: Log) -> None:
        """Until something comes."""
        assert (log.read("metrics", 0, 0), log.end("metrics", 0)) == ([], 0)
        log.append("events", b"a")
        assert log.read("events", 0, 1) == log.read("events", 0, 100) == []
        log.append("events", b"b")
        assert [record.value for record in log.read("events", 0, 1)] == [b"b"]

    def test_what_was_read_can_be_read_again(self, log: Log) -> None:
        """Readers do not disturb each other."""
        log.append("events", b"a", key=b"k")
        assert log.read("events", 0, 0) == log.read("events", 0, 0)

    def test_a_tombstone_has_a_key_and_no_value(self, log: Log) -> None:
        """What compaction will remove; an empty value is none."""
        log.append("panes", None, key=b"pane/0/0/0")
        log.append("panes", b"", key=b"pane/0/0/1")
        assert [(record.key, record.value) for record in log.read("panes", 0, 0)] == [(b"pane/0/0/0", None), (b"pane/0/0/1", b"")]

    def test_appends_of_many_threads_lose_nothing(self, log: Log) -> None:
        """Every record gets the offset that its appender was told, and each appender's order is kept."""
        told: list[dict[int, bytes]] = [{} for _ in range(4)]

        def work(name: int) -> None:
            for i in range(250):
                value = b"%d-%d" % (name, i)
                told[name][log.append("events", value)] = value

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = _all(log, "events", 0)
        assert [offset for offset, _ in found] == list(range(1000))
        assert dict(found) == told[0] | told[1] | told[2] | told[3]
        assert all(list(offsets) == sorted(offsets) for offsets in told)

    def test_a_reader_follows_appends_of_other_threads(self, log: Log) -> None:
        """It sees every record once, in order, while they come."""
        seen: list[int] = []

        def follow() -> None:
            while len(seen) < 1000:
                seen.extend(record.offset for record in log.read("events", 0, len(seen), 7))

        threads = [threading.Thread(target=follow), *(threading.Thread(target=lambda: [log.append("events", b"x") for _ in range(250)]) for _ in range(4))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == list(range(1000))


@pytest.mark.parametrize("kept", [0, 3, 10, 100])
def test_trimming_drops_the_oldest_and_keeps_offsets(clock: _Clock, kept: int) -> None:
    """A reader that is behind goes on at the oldest that is left."""
    log = MemoryLog(clock)
    for i in range(10):
        log.append("events", bytes([i]))
        log.append("panes", b"x", partition=1)
    log.trim(kept)
    left = list(range(max(0, 10 - kept), 10))
    assert [record.offset for record in log.read("events", 0, 0)] == [record.offset for record in log.read("panes", 1, 0)] == left
    assert [record.offset for record in log.read("events", 0, 9)] == left[-1:]
    assert (log.end("events", 0), log.append("events", b"")) == (10, 10)
    assert log.read("events", 0, 0)[-1].offset == 10


def test_roomy_topics_keep_more_while_their_bytes_fit(clock: _Clock) -> None:
    """Up to so many bytes in a partition, and never fewer than all others keep."""
    log = MemoryLog(clock)
    for topic in ("events", "panes"):
        for number in range(10):
            log.append(topic, bytes(10), partition=number % 2)
    log.trim(2, roomy={"events": 45})
    assert [len(log.read(topic, partition, 0)) for topic in ("events", "panes") for partition in (0, 1)] == [4, 4, 2, 2]
    log.trim(2, roomy={"events": 1})
    assert [record.offset for record in log.read("events", 0, 0)] == [3, 4]
