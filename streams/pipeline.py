"""The whole pipeline on the embedded log, in one process: emitters → events → fold → rows → leader → snapshots → routers.

It has no clock and no thread of its own. `routecast.streams.embedded` drives it live, `routecast.testing.Fleet` in virtual time; both
run exactly this code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from routecast.analytics.fold import PartitionFold
from routecast.models.config import Config
from routecast.models.details import Details
from routecast.models.errors import DecodeError
from routecast.models.events import Control, decode_events, encode_events
from routecast.models.insights import Insight, decode_insight
from routecast.models.snapshot import RoutingSnapshot, decode_snapshot
from routecast.streams.emitter import Emitter
from routecast.streams.leadership.leader import Leader, trips_of, word_of
from routecast.streams.leadership.newest import ROOM
from routecast.streams.memory import MemoryLog, Record
from routecast.streams.router import Router
from routecast.streams.topics import CONTROL, DEADLETTER, DETAILS, EVENTS, INSIGHTS, PANES, SCORES, STATE, TRIPS, Topic

FLUSH_MS = 500.0
"""How often at least changed rows are written, and the leader looks for a reason to publish early."""
STATS_MS = 10_000.0
"""How often routers give a sign of life."""
KEPT = 1_000
"""Records of each partition that stay on an embedded log after they were read."""

Published = TypeVar("Published")


class News(NamedTuple):
    """Published records, decoded."""

    snapshots: list[RoutingSnapshot]
    details: list[Details]
    insights: list[Insight]


class Pipeline:
    """Stages of the pipeline around one log; call them in the order of the data, as often as the driver likes.

    A record that cannot be read goes to the dead letters and spoils nothing else.
    """

    def __init__(self, config: Config, log: MemoryLog, now_ms: float, *, partitions: int = 1) -> None:
        self.log = log
        self.flush_ms = min(FLUSH_MS, float(config.intervals.snapshot_ms))
        """How often to flush and to lead."""
        self.checkpoint_ms = math.inf
        """How often a checkpoint is logged; never by default, as nothing here outlives the process that could resume it."""
        self.kept = KEPT
        """Records of each partition that stay on the log after they were read; of details, which are large, a hundredth.

        Of events and snapshots more, while the policy of a service is left to the evidence (`ROOM`)."""
        self._folds = [PartitionFold(partition) for partition in range(partitions)]
        self.leader = Leader(config, term=1, now_ms=now_ms)
        self.leader.windows.recalled()  # nothing was before
        self._checkpoint_at_ms = -math.inf
        self._read: dict[tuple[str, int], int] = {}
        log.append(STATE, config.model_dump_json().encode(), key=f"config/{config.version}".encode())

    def partition_of(self, emitter: Emitter) -> int:
        """The partition that this emitter keeps."""
        return int(emitter.partition_draw * len(self._folds))

    def send(self, emitter: Emitter) -> None:
        """Move everything an emitter has waiting to the log."""
        while (record := emitter.take()) is not None:
            self.log.append(EVENTS, record, partition=self.partition_of(emitter))

    def fold(self) -> None:
        """Fold the events that are new on the log; bad ones go to the dead letters."""
        for fold in self._folds:
            for record in self._new(EVENTS, fold.partition):
                events, bad = decode_events(record.value or b"")
                fold.apply(record.offset, record.append_ms, events, len(bad))
                for item in bad:
                    self._bury(EVENTS, fold.partition, record.offset, item.raw, item.reason)

    def announce(self, emitter: Emitter) -> None:
        """Move what an emitter's router says of its breakers to the log, at once."""
        while (record := emitter.take_announced()) is not None:
            self.log.append(TRIPS, record)

    def tell(self, word: Control) -> None:
        """Write an operator's word to the log; the leader hears it when it leads."""
        self.log.append(CONTROL, encode_events([word]), key=word.key.encode())

    def heed(self) -> bool:
        """Let the leader hear what operators and routers said; whether it should be published at once."""
        said = False
        for record in self._new(CONTROL, 0):
            word, reason = word_of(record.value or b"")
            if reason:
                self._bury(CONTROL, 0, record.offset, record.value, reason)
            said |= self.leader.hear(record.offset, word)
        for record in self._new(TRIPS, 0):
            words, reason = trips_of(record.value or b"")
            if reason:
                self._bury(TRIPS, 0, record.offset, record.value, reason)
            said |= self.leader.heed(record.offset, record.append_ms, words)
        return said

    def flush(self) -> None:
        """Write changed rows and let the leader read them."""
        for fold in self._folds:
            if fold.dirty:
                for key, value in fold.flush():
                    self.log.append(PANES, value, key=key, partition=fold.partition)
            for row in self._new(PANES, fold.partition):
                try:
                    self.leader.take(row.key, row.value)
                except DecodeError as error:
                    self._bury(PANES, fold.partition, row.offset, row.value, str(error))

    def lead(self, now_ms: float) -> bool:
        """Tick when it is time to; whether snapshots were published."""
        self.leader.look(now_ms)
        if not (self.heed() or self.leader.due(now_ms)):
            return False
        self._tick(now_ms)
        return True

    def publish(self, now_ms: float) -> bool:
        """Tick at once where routers said something that must be known at once; whether snapshots were published."""
        said = self.heed()
        if said:
            self._tick(now_ms)
        return said

    def _tick(self, now_ms: float) -> None:
        messages = self.leader.tick(now_ms)
        if now_ms - self._checkpoint_at_ms >= self.checkpoint_ms:
            self._checkpoint_at_ms = now_ms
            messages.append(self.leader.checkpoint())
        for message in messages:
            self.log.append(message.topic, message.value, key=message.key, partition=message.partition)

    def news(self) -> News:
        """What was published since the last call. Everything on the log has been read then: the oldest records go."""
        snapshots, details, insights = self._decoded(SCORES, decode_snapshot), self._decoded(DETAILS, Details.decode), self._decoded(INSIGHTS, decode_insight)
        news = News(list(snapshots), list(details), list(insights))
        self.log.trim(self.kept, {DETAILS: self.kept // 100}, ROOM if self.leader.on_auto() else None)
        return news

    def _decoded(self, topic: Topic, decode: Callable[[bytes], Published]) -> Iterator[Published]:
        for record in self._new(topic, 0):
            try:
                yield decode(record.value or b"")
            except DecodeError as error:
                self._bury(topic, 0, record.offset, record.value, str(error))

    def _bury(self, topic: Topic, partition: int, offset: int, value: bytes | None, reason: str) -> None:
        self.log.append(DEADLETTER, value, key=f"{topic}/{partition}/{offset}: {reason}".encode())

    def _new(self, topic: Topic, partition: int) -> Iterator[Record]:
        """Records that were not read yet; each counts as read once it was handed out."""
        place = (topic, partition)
        while records := self.log.read(topic, partition, self._read.get(place, 0)):
            for record in records:
                self._read[place] = record.offset + 1
                yield record


def deliver(router: Router, news: News) -> None:
    """Hand what was published to a router."""
    for snapshot in news.snapshots:
        router.apply(snapshot)
    for details in news.details:
        router.apply_details(details)
