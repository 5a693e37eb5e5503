"""Windows that end now: the recent ones summed from kept pane rows, the long ones from these and from parts that are closed.

A part is five minutes; it is closed four minutes after its end, with every correction that came until then. Later corrections are
in the totals alone. Memory of a target with ten requests a second on four partitions, for ever: 200 kB of kept panes, 190 kB of
closed parts (13 of five minutes, 25 of an hour, 5 kB each) and 115 kB of sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from routecast.analytics.columns import SUMS, Columns, Ints, columns_of
from routecast.analytics.merge import Merge, PaneKey
from routecast.analytics.window import Window, WindowStats
from routecast.models.details import WindowName
from routecast.models.rows import PANE_MS

PART_MS: Final = 300_000
_GRACE_MS = 240_000
_HOUR_MS = 3_600_000
_OPEN = SUMS.index("open")

LENGTHS_MS: Final[dict[WindowName, int]] = {"10s": 10_000, "1m": 60_000, "5m": 300_000, "1h": _HOUR_MS, "24h": 24 * _HOUR_MS}
_RESOLUTION_MS: Final[dict[WindowName, int]] = {"10s": PANE_MS, "1m": PANE_MS, "5m": PANE_MS, "1h": PART_MS, "24h": _HOUR_MS}


def summed(columns: Iterable[Columns], n: int) -> WindowStats:
    """The sum of these columns, for `n` subjects."""
    stats = WindowStats(n)
    for item in columns:
        stats.add(item)
    return stats


class ClosedParts:
    """Parts of a long window and their sum."""

    def __init__(self, part_ms: int) -> None:
        self._part_ms = part_ms
        self._parts: dict[int, Columns] = {}
        self._sum = WindowStats(0)

    def close(self, start_ms: int, columns: Columns, n: int) -> None:
        """Add what happened from `start_ms` on to the part it belongs to."""
        part_ms = start_ms - start_ms % self._part_ms
        known = self._parts.get(part_ms)
        self._parts[part_ms] = columns if known is None else summed((known, columns), n).columns()
        grown = WindowStats(n)
        grown.merge(self._sum)
        grown.add(columns)
        self._sum = grown

    def since(self, from_ms: int) -> WindowStats:
        """The sum of the parts that start at or after this time; older ones are forgotten."""
        old = [part_ms for part_ms in self._parts if part_ms < from_ms]
        for part_ms in old:
            del self._parts[part_ms]
        if old:
            self._sum = summed(self._parts.values(), len(self._sum))
        return self._sum


class _Known(NamedTuple):
    fence: int
    columns: Columns


class History:
    """Windows of every target that ever occurred; a target is known by its number, the place of its figures."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self._rows: dict[tuple[int, PaneKey], _Known] = {}
        self._panes: dict[int, list[Columns]] = {}
        self._long: dict[WindowName, ClosedParts] = {"1h": ClosedParts(PART_MS), "24h": ClosedParts(_HOUR_MS)}
        self._since_ms = math.inf
        self._closed_ms = 0

    def number_of(self, target: str) -> int:
        """The number of a target, a new one where it was never seen."""
        return self.numbers.setdefault(target, len(self.numbers))

    def take(self, merge: Merge) -> None:
        """Bring the panes up to date with merged rows; only rows with a new fence cost anything."""
        rows = {(pane_ms, key): row for pane_ms, chunks in merge.panes.items() for key, row in chunks.items()}
        new = [place for place, row in rows.items() if place not in self._rows or self._rows[place].fence != row.fence]
        for place, columns in zip(new, columns_of([rows[place] for place in new], self.number_of), strict=True):
            self._rows[place] = _Known(rows[place].fence, columns)
        self._rows = {place: self._rows[place] for place in rows}
        self._panes = {}
        for (pane_ms, _), known in self._rows.items():
            self._panes.setdefault(pane_ms, []).append(known.columns)
        self._since_ms = min(self._since_ms, min(self._panes, default=math.inf))

    def in_flight(self) -> Ints:
        """Open requests of every target: started in a kept pane and not ended."""
        open_ = np.zeros(len(self.numbers), np.int64)
        for columns in (columns for panes in self._panes.values() for columns in panes):
            open_[columns.numbers] += columns.sums[:, _OPEN]
        return np.maximum(0, open_)

    def spanned(self, start_ms: int, end_ms: int) -> WindowStats:
        """Sums of the kept panes that start within [start_ms, end_ms), both multiples of 10 s."""
        return summed(self._between(start_ms, end_ms), len(self.numbers))

    def windows(self, end_ms: int) -> dict[WindowName, Window]:
        """Every window that ends at `end_ms`, a multiple of 10 s.

        The three short ones have their full length. "1h" begins with a full five minutes (60 to 65 min), "24h" with a full hour (24 to
        25 h). None begins before the first pane that was ever seen.
        """
        self._close(end_ms)
        start_ms = {name: _floor(end_ms - length, _RESOLUTION_MS[name]) for name, length in LENGTHS_MS.items()}
        stats = self._recent({**{name: start_ms[name] for name in LENGTHS_MS if name not in self._long}, "open": self._closed_ms}, end_ms)
        recent = stats.pop("open")
        for name, parts in self._long.items():
            stats[name] = recent.copy()
            stats[name].merge(parts.since(start_ms[name]))
        return {name: Window(int(min(max(start_ms[name], self._since_ms), end_ms)), end_ms, stats[name]) for name in LENGTHS_MS}

    def _recent(self, starts_ms: dict[str, int], end_ms: int) -> dict[str, WindowStats]:
        """Sums of the panes from each of these times to `end_ms`, the shorter inside the longer."""
        running, until_ms = WindowStats(len(self.numbers)), end_ms
        found: dict[str, WindowStats] = {}
        for name, start_ms in sorted(starts_ms.items(), key=lambda item: -item[1]):
            for columns in self._between(start_ms, until_ms):
                running.add(columns)
            until_ms = start_ms
            found[name] = running.copy()
        return found

    def _between(self, from_ms: int, to_ms: int) -> Iterable[Columns]:
        return (columns for pane_ms in range(from_ms, to_ms, PANE_MS) for columns in self._panes.get(pane_ms, ()))

    def _close(self, end_ms: int) -> None:
        due_ms = _floor(end_ms - _GRACE_MS, PART_MS)
        self._closed_ms = max(self._closed_ms, due_ms - LENGTHS_MS["24h"])
        for start_ms in range(self._closed_ms, due_ms, PART_MS):
            panes = list(self._between(start_ms, start_ms + PART_MS))
            if panes:
                columns = summed(panes, len(self.numbers)).columns()
                for parts in self._long.values():
                    parts.close(start_ms, columns, len(self.numbers))
            self._closed_ms = start_ms + PART_MS


def _floor(ms: int, step_ms: int) -> int:
    return ms - ms % step_ms
