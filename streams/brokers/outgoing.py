"""What an emitter has, on its way to the brokers: one record at a time, kept until it is confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from routecast.streams.emitter import Emitter, halves
from routecast.streams.topics import MOST_EVENT_BYTES, TRIPS

_SLACK_BYTES = 1024
"""What Kafka adds around a record."""


class Outgoing:
    """The events of an emitter, or what its router announces, on the way to one topic."""

    def __init__(self, emitter: Emitter, topic: Literal["events", "trips"]) -> None:
        self.emitter = emitter
        self.topic = topic
        self._take = emitter.take_announced if topic == TRIPS else emitter.take
        self._unsent: list[bytes] = []
        self._emptied = asyncio.Event()

    @property
    def has_more(self) -> bool:
        """Whether anything waits."""
        return bool(self._unsent or (self.emitter.announcing if self.topic == TRIPS else self.emitter.waiting))

    def partition(self, partitions: Sequence[int]) -> int:
        """Which of these it keeps to."""
        return partitions[int(self.emitter.partition_draw * len(partitions))]

    async def send(self, producer: AIOKafkaProducer, topic: str, partition: int) -> None:
        """Send all that waits; what could not be confirmed is sent first the next time."""
        while self._unsent or self._next():
            record = self._unsent[0]
            try:
                await producer.send_and_wait(topic, record, partition=partition)
            except MessageSizeTooLargeError:
                self._unsent[:1] = self._fitting(record, len(record) - 1)
            else:
                del self._unsent[0]
        self._emptied.set()

    def give_up(self) -> None:
        """Let go of what could not be sent: what is announced late is no news."""
        self._unsent.clear()
        while self._take() is not None:
            pass
        self._emptied.set()

    def _next(self) -> bool:
        record = self._take()
        if record is not None:
            self._unsent += self._fitting(record, MOST_EVENT_BYTES - _SLACK_BYTES)
        return record is not None

    def _fitting(self, record: bytes, most: int) -> list[bytes]:
        """The events of a record in records of at most so many bytes."""
        if len(record) <= most:
            return [record]
        parts = halves(record)
        if not parts:
            self.emitter.lose(f"an event of {len(record)} bytes, more than the log takes")
        return [fitting for part in parts for fitting in self._fitting(part, most)]

    async def emptied(self) -> None:
        """Wait until nothing is left to send."""
        while self.has_more:
            self._emptied.clear()
            await self._emptied.wait()
