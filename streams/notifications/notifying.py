# pyright: reportIncompatibleMethodOverride=false
"""Telling people of alerts: what the leader says is to wake somebody is posted to a webhook, by one worker at a time.

Delivery: at least once, in the order of the log. The position is committed after the receiver has answered 2xx; a crash in between posts
again, with the same `Idempotency-Key`. What a new leader says again is posted once. Lost in a crash: nothing. The first worker that ever has
a webhook begins with what is said from then on; what a receiver refuses for good goes to the dead letters.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from routecast.models.config import Config
from routecast.models.errors import DecodeError
from routecast.models.insights import Alert, decode_insight
from routecast.models.notification import Notification
from routecast.streams.brokers.access import NOTIFY
from routecast.streams.brokers.kafka import METADATA_MS, client_options, pace, reach, topic_name
from routecast.streams.brokers.reading import record_of, stop
from routecast.streams.clock import Clock
from routecast.streams.leadership.leading import producer
from routecast.streams.memory import Record
from routecast.streams.notifications.webhook import Post, wait_s
from routecast.streams.topics import DEADLETTER, INSIGHTS

Sleep = Callable[[float], Awaitable[None]]
Opened = Callable[[], AbstractAsyncContextManager[Post]]

LOOK_BACK: Final = 2_000
"""Records read again to know what was told already: a new leader repeats what its predecessor said in the last half minute."""
MOST_TOLD: Final = 10_000
"""Alerts of which it is known what was told last."""
_ALERT: Final = b"alert/"
_FOR_EVER_MS: Final = 2**31 - 1
_WAIT_MS: Final = 500
_RETRY_S: Final = 1.0
_SETTLE_S: Final = 2.0
"""How long a partition that another worker is to have waits for the answer to a post that is under way."""
_STOP_S: Final = 2.0

_log = logging.getLogger(__name__)


class Notifying:
    """A member of the group of those who tell; the owner of the topic's one partition does.

    Args:
        config: the log.
        opened: opens the way to the receiver.
        clock: for receivers that name a time of the day.
        rng: spreads tries.
        sleep: waits for so many seconds.
    """

    def __init__(self, config: Config, opened: Opened, clock: Clock, rng: random.Random, sleep: Sleep = asyncio.sleep) -> None:
        self._config = config
        self._opened = opened
        self._clock = clock
        self._rng = rng
        self._sleep = sleep

    async def run(self) -> None:
        """Tell until it is cancelled; whatever fails is tried again."""
        while True:
            try:
                async with self._opened() as post, _member(self._config) as client:
                    turn = _Turn(self._config, client, post, self._pause_s, self._sleep)
                    client.subscribe([topic_name(self._config.kafka, INSIGHTS)], listener=turn)
                    await turn.serve()
            except Exception:  # noqa: BLE001 - the log may be away for long, and nobody else would tell meanwhile
                _log.warning("alerts cannot be read, trying again", exc_info=True)
                await self._sleep(_RETRY_S)

    def _pause_s(self, tries: int, retry_after: str) -> float:
        return wait_s(tries, retry_after, self._clock.now_ms(), self._rng.random())


class _Turn(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka has no types
    """What one membership does with the partition while it has it."""

    def __init__(self, config: Config, client: AIOKafkaConsumer, post: Post, pause_s: Callable[[int, str], float], sleep: Sleep) -> None:
        self._config = config
        self._client = client
        self._post = post
        self._pause_s = pause_s
        self._sleep = sleep
        self._over = asyncio.Event()
        """Set while the partition is not ours."""
        self._over.set()
        self._failure: KafkaError | None = None
        self._busy = asyncio.Lock()
        self._place = TopicPartition(topic_name(config.kafka, INSIGHTS), 0)
        self._next = 0
        """Everything before it was told."""
        self._told: dict[str, int] = {}
        """By alert, the newest version that was told."""

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Another may have it soon: stop, when a post that is under way has its answer."""
        del revoked
        self._over.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S), self._busy:
                pass

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Go on where the group is."""
        if self._place in set(assigned):
            try:
                await self._begin()
            except KafkaError as error:  # aiokafka would swallow it, and read from the first record on
                self._failure = error

    async def _begin(self) -> None:
        first = (await self._client.beginning_offsets([self._place]))[self._place]
        end = (await self._client.end_offsets([self._place]))[self._place]
        committed = await self._client.committed(self._place)
        self._next = _beginning(first, end, committed)
        if self._next != committed:
            await self._commit(self._next)
        self._client.seek(self._place, max(first, self._next - LOOK_BACK))
        self._told.clear()
        self._over = asyncio.Event()
        _log.info("telling of alerts from offset %d on", self._next)

    async def serve(self) -> None:
        """Tell, until it is cancelled. Raises whatever the log fails with."""
        while True:
            batches = await self._client.getmany(timeout_ms=_WAIT_MS)
            if self._failure is not None:
                raise self._failure
            for messages in batches.values():
                await self._take([record_of(message) for message in messages], self._over)

    async def _take(self, records: Sequence[Record], over: asyncio.Event) -> None:
        for record in records:
            if over.is_set():
                return
            notification = await self._read(record)
            if notification is None or self._told.get(notification.alert.id, -1) >= notification.alert.version:
                continue
            if record.offset >= self._next and not await self._deliver(record, notification, over):
                return
            self._remember(notification.alert)
        if not over.is_set() and records[-1].offset >= self._next:
            await self._commit(records[-1].offset + 1)

    async def _read(self, record: Record) -> Notification | None:
        """What is to be told of a record; None for most."""
        if record.value is None or not record.key.startswith(_ALERT):
            return None
        try:
            insight = decode_insight(record.value)
        except DecodeError as error:
            if record.offset >= self._next:
                _log.warning("what stands in the topic of insights at offset %d is no alert: it goes to the dead letters", record.offset)
                await self._bury(record, str(error))
            return None
        return Notification.of(insight) if isinstance(insight, Alert) and insight.notify else None

    def _remember(self, alert: Alert) -> None:
        self._told.pop(alert.id, None)
        self._told[alert.id] = alert.version
        if len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]

    async def _deliver(self, record: Record, notification: Notification, over: asyncio.Event) -> bool:
        """Post until it is delivered or refused for good, and note that; False where the partition is lost before."""
        tries = 0
        while not over.is_set():
            async with self._busy:
                answer = await self._post(notification)
                if answer.verdict != "again":
                    if answer.verdict == "refused":
                        _log.error(
                            "the webhook refuses alert %s (%s): it goes to the dead letters; mend the address or the receiver", notification.key, answer.said
                        )
                        await self._bury(record, f"the webhook refuses: {answer.said}")
                    else:
                        _log.info("told of alert %s: %s", notification.key, notification.text)
                    await self._commit(record.offset + 1)
                    return True
            tries += 1
            _log.warning("the webhook does not take alert %s (%s): trying again", notification.key, answer.said)
            await self._rest(self._pause_s(tries, answer.retry_after), over)
        return False

    async def _rest(self, seconds: float, over: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(over.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _commit(self, offset: int) -> None:
        self._next = offset
        await self._client.commit({self._place: offset})

    async def _bury(self, record: Record, reason: str) -> None:
        key = f"{INSIGHTS}/0/{record.offset}: {reason}"[:1000].encode()
        async with producer(self._config) as out:
            await out.send_and_wait(topic_name(self._config.kafka, DEADLETTER), record.value, key=key, partition=0)


def _beginning(first: int, end: int, committed: int | None) -> int:
    """Where to go on: at the end where the group is new, at the first record where the topic was made anew."""
    if committed is None:
        return end
    return max(first, committed) if committed <= end else first


@asynccontextmanager
async def _member(config: Config) -> AsyncGenerator[AIOKafkaConsumer]:
    """A consumer of the group; nothing that takes long ends its membership, since it lives as long as the worker's loop."""
    settings = config.kafka
    await reach(settings)
    client = AIOKafkaConsumer(
        **client_options(settings), group_id=settings.prefix + NOTIFY, enable_auto_commit=False, auto_offset_reset="earliest",
        session_timeout_ms=settings.session_timeout_ms, heartbeat_interval_ms=settings.session_timeout_ms // 3, max_poll_interval_ms=_FOR_EVER_MS,
        metadata_max_age_ms=METADATA_MS,
    )  # fmt: skip
    pace(client._client)  # noqa: SLF001 - consumers do not show theirs
    try:
        await client.start()
        yield client
    finally:
        await stop(client, _STOP_S)
