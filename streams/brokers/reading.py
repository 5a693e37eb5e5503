"""Reading stretches of Kafka partitions with a plain consumer that joins no group: for recovery, for leaders, for people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from routecast.models.config import Kafka
from routecast.models.errors import RoutecastError
from routecast.streams.brokers.kafka import METADATA_MS, client_options, pace, reach, topic_name, unreachable
from routecast.streams.memory import Record
from routecast.streams.topics import Topic

Decoded = TypeVar("Decoded")

_WAIT_MS = 500
_PREFETCH_BYTES = 1 << 20
"""Of each partition; a larger record comes alone."""
_STOP_S = 1.0
_BACK = 64
"""Records to look back at first for the newest of each key."""


class PartitionReader:
    """Reads given stretches of any partitions of one cluster."""

    def __init__(self, consumer: AIOKafkaConsumer, settings: Kafka) -> None:
        self._consumer = consumer
        self._settings = settings

    async def stretch(self, topic: Topic, partition: int, first: int, end: int) -> AsyncIterator[Record]:
        """The records of a partition from offset `first` to before `end`, or from the oldest that is kept."""
        place = TopicPartition(topic_name(self._settings, topic), partition)
        self._consumer.assign([place])
        self._consumer.seek(place, max(first, (await self._consumer.beginning_offsets([place]))[place]))
        while await self._consumer.position(place) < end:
            for message in (await self._consumer.getmany(place, timeout_ms=_WAIT_MS)).get(place, ()):
                if message.offset >= end:
                    return
                yield record_of(message)

    async def follow(self, begin: Mapping[Topic, int], until: asyncio.Event) -> AsyncIterator[tuple[Topic, Record]]:
        """The records of the one partition of each of these topics from an offset on, as they come, until the event is set."""
        topics = {TopicPartition(topic_name(self._settings, topic), 0): topic for topic in begin}
        self._consumer.assign(list(topics))
        for place, topic in topics.items():
            self._consumer.seek(place, begin[topic])
        while not until.is_set():
            for place, messages in (await self._consumer.getmany(timeout_ms=_WAIT_MS)).items():
                for message in messages:
                    yield topics[place], record_of(message)

    async def ends(self, topic: Topic, partitions: Sequence[int]) -> dict[int, int]:
        """Per partition, the offset that the next record will get."""
        places = {partition: TopicPartition(topic_name(self._settings, topic), partition) for partition in partitions}
        found = await self._consumer.end_offsets(list(places.values()))
        return {partition: found[place] for partition, place in places.items()}

    async def since(self, topic: Topic, partition: int, at_ms: float) -> int:
        """The offset of the first record of a partition that was appended at this time (epoch ms) or later; the end where there is none."""
        place = TopicPartition(topic_name(self._settings, topic), partition)
        found = (await self._consumer.offsets_for_times({place: int(at_ms)}))[place]
        return int(found.offset) if found is not None else (await self.ends(topic, [partition]))[partition]

    async def committed(self, topic: Topic, partition: int) -> int:
        """The offset at which the group of this reader goes on; 0 where it never committed."""
        return await self._consumer.committed(TopicPartition(topic_name(self._settings, topic), partition)) or 0

    async def partitions(self, topic: Topic) -> list[int]:
        """Partitions of a topic; none where it does not exist."""
        name = topic_name(self._settings, topic)
        if name not in await self._consumer.topics():
            return []
        first = TopicPartition(name, 0)
        self._consumer.assign([first])
        await self._consumer.end_offsets([first])  # a client knows the partitions of a topic only once it deals with it
        return sorted(self._consumer.partitions_for_topic(name) or ())

    async def newest(self, topic: Topic, keys: Sequence[bytes] | None = None) -> tuple[dict[bytes, bytes], int]:
        """The newest value of each of these keys (of all keys where None) of a topic's one partition, and where to read on.

        Looks back a few records first, then further, since the end of a compacted topic is not compacted yet.
        """
        end = (await self.ends(topic, [0]))[0]
        back = _BACK
        while True:
            found: dict[bytes, bytes] = {}
            async for record in self.stretch(topic, 0, 0 if keys is None else max(0, end - back), end):
                if record.value is None:
                    found.pop(record.key, None)
                else:
                    found[record.key] = record.value
            if keys is None or back >= end or all(key in found for key in keys):
                return found, end
            back *= 8


def record_of(message: Any) -> Record:
    """A message of aiokafka as a record."""
    return Record(message.offset, float(message.timestamp), message.key or b"", message.value)


@asynccontextmanager
async def consumer(settings: Kafka, *, group: str | None = None, fetch_max_wait_ms: int = 100) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer that never joins a group; `group` only lets it ask for committed offsets. Raises Unreachable, ConfigError."""
    await reach(settings)
    client = AIOKafkaConsumer(
        **client_options(settings), group_id=group, enable_auto_commit=False, auto_offset_reset="earliest", max_partition_fetch_bytes=_PREFETCH_BYTES,
        fetch_max_wait_ms=fetch_max_wait_ms, metadata_max_age_ms=METADATA_MS,
    )  # fmt: skip
    pace(client._client)  # noqa: SLF001 - consumers do not show theirs
    try:
        await client.start()
    except (KafkaError, OSError) as error:
        await client.stop()
        raise unreachable(settings, error) from error
    try:
        yield client
    finally:
        await stop(client, _STOP_S)


async def stop(client: AIOKafkaConsumer, within_s: float) -> None:
    """Stop a consumer, in a task of its own: what goes wrong with that must not end whoever reads. After `within_s` only its connections are closed.

    Right after `assign`, aiokafka loses its first word to the fetcher and waits for ever; while brokers are away, it stops at the cancellation of its own
    fetches and leaves its connections open.
    """
    stopping = asyncio.ensure_future(client.stop())
    await asyncio.wait({stopping}, timeout=within_s)
    if stopping.done() and not stopping.cancelled():
        stopping.result()
        return
    stopping.cancel()
    await asyncio.wait({stopping}, timeout=within_s)
    await client._client.close()  # noqa: SLF001 - stopping again would do nothing


@asynccontextmanager
async def reader(settings: Kafka, *, group: str | None = None) -> AsyncIterator[PartitionReader]:
    """A reader on a consumer of its own. Raises Unreachable, ConfigError."""
    async with consumer(settings, group=group) as client:
        yield PartitionReader(client, settings)


def decoded(value: bytes | None, decode: Callable[[bytes], Decoded]) -> Decoded | None:
    """The value read, or None where it is not what it should be: one bad record must not stop a reader."""
    try:
        return None if value is None else decode(value)
    except RoutecastError:
        return None
