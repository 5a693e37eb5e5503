"""In-flight requests of every target, now and at any half-second that is still kept, from slot counts alone.

Open = started − ended, summed over the slots of the *starts*. What was in flight at the start of slot j follows by walking back:
open now − Σ (started − completed) of the slots from j on. Exact, mergeable, and it cannot leak: what is still open when its slot is
too old is forgotten here as it is booked lost in the fold. The state is a function of the slots of the kept panes and of the time alone, so
it can be rebuilt from merged rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.merge import SlotNews
from routecast.models.rows import KEPT_MS, PANE_MS, SLOT_MS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_AHEAD_MS = 70_000
_WIDTH = (KEPT_MS + PANE_MS + _AHEAD_MS) // SLOT_MS
_RECENT = 280
"""Slots of the last minute and those ahead."""
_FLOW, _OPEN = range(2)


class LoadTracker:
    """Slot counts of `n` targets over the kept time, in a ring: 22 kB a target."""

    def __init__(self, n: int = 0) -> None:
        self._ring: Ints = np.zeros((2, n, _WIDTH), np.int64)
        self._newest = -1
        """Number of the newest slot (slots since the epoch) the ring has room for."""
        self._oldest = -1
        """Number of the oldest slot that counts: the first of a pane, as panes expire as a whole."""
        self._ahead: list[tuple[int, SlotNews]] = []  # of clocks that are more than 70 s ahead of this one

    def grow(self, n: int) -> None:
        """Make room for `n` targets."""
        self._ring = np.pad(self._ring, ((0, 0), (0, n - self._ring.shape[1]), (0, 0)))

    def advance(self, now_ms: float) -> None:
        """Move to this time (epoch ms): slots that have become too old are emptied."""
        newest = (int(now_ms) + _AHEAD_MS) // SLOT_MS
        oldest = (math.floor(now_ms - KEPT_MS) // PANE_MS) * PANE_MS // SLOT_MS
        if self._newest < 0 or newest - self._newest >= _WIDTH:
            self._ring[:] = 0
        else:
            for first, end in ((self._newest + 1, newest + 1), (self._oldest, oldest)):
                self._ring[:, :, np.arange(first, end) % _WIDTH] = 0
        self._newest, self._oldest = max(newest, self._newest), max(oldest, self._oldest)
        if self._ahead:
            ahead, self._ahead = self._ahead, []
            for index, news in ahead:
                self.add(index, news)

    def add(self, index: int, news: SlotNews) -> None:
        """Count what is new of target number `index`; slots that are too old are left out."""
        slot = news.slot_ms // SLOT_MS
        if slot > self._newest:
            self._ahead.append((index, news))
            return
        if slot < self._oldest:
            return
        column = slot % _WIDTH
        self._ring[_FLOW, index, column] += news.started - news.completed
        self._ring[_OPEN, index, column] += news.started - news.ended

    def in_flight(self) -> Ints:
        """Open requests of every target."""
        open_: Ints = np.maximum(0, self._ring[_OPEN].sum(axis=1))
        return open_

    def in_flight_at(self, slots_ms: Iterable[int]) -> Ints:
        """[targets × slots] What was in flight at the start of each of these slots (epoch ms, multiples of 500), or of the nearest kept."""
        numbers = np.clip(np.array([ms // SLOT_MS for ms in slots_ms], np.int64), self._newest - _WIDTH + 1, self._newest)
        if not numbers.size:
            return np.zeros((self._ring.shape[1], 0), np.int64)
        oldest = int(numbers.min())
        columns = np.arange(oldest, self._newest + 1) % _WIDTH
        since = np.cumsum(self._ring[_FLOW][:, columns][:, ::-1], axis=1)[:, ::-1]
        then: Ints = np.maximum(0, self._ring[_OPEN].sum(axis=1)[:, None] - since[:, numbers - oldest])
        return then

    def open_before(self, i: int, at_ms: float) -> float:
        """Requests of target `i` that started before this time, epoch ms, to half a second, and are still open."""
        last = min(math.floor(at_ms) // SLOT_MS - 1, self._newest)
        columns = np.arange(self._newest - _WIDTH + 1, last + 1) % _WIDTH
        return float(max(0, self._ring[_OPEN, i, columns].sum()))

    def oldest_open_ms(self, now_ms: float) -> Floats:
        """Age of the oldest slot with something open, ms; 0 where nothing is.

        An end that is booked in another slot than its start, because a clock was clamped, closes the oldest that is open.
        """
        in_all = self._ring[_OPEN].sum(axis=1)
        ages, some = np.zeros(len(in_all)), np.flatnonzero(in_all > 0)
        width = min(_WIDTH, _RECENT)
        while some.size:  # what is open is seldom old
            order = np.arange(self._newest - width + 1, self._newest + 1)
            held = self._ring[_OPEN][np.ix_(some, order % _WIDTH)]
            open_ = held.cumsum(axis=1) + (in_all[some] - held.sum(axis=1))[:, None] > 0
            closed = np.argmin(open_[:, ::-1], axis=1)
            found = (closed > 0) | (width == _WIDTH)
            ages[some[found]] = np.maximum(0.0, now_ms - order[-closed[found]] * float(SLOT_MS))
            some, width = some[~found], _WIDTH
        return ages
