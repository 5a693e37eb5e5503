"""What the brokers have: the last minutes first, then everything as it comes.

Delivery: reads without a group and commits nothing; after an outage of the brokers it goes on where it was. Ordering: that of each topic.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Final

from aiokafka.errors import KafkaError

from routecast.dashboards.terminal.source import Frame, Heard
from routecast.dashboards.terminal.words import line_of, percent
from routecast.models.config import Config
from routecast.models.errors import RoutecastError, Unreachable
from routecast.models.events import Control
from routecast.models.snapshot import decode_snapshot
from routecast.models.targets import Word
from routecast.streams.brokers.kafka import reach
from routecast.streams.brokers.reading import PartitionReader, decoded, reader
from routecast.streams.clock import Clock
from routecast.streams.memory import Record
from routecast.streams.operators.control import tell
from routecast.streams.operators.published import needed
from routecast.streams.topics import CONTROL, DETAILS, INSIGHTS, SCORES, TICKS, TRIPS, Topic

BACK_MS: Final = 600_000.0
"""How far to look back."""
_BACK_BYTES: Final = 16 << 20
"""Of one topic, at most."""
_SILENT_S: Final = 5.0
"""Without a record for so long, whether the brokers are there is asked."""
_RETRY_S: Final = 2.0
_WORD_S: Final = 10.0
_PUBLISHED: Final[tuple[Topic, ...]] = (SCORES, DETAILS)
_TOLD: Final[tuple[Topic, ...]] = (INSIGHTS, CONTROL, TRIPS)


class Live:
    """The fleet behind these brokers.

    Args:
        config: brokers, prefix and services.
        clock: of this machine.
    """

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config, self._clock = config, clock
        self.name = f"kafka://{config.kafka.bootstrap}"
        self._next: dict[Topic, int] = {}

    def now_ms(self) -> float:
        """By the clock of this machine."""
        return self._clock.now_ms()

    async def frames(self) -> AsyncGenerator[Frame]:
        """First what was, in one frame, then what comes; brokers that are away are a frame that says so, now and then."""
        while True:
            trouble = ""
            try:
                async with reader(self.config.kafka) as read, aclosing(self._read(read)) as frames:
                    async for frame in frames:
                        yield frame
            except (RoutecastError, KafkaError, OSError, TimeoutError) as error:
                trouble = str(error) or type(error).__name__
            yield Frame(self.now_ms(), (), f"{trouble}; trying again")
            await asyncio.sleep(_RETRY_S)

    async def _read(self, read: PartitionReader) -> AsyncGenerator[Frame]:
        await needed(read, self.config.kafka, *_PUBLISHED)
        if not self._next:
            records, self._next = await _history(read, self.now_ms() - BACK_MS, sorted(self.config.services))
            yield Frame(self.now_ms(), records, fresh=True)
        async with aclosing(_batches(read.follow(self._next, asyncio.Event()))) as batches:
            async for batch in batches:
                if not batch:
                    await reach(self.config.kafka)
                self._next.update((topic, record.offset + 1) for topic, record in batch)
                yield Frame(self.now_ms(), batch)

    async def say(self, word: Control) -> str:
        """Tell the leader and wait until a snapshot shows it."""
        service = next((target.service for target in self.config.target if target.id == word.target), None)
        try:
            return _became(await tell(self.config, word, service, wait_s=_WORD_S, clock=self._clock), word)
        except (KafkaError, OSError) as error:
            raise Unreachable(f"Kafka at {self.config.kafka.bootstrap!r} did not take it: {error}; try again when it is back") from error


def _became(word: Word, said: Control) -> str:
    at = f"snapshot {word.snapshot[0]}/{word.snapshot[1]}" if word.snapshot else "the next snapshot"
    took = f", {word.took_ms:.0f} ms after it was told to {said.action}" if word.took_ms is not None else ""
    return f"{line_of(word.target)} is {word.state or 'as it was told'} in {at}{took}; planned share {percent(word.share)}"


async def history(config: Config, now_ms: float) -> Sequence[Heard]:
    """What was published in the last ten minutes, and the newest of everything. Raises Unreachable, RoutecastError without topics."""
    async with reader(config.kafka) as read:
        await needed(read, config.kafka, *_PUBLISHED)
        return (await _history(read, now_ms - BACK_MS, sorted(config.services)))[0]


async def _history(read: PartitionReader, since_ms: float, services: Sequence[str]) -> tuple[list[Heard], dict[Topic, int]]:
    """In the order of time, and where to read on."""
    found: list[Heard] = []
    ends: dict[Topic, int] = {}
    keys = [service.encode() for service in services]
    for topic in _PUBLISHED:
        newest, ends[topic] = await read.newest(topic, keys)
        found += [Heard(topic, Record(-1, 0.0, key, value)) for key, value in newest.items() if key in keys and _old(topic, value, since_ms)]
        size = sum(map(len, newest.values())) / max(1, len(newest))
        first = max(await read.since(topic, 0, since_ms), ends[topic] - math.ceil(_BACK_BYTES / max(1.0, size)))
        found += [Heard(topic, record) async for record in read.stretch(topic, 0, first, ends[topic]) if record.key in keys]
    for topic in _TOLD:
        if await read.partitions(topic):
            ends[topic] = (await read.ends(topic, [0]))[0]
            begin = await read.since(topic, 0, since_ms) if topic == TRIPS else 0
            found += [Heard(topic, record) async for record in read.stretch(topic, 0, begin, ends[topic])]
    if await read.partitions(TICKS):
        ends[TICKS] = (await read.ends(TICKS, [0]))[0]
        found += [Heard(TICKS, record) async for record in _claims(read, found, ends[TICKS])]
    return sorted(found, key=lambda heard: heard.record.append_ms), ends


def _old(topic: Topic, value: bytes, since_ms: float) -> bool:
    """Whether nobody published for longer than is looked back: then the newest record alone is shown."""
    snapshot = decoded(value, decode_snapshot) if topic == SCORES else None
    return snapshot is None or snapshot.at_ms < since_ms


async def _claims(read: PartitionReader, found: Sequence[Heard], end: int) -> AsyncIterator[Record]:
    """The claims of the leaders that published: their offsets are the terms."""
    snapshots = [decoded(record.value, decode_snapshot) for topic, record in found if topic == SCORES]
    for term in sorted({snapshot.term for snapshot in snapshots if snapshot is not None}):
        async for record in read.stretch(TICKS, 0, term, min(end, term + 1)):
            if record.offset == term:
                yield record


async def _batches(records: AsyncIterator[tuple[Topic, Record]]) -> AsyncGenerator[list[Heard]]:
    """What comes together; an empty one where nothing came for some seconds."""
    coming = asyncio.ensure_future(anext(records))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=_SILENT_S)
            batch: list[Heard] = []
            while done and coming.done():
                batch.append(Heard(*coming.result()))
                coming = asyncio.ensure_future(anext(records))
                await asyncio.sleep(0)
            yield batch
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration, RoutecastError, KafkaError):
            await coming
