"""Calls that must end by themselves when their time is over."""

from __future__ import annotations

import threading
from heapq import heapify, heappop, heappush
from itertools import count
from numbers import Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routecast.streams.calls.call import Call

_LONGEST_MS = 864e5
_FEW = 1_000
"""Entries below which nothing is swept."""


class Deadlines:
    """Calls by the monotonic time (s) at which they are overdue. Memory: at most twice the calls that are open, beyond a thousand."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Call]] = []
        self._numbers = count()
        self._sweep_at = _FEW
        self._lock = threading.Lock()

    def add(self, at_s: float, call: Call) -> None:
        """End `call` at this time unless it has ended by then."""
        with self._lock:
            heappush(self._heap, (at_s, next(self._numbers), call))
            if len(self._heap) > self._sweep_at:
                self._heap = [entry for entry in self._heap if not entry[2].done]
                heapify(self._heap)
                self._sweep_at = max(_FEW, 2 * len(self._heap))

    def limit(self, call: Call, deadline_ms: float | None) -> None:
        """End `call` so long after its start; what is no duration of at most a day, or None, is no limit."""
        if isinstance(deadline_ms, Real) and 0 <= deadline_ms <= _LONGEST_MS:
            self.add(call.started_s + float(deadline_ms) / 1000.0, call)

    def overdue(self, now_s: float) -> list[Call]:
        """The calls whose time is over, the earliest first; each is returned once."""
        with self._lock:
            found: list[Call] = []
            while self._heap and self._heap[0][0] <= now_s:
                found.append(heappop(self._heap)[2])
            return found

    def __len__(self) -> int:
        return len(self._heap)
