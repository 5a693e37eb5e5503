"""What became known of a service since its last tick: its load, the latencies of successes with the load they met, new arrivals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from routecast.analytics.capacity.arrival_slots import ArrivalSlots
from routecast.analytics.fleet.capacity_fit import LatencyGroups, joined
from routecast.analytics.fleet.load import LoadTracker
from routecast.analytics.merge import SlotNews
from routecast.analytics.pane import MILLION

SURGE_WINDOW_MS = 2_000
_LN_SECOND = math.log(1000)

Mine = Sequence[tuple[int, SlotNews]]
"""Slot news of this service's targets, by the number of the target."""


class Observation:
    """Fed by every look, emptied by every tick."""

    STATE: ClassVar[tuple[str, ...]] = ("_learned", "_since_ms")

    def __init__(self) -> None:
        self.load = LoadTracker()
        self.arrived = ArrivalSlots()
        self._groups: list[LatencyGroups] = []
        self._since_ms = math.inf  # when the first look was: it finds all that happened before
        self._learned: list[tuple[float, int]] = []  # when how many first attempts became known, the last 2 s

    def grow(self, n: int) -> None:
        """Make room for `n` targets."""
        self.load.grow(n)

    def look(self, at_ms: float, mine: Mine) -> None:
        """Take what is new."""
        self.load.advance(at_ms)
        for index, item in mine:
            self.load.add(index, item)
        if self._since_ms < at_ms:
            self._learned = [(known_ms, n) for known_ms, n in self._learned if known_ms > at_ms - SURGE_WINDOW_MS]
            self._learned.append((at_ms, sum(item.first_attempts for _, item in mine)))
        self._since_ms = min(self._since_ms, at_ms)
        self._arrive(at_ms, mine)
        self._group(mine)

    def _arrive(self, at_ms: float, mine: Mine) -> None:
        self.arrived.add(at_ms, [(item.slot_ms, item.first_attempts) for _, item in mine])

    def rebuild(self, at_ms: float, kept: Mine, new_from_ms: float) -> None:
        """Begin with all that is kept; only requests that started at or after `new_from_ms` are learned from."""
        self.load.advance(at_ms)
        for index, item in kept:
            self.load.add(index, item)
        self._arrive(at_ms, kept)
        self._group([(index, item) for index, item in kept if item.slot_ms >= new_from_ms])

    def take_groups(self) -> LatencyGroups:
        """The successes since the last call."""
        groups, self._groups = joined(self._groups), []
        return groups

    def arrivals(self, at_ms: float) -> int | None:
        """First attempts that became known in the last 2 s, also those of applications that report a request only when it has ended.

        None until there have been looks for so long.
        """
        if at_ms - self._since_ms < SURGE_WINDOW_MS:
            return None
        return sum(n for known_ms, n in self._learned if known_ms > at_ms - SURGE_WINDOW_MS)

    def _group(self, news: Mine) -> None:
        grouped = [(index, item) for index, item in news if item.n > 0]
        if not grouped:
            return
        slots = sorted({item.slot_ms for _, item in grouped})
        column = {slot: i for i, slot in enumerate(slots)}
        targets = np.array([index for index, _ in grouped], np.int64)
        columns = np.array([column[item.slot_ms] for _, item in grouped], np.int64)
        n = np.array([item.n for _, item in grouped], float)
        ln_ms = np.array([item.sum_ln for _, item in grouped], float) / MILLION
        ln2_ms = np.array([item.sum_ln2 for _, item in grouped], float) / MILLION
        tokens_n = np.array([item.tokens_n for _, item in grouped], float)
        ln_tokens = np.array([item.sum_ln_tokens for _, item in grouped], float) / MILLION
        ln2_s = ln2_ms - 2 * _LN_SECOND * ln_ms + n * _LN_SECOND**2
        in_flight = self.load.in_flight_at(slots)[targets, columns].astype(float)
        self._groups.append(LatencyGroups(targets, n, ln_ms - n * _LN_SECOND, ln2_s, in_flight, tokens_n, ln_tokens))
