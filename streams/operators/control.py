"""What operators say of targets and of policies: written to the control topic, then followed until a published snapshot shows it.

Delivery: once the log has confirmed a word it is kept, and the leader of the moment or the next one acts on it. The newest word about a
target or a service counts.
"""

from __future__ import annotations

import asyncio

from routecast.models.config import Config
from routecast.models.errors import RoutecastError
from routecast.models.events import Control, encode_events
from routecast.models.snapshot import RoutingSnapshot, TargetScore, decode_snapshot
from routecast.models.targets import Word
from routecast.models.tick import TickRecord, decode_tick
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.brokers.reading import decoded, reader
from routecast.streams.clock import Clock
from routecast.streams.leadership.leading import producer
from routecast.streams.memory import Record
from routecast.streams.operators.published import needed
from routecast.streams.topics import CONTROL, SCORES, TICKS, Topic


async def tell(config: Config, said: Control, service: str | None, *, wait_s: float, clock: Clock) -> Word:
    """Say it and wait until a snapshot of `service` shows it; where the service is None, until the leader has taken it.

    A leader that has taken a word publishes all snapshots that follow from it at once.

    Raises RoutecastError where that takes longer than `wait_s`; the word is kept all the same. 0 does not wait.
    """
    async with reader(config.kafka) as read, producer(config) as out:
        await needed(read, config.kafka, CONTROL, TICKS, SCORES)
        begin: dict[Topic, int] = {topic: (await read.ends(topic, [0]))[0] for topic in (TICKS, SCORES)}
        sent = await out.send_and_wait(topic_name(config.kafka, CONTROL), encode_events([said]), key=said.key.encode(), partition=0)
        word = Word(target=said.target, action=said.action, service=service, offset=sent.offset)
        if wait_s <= 0:
            return word
        said_s, watch = clock.monotonic_s(), _Watch(word)
        try:
            async with asyncio.timeout(wait_s):
                async for topic, record in read.follow(begin, asyncio.Event()):
                    if watch.take(topic, record):
                        break
        except TimeoutError:
            raise RoutecastError(_unheard(word, wait_s, config, ticking=watch.ticking)) from None
        return watch.outcome((clock.monotonic_s() - said_s) * 1000)


class _Watch:
    """Waits for the tick that has heard a word, and for the snapshot published with it or after it."""

    def __init__(self, word: Word) -> None:
        self._word = word
        self._heard: tuple[int, int] | None = None
        self._newest: RoutingSnapshot | None = None
        self.ticking = False

    def take(self, topic: Topic, record: Record) -> bool:
        """Take what was published; whether it shows the word."""
        if topic == TICKS:
            tick = decoded(record.value, decode_tick)
            if isinstance(tick, TickRecord):
                self.ticking = True
                if self._heard is None and tick.control >= self._word.offset:
                    self._heard = (tick.term, tick.seq)
        elif self._word.service is not None and record.key == self._word.service.encode():
            snapshot = decoded(record.value, decode_snapshot)
            if snapshot is not None and (self._newest is None or snapshot.version >= self._newest.version):
                self._newest = snapshot
        if self._heard is None or self._word.service is None:
            return self._heard is not None
        return self._newest is not None and self._newest.version >= self._heard

    def outcome(self, took_ms: float) -> Word:
        """The word with what became of it."""
        entry = self._entry()
        shown = {"state": entry.state, "share": entry.share, "weight": entry.weight} if entry else {}
        running = self._newest.experiment if self._newest else None
        policy = {"policy": self._newest.policy, "experiment": running.id if running else ""} if self._newest else {}
        at = {"snapshot": self._newest.version if self._newest else self._heard, "took_ms": round(took_ms, 1)}
        return self._word.model_copy(update=at | policy | shown)

    def _entry(self) -> TargetScore | None:
        return next((entry for entry in self._newest.targets if entry.id == self._word.target), None) if self._newest else None


def _unheard(word: Word, wait_s: float, config: Config, *, ticking: bool) -> str:
    kept = f"The word is kept in topic {topic_name(config.kafka, CONTROL)!r}, offset {word.offset},"
    if ticking:
        return f"a leader publishes, but no snapshot showed this word within {wait_s:g} s. {kept} and the worker's log may say why"
    return f"no worker leads: nothing was published within {wait_s:g} s. {kept} and acts when a worker runs: `routecast worker` starts one"
