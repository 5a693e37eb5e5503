"""The leader: merged rows in, ticks, snapshots and details out. No I/O of its own: a driver feeds it and publishes what it returns.

Delivery: its input is the changelog of the fold, from the start; rows may come again. Ordering: within a partition, as written.
Lost in a crash: nothing that is not recomputed from the changelog; routers live on the last snapshot meanwhile. Duplicates of
leaders are harmless: `(term, seq)` orders what they publish.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from routecast.analytics.details import DetailsBuilder
from routecast.analytics.merge import Merge
from routecast.analytics.snapshot import ServiceAnalyst, Tick
from routecast.models.config import Config
from routecast.models.rows import KEPT_MS, TargetTotals
from routecast.models.snapshot import encode_snapshot
from routecast.models.tick import TickRecord, encode_tick
from routecast.streams.topics import DETAILS, SCORES, TICKS, Topic

_SETTLED_MS = 1_000.0
"""How long after the end of a pane its figures are published: by then its last events have been folded."""


class Message(NamedTuple):
    """Something to publish."""

    topic: Topic
    key: bytes
    value: bytes


class Leader:
    """Analytic state of all services; advances only at ticks.

    Args:
        config: services, targets, intervals.
        term: orders this leader after its predecessors.
        now_ms: when it takes over, epoch ms.
    """

    def __init__(self, config: Config, term: int, now_ms: float) -> None:
        self._config = config
        self._term = term
        self._seq = 0
        self._merge = Merge()
        self._merge.expire(now_ms - KEPT_MS)
        self._analysts = {service: ServiceAnalyst(service, config) for service in sorted(config.services)}
        self._details = DetailsBuilder(config)
        self._totals: dict[str, TargetTotals] = {}
        self._period_ms = float(config.intervals.snapshot_ms)
        self._tick_ms = now_ms
        self._metrics_ms = float(config.intervals.metrics_ms)
        self._details_ms = now_ms - now_ms % self._metrics_ms

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take one changelog record. Raises DecodeError when it is not a row."""
        self._merge.add(key, value)

    def due(self, now_ms: float) -> bool:
        """Whether to tick: the period is over, or what `look` saw has changed too much to wait for its end.

        A clock that was set back begins a new period.
        """
        if abs(now_ms - self._tick_ms) >= self._period_ms - 1e-6:
            return True
        return any(analyst.urgent(now_ms, self._totals) for analyst in self._analysts.values())

    def look(self, now_ms: float) -> None:
        """Count what is new without publishing, so that `due` can see a surge."""
        news, self._totals = self._merge.take_news(), self._merge.target_totals()
        for analyst in self._analysts.values():
            analyst.discover(self._totals)
            analyst.observe(now_ms, news)

    def tick(self, now_ms: float) -> list[Message]:
        """Advance to this time (epoch ms) and say what to publish: the tick first, then the snapshots, then details when they are due."""
        self._seq += 1
        self._tick_ms = now_ms
        self.look(now_ms)
        self._merge.expire(now_ms - KEPT_MS)
        messages: list[Message] = []
        if now_ms - self._details_ms >= self._metrics_ms + _SETTLED_MS:
            messages += self._detail(now_ms)
        tick = Tick(self._term, self._seq, now_ms, self._merge.routers(now_ms))
        snapshots: list[Message] = []
        for service, analyst in self._analysts.items():
            snapshots.append(Message(SCORES, service.encode(), encode_snapshot(analyst.tick(tick, self._totals, self._details.quantiles))))
        record = TickRecord(
            term=self._term, seq=self._seq, at_ms=now_ms, offsets=self._merge.offsets, routers=tick.routers, config_version=self._config.version,
            sha256={message.key.decode(): sha256(message.value).hexdigest() for message in snapshots},
        )  # fmt: skip
        return [Message(TICKS, b"", encode_tick(record)), *snapshots, *messages]

    def _detail(self, now_ms: float) -> list[Message]:
        self._details_ms = now_ms - now_ms % self._metrics_ms
        self._details.update(now_ms, self._merge)
        return [Message(DETAILS, service.encode(), self._details.details(service, self._term, self._seq).encode()) for service in self._analysts]
