"""Details and closed windows as a leader publishes them: little by little, so that neither its snapshots nor the fold beside it wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from routecast.analytics.merge import Merge
from routecast.analytics.windows.closing import Closing
from routecast.analytics.windows.concurrency import MINUTE_MS
from routecast.analytics.windows.details import DetailsBuilder
from routecast.models.config import Config
from routecast.models.metrics import WindowRecord
from routecast.models.rows import KEPT_MS, PANE_MS, TargetTotals
from routecast.streams.topics import DETAILS, METRICS, Topic

_AT_ONCE: Final = 600
"""Subjects whose windows are described or closed in a second: 20 ms. At least one window is done at a tick."""
_TOGETHER: Final = 300
"""Targets for each second between ticks of whose windows something is made at the tick of their update; of more, 50 ms at a thousand, at the next one."""
_BEHIND_MS: Final = 60_000
"""How long before the last details of another leader all of its windows had been published."""

Published = tuple[Topic, bytes, bytes, int]
"""Topic, key, value, partition."""


class Windows:
    """Keeps windows up to date and publishes them. Nothing of it is part of a snapshot or a checkpoint, but what `builder` is asked for.

    Args:
        config: services and targets.
        now_ms: when it begins, epoch ms.
        merge: rows known by then.
        published_ms: when somebody else published details last; 0 = nobody did.
    """

    def __init__(self, config: Config, now_ms: float, merge: Merge, published_ms: float = 0.0) -> None:
        self.begin_ms = (int(now_ms) - KEPT_MS - PANE_MS) // MINUTE_MS * MINUTE_MS + MINUTE_MS
        """First minute of which all rows are known; what was before has to be recalled."""
        self.builder = DetailsBuilder(config, self.begin_ms, merge)
        self._closing = Closing(self.builder, self.begin_ms, max(0, int(published_ms) // PANE_MS * PANE_MS - _BEHIND_MS))
        self._services = sorted(config.services)
        self._together = _TOGETHER * max(1.0, config.intervals.snapshot_ms / 1000.0)
        self._undescribed = self._untold = False
        self._rest = 0
        """Ticks that an update leaves to itself and to what is made of it."""
        self._at_ms = now_ms

    def update(self, now_ms: float, merge: Merge, totals: Mapping[str, TargetTotals] | None = None) -> None:
        """Let windows end with the last pane that is over. `totals` are the merge's, for whoever has them."""
        self.builder.update(now_ms, merge, totals)
        self._closing.look()
        self._undescribed = self._untold = True
        self._rest = 2

    @property
    def many(self) -> bool:
        """Whether what is made of an update is left to the next tick."""
        return len(self.builder.targets) > self._together

    def publish(self, now_ms: float, term: int, seq: int) -> Iterator[Published]:
        """What is ready at this tick: first details, then closed windows. Of many targets each window and the details have ticks of their own."""
        elapsed_s, self._at_ms = max(1.0, (now_ms - self._at_ms) / 1000.0), now_ms
        most = int(_AT_ONCE * elapsed_s)
        crowded = len(self.builder.targets) > most
        resting, self._rest = self._rest > 0, max(0, self._rest - 1)
        if crowded and resting:
            return
        if self._undescribed:
            self._undescribed = not self.builder.describe(most)
            if self._undescribed or crowded:
                return
        if self._untold:
            self._untold = False
            for service in self._services:
                yield DETAILS, service.encode(), self.builder.record(service, term, seq), 0
            if crowded:
                return
        for record in self._closing.take(most):
            yield METRICS, record.key.encode(), record.encode(), record.partition

    def recall(self, windows: Iterable[Sequence[WindowRecord]]) -> None:
        """Take over windows that somebody else published: of each the newest record of every subject."""
        for records in windows:
            self._closing.recall(records)

    def recalled(self) -> None:
        """Everything was taken over that is known."""
        self._closing.recalled()
