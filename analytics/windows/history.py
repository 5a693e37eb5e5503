"""Windows that end now: sums that move on with the panes, the long ones with minutes that are closed.

A minute is closed nine minutes after its beginning, with every correction that came until then; later ones are in the totals alone. A long
window consists of closed minutes, kept together by five minutes or by the hour, and of the panes after them. Memory of a target with ten
requests a second on four partitions, for ever: 200 kB of kept panes, 200 kB of closed parts (13 of five minutes, 25 of an hour, 5 kB each)
and 96 kB of sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from routecast.analytics.merge import Merge
from routecast.analytics.windows.columns import Columns, Ints, columns_of
from routecast.analytics.windows.concurrency import MINUTE_MS, Concurrency, flows_of
from routecast.analytics.windows.parts import ClosedParts, Moving, Pane, Row, summed
from routecast.analytics.windows.window import Window, WindowStats
from routecast.models.details import WindowName
from routecast.models.rows import PANE_MS, SLOTS

PART_MS: Final = 300_000
HOUR_MS: Final = 3_600_000
CLOSED_MS: Final = 540_000
"""Age at which a minute is closed, from its beginning: its panes are kept until then."""

LENGTHS_MS: Final[dict[WindowName, int]] = {"10s": 10_000, "1m": 60_000, "5m": 300_000, "1h": HOUR_MS, "24h": 24 * HOUR_MS}
_RESOLUTION_MS: Final[dict[WindowName, int]] = {"10s": PANE_MS, "1m": PANE_MS, "5m": PANE_MS, "1h": PART_MS, "24h": HOUR_MS}
LONG: Final[tuple[WindowName, ...]] = ("1h", "24h")


class Closed(NamedTuple):
    """A minute that no correction reaches any more."""

    start_ms: int
    columns: Columns


class History:
    """Windows of every target that ever occurred; a target is known by its number, the place of its figures.

    Args:
        begin_ms: start of a minute; of panes before it only what is in flight counts here, as somebody else has closed them.
    """

    def __init__(self, begin_ms: int = 0) -> None:
        self.numbers: dict[str, int] = {}
        self._panes: dict[int, Pane] = {}
        self._kept: frozenset[int] = frozenset()
        """Panes that the rows still have: only they say what is in flight."""
        self._moving: dict[WindowName, Moving] = {name: Moving() for name in LENGTHS_MS if name not in LONG}
        self._unclosed = Moving()
        self._parts: dict[WindowName, ClosedParts] = {name: ClosedParts(_RESOLUTION_MS[name]) for name in LONG}
        self.since_ms: float = math.inf
        """Start of the first pane that is known."""
        self.closed_ms = begin_ms
        """Minutes before this are closed."""
        self.end_ms = 0

    def number_of(self, target: str) -> int:
        """The number of a target, a new one where it was never seen."""
        return self.numbers.setdefault(target, len(self.numbers))

    def take(self, merge: Merge) -> None:
        """Bring the panes up to date with merged rows; only rows with a new fence cost anything."""
        self._kept = frozenset(merge.panes)
        rows = [(pane_ms, key, row) for pane_ms, chunks in merge.panes.items() for key, row in chunks.items()]
        new = [(pane_ms, key, row) for pane_ms, key, row in rows if self._fence(pane_ms, key) != row.fence]
        for (pane_ms, key, row), columns in zip(new, columns_of([row for *_, row in new], self.number_of), strict=True):
            known = Row(row.fence, columns, flows_of(row))
            old = self._panes.setdefault(pane_ms, Pane()).put(key, known)
            for moving in (*self._moving.values(), self._unclosed):
                moving.replace(pane_ms, old.columns if old else None, columns, len(self.numbers))
        for pane_ms in [pane_ms for pane_ms in self._panes if pane_ms not in self._kept and pane_ms < self.closed_ms]:
            self._forget(pane_ms)
        first_ms = min((pane_ms for pane_ms in self._panes if pane_ms >= self.closed_ms), default=math.inf)
        self.since_ms = min(self.since_ms, first_ms)

    def _fence(self, pane_ms: int, key: tuple[int, int]) -> int | None:
        pane = self._panes.get(pane_ms)
        row = pane.rows.get(key) if pane else None
        return row.fence if row else None

    def _forget(self, pane_ms: int) -> None:
        pane = self._panes.pop(pane_ms)
        for moving in (*self._moving.values(), self._unclosed):
            moving.forget(pane_ms, pane)

    def in_flight(self) -> Ints:
        """Open requests of every target: started in a kept pane and not ended."""
        return np.maximum(0, self._open())

    def _open(self) -> Ints:
        open_ = np.zeros(len(self.numbers), np.int64)
        for pane_ms in self._kept:
            found = self._panes[pane_ms].open
            open_[: len(found)] += found
        return open_

    def concurrency(self) -> Concurrency:
        """What was in flight at every half-second of the kept panes, of every target."""
        first_ms, end_ms = min(self._kept, default=0), max(self._kept, default=-PANE_MS) + PANE_MS
        flows = np.zeros((len(self.numbers), (end_ms - first_ms) // PANE_MS, SLOTS), np.int32)
        for pane_ms in self._kept:
            found = self._panes[pane_ms].flows
            flows[: len(found), (pane_ms - first_ms) // PANE_MS] = found
        return Concurrency(first_ms, flows.reshape(len(self.numbers), -1), self._open())

    def advance(self, end_ms: int) -> list[Closed]:
        """Let all windows end at `end_ms`, a multiple of 10 s; the minutes that this closes."""
        self.end_ms, n = end_ms, len(self.numbers)
        for name, moving in self._moving.items():
            moving.move(end_ms - LENGTHS_MS[name], end_ms, self._panes, n)
        self._unclosed.move(self.closed_ms, max(end_ms, self.closed_ms), self._panes, n)
        closed = [self._close(start_ms) for start_ms in self._due(end_ms)]
        self.closed_ms = max(self.closed_ms, _floor(end_ms - CLOSED_MS, MINUTE_MS) + MINUTE_MS)
        self._unclosed.from_ms = self.closed_ms
        self._unclosed.to_ms = max(self._unclosed.to_ms, self.closed_ms)
        for moving in (*self._moving.values(), self._unclosed):
            moving.settle(self._panes)
        return closed

    def _due(self, end_ms: int) -> list[int]:
        minutes = {_floor(pane_ms, MINUTE_MS) for pane_ms in self._panes if pane_ms >= self.closed_ms}
        return sorted(start_ms for start_ms in minutes if start_ms + CLOSED_MS <= end_ms)

    def _close(self, start_ms: int) -> Closed:
        columns = self.spanned(start_ms, start_ms + MINUTE_MS).columns()
        for parts in self._parts.values():
            parts.close(start_ms, columns, len(self.numbers))
        self._unclosed.stats.remove(columns)
        return Closed(start_ms, columns)

    def recall(self, start_ms: int, columns: Columns, windows: Iterable[WindowName] = LONG) -> None:
        """Take over what somebody else closed from `start_ms` on, before this history begins."""
        for name in windows:
            self._parts[name].close(start_ms, columns, len(self.numbers))

    def windows(self, end_ms: int) -> dict[WindowName, Window]:
        """Every window that ends at `end_ms`, a multiple of 10 s."""
        self.advance(end_ms)
        return {name: self.window(name) for name in LENGTHS_MS}

    def window(self, name: WindowName) -> Window:
        """A window, valid until the history goes on.

        The three short ones have their full length. "1h" begins with a full five minutes (60 to 65 min), "24h" with a full hour (24 to
        25 h). None begins before the first pane that is known.
        """
        start_ms = _floor(self.end_ms - LENGTHS_MS[name], _RESOLUTION_MS[name])
        if name in LONG:
            stats = self._unclosed.stats.copy()
            stats.merge(self._parts[name].since(start_ms))
        else:
            stats = self._moving[name].stats
        return Window(int(min(max(start_ms, self.since_ms), self.end_ms)), self.end_ms, stats)

    def spanned(self, start_ms: int, end_ms: int) -> WindowStats:
        """Sums of the kept panes that start within [start_ms, end_ms), both multiples of 10 s."""
        return summed((columns for columns, _ in self.held(start_ms, end_ms)), len(self.numbers))

    def held(self, start_ms: int, end_ms: int) -> list[tuple[Columns, int]]:
        """Columns and fence of every row of the panes of a span."""
        panes = (self._panes[pane_ms] for pane_ms in range(start_ms, end_ms, PANE_MS) if pane_ms in self._panes)
        return [(row.columns, row.fence) for pane in panes for row in pane.rows.values()]


def _floor(ms: int, step_ms: int) -> int:
    return ms - ms % step_ms
