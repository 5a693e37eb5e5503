"""The whole pipeline on the embedded log, in one process: emitters → events → fold → rows → leader → snapshots → routers.

It has no clock and no thread of its own. `routecast.streams.embedded` drives it live, `routecast.testing.Fleet` in virtual time; both
run exactly this code.
"""

from __future__ import annotations

from typing import NamedTuple

from routecast.analytics.fold import PartitionFold
from routecast.models.config import Config
from routecast.models.details import Details
from routecast.models.events import decode_events
from routecast.models.snapshot import RoutingSnapshot, decode_snapshot
from routecast.streams.emitter import Emitter
from routecast.streams.leader import Leader
from routecast.streams.memory import MemoryLog, Record
from routecast.streams.router import Router
from routecast.streams.topics import DEADLETTER, DETAILS, EVENTS, PANES, SCORES

FLUSH_MS = 500.0
"""How often changed rows are written, and how often the leader looks for a reason to publish early."""
STATS_MS = 10_000.0
"""How often routers give a sign of life."""
_KEPT = 1_000
"""Records of each partition that stay on the embedded log after they were read."""


class News(NamedTuple):
    """Published records, decoded."""

    snapshots: list[RoutingSnapshot]
    details: list[Details]


class Pipeline:
    """Stages of the pipeline around one log; call them in the order of the data, as often as the driver likes."""

    def __init__(self, config: Config, log: MemoryLog, now_ms: float, *, partitions: int = 1) -> None:
        self.log = log
        self._folds = [PartitionFold(partition) for partition in range(partitions)]
        self.leader = Leader(config, term=1, now_ms=now_ms)
        self._read: dict[tuple[str, int], int] = {}

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
                    self.log.append(DEADLETTER, item.raw, key=f"{EVENTS}/{fold.partition}/{record.offset}: {item.reason}".encode())

    def flush(self) -> None:
        """Write changed rows and let the leader read them."""
        for fold in self._folds:
            if fold.dirty:
                for key, value in fold.flush():
                    self.log.append(PANES, value, key=key, partition=fold.partition)
            for row in self._new(PANES, fold.partition):
                self.leader.take(row.key, row.value)
        self.log.trim(_KEPT)

    def lead(self, now_ms: float) -> bool:
        """Tick when it is time to; whether snapshots were published."""
        self.leader.look(now_ms)
        if not self.leader.due(now_ms):
            return False
        for message in self.leader.tick(now_ms):
            self.log.append(message.topic, message.value, key=message.key)
        return True

    def news(self) -> News:
        """What was published since the last call."""
        return News(
            [decode_snapshot(record.value or b"") for record in self._new(SCORES, 0)],
            [Details.decode(record.value or b"") for record in self._new(DETAILS, 0)],
        )

    def _new(self, topic: str, partition: int) -> list[Record]:
        start = self._read.get((topic, partition), 0)
        found: list[Record] = []
        while records := self.log.read(topic, partition, start):
            found += records
            start = records[-1].offset + 1
        self._read[topic, partition] = start
        return found


def deliver(router: Router, news: News) -> None:
    """Hand what was published to a router."""
    for snapshot in news.snapshots:
        router.apply(snapshot)
    for details in news.details:
        router.apply_details(details)
