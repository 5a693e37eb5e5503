"""Following any topic from any place, for people: every partition or one, as records come.

Delivery: reads without a group and commits nothing. Ordering: within a partition as written; across partitions by append time among
what came in one fetch.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from routecast.models.config import Kafka
from routecast.models.errors import RoutecastError
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.brokers.reading import PartitionReader, consumer, record_of
from routecast.streams.memory import Record
from routecast.streams.topics import Topic

_WAIT_MS = 300
_BACK: Final = "-back"


class Start(NamedTuple):
    """Where to begin in each partition: at an offset, or so many records before the end; both None: at the end."""

    offset: int | None = None
    back: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`beginning`, `end`, `N-back` or an offset. Raises ValueError for anything else."""
        if text in {"beginning", "end"}:
            return cls(offset=0) if text == "beginning" else cls()
        number = text.removesuffix(_BACK)
        if not (number.isascii() and number.isdigit()):
            raise ValueError(f"{text!r} is no place: give beginning, end, N-back such as 100-back, or an offset")
        return cls(back=int(number)) if text.endswith(_BACK) else cls(offset=int(number))

    def within(self, first: int, end: int) -> int:
        """The offset to begin with, of those from `first` to `end`."""
        wanted = self.offset if self.offset is not None else end - (self.back or 0)
        return min(max(wanted, first), end)


class Tailed(NamedTuple):
    """A record and its partition."""

    partition: int
    record: Record


async def tail(settings: Kafka, topic: Topic, partition: int | None, start: Start) -> AsyncGenerator[list[Tailed]]:
    """Records as they come, for ever; an empty list now and then while there are none. Close it (`aclosing`) to take its connections down.

    Raises Unreachable, and RoutecastError where the topic or the partition does not exist.
    """
    async with consumer(settings) as client:
        places = await _places(client, settings, topic, partition)
        client.assign(places)
        first, end = await client.beginning_offsets(places), await client.end_offsets(places)
        for place in places:
            client.seek(place, start.within(first[place], end[place]))
        while True:
            batches = await client.getmany(timeout_ms=_WAIT_MS)
            found = [Tailed(place.partition, record_of(message)) for place, messages in batches.items() for message in messages]
            yield sorted(found, key=lambda item: item.record.append_ms)


async def _places(client: AIOKafkaConsumer, settings: Kafka, topic: Topic, partition: int | None) -> Sequence[TopicPartition]:
    name = topic_name(settings, topic)
    there = await PartitionReader(client, settings).partitions(topic)
    if not there:
        raise RoutecastError(f"topic {name!r} does not exist: `routecast topics create` makes it")
    if partition is not None and partition not in there:
        raise RoutecastError(f"topic {name!r} has no partition {partition}: its partitions are 0 to {max(there)}")
    return [TopicPartition(name, found) for found in (there if partition is None else [partition])]
