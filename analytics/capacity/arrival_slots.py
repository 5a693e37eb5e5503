"""When the requests of a service came, by half-second, as far back as panes are kept."""

from __future__ import annotations

import math
from collections.abc import Iterable

from routecast.models.rows import KEPT_MS, SLOT_MS

_MOST: int = 2 * KEPT_MS // SLOT_MS
_SETTLED_MS = 2_000
"""Of what is younger, not everything is known."""


class ArrivalSlots:
    """First attempts by half-second of their start. At most 2,400 numbers; a function of the slots of the kept panes, so it can be rebuilt from them."""

    def __init__(self) -> None:
        self._arrived: dict[int, int] = {}

    def add(self, at_ms: float, news: Iterable[tuple[int, int]]) -> None:
        """Count what is new at this time, epoch ms: starts of half-seconds, and first attempts in them."""
        for slot_ms, arrived in news:
            if arrived:
                self._arrived[slot_ms] = self._arrived.get(slot_ms, 0) + arrived
        if len(self._arrived) > _MOST:
            self._arrived = {slot_ms: arrived for slot_ms, arrived in self._arrived.items() if at_ms - KEPT_MS <= slot_ms <= at_ms}

    def until(self, at_ms: float) -> list[tuple[int, int]]:
        """Half-seconds with arrivals of the ten minutes before this time, epoch ms, rising, without those that are too young to be complete."""
        first_ms, last_ms = math.ceil(at_ms - KEPT_MS), at_ms - _SETTLED_MS
        return sorted((slot_ms, arrived) for slot_ms, arrived in self._arrived.items() if first_ms <= slot_ms <= last_ms and arrived > 0)
