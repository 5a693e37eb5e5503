"""How many calls a target had open over time, and how long each call spent beside how many others."""

from __future__ import annotations

from heapq import heapify, heappushpop

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_EXACT = 24
"""Up to so many open calls every number is a level of its own; above, levels are 6 % wide."""
_WIDTH = 1.06


class Occupancy:
    """Open calls of one target, from starts and ends alone.

    Memory and time: O(calls × levels); levels are some forty where hundreds of calls are open at once.

    Args:
        start_ms: rising.
        end_ms: of the same calls.
    """

    def __init__(self, start_ms: Floats, end_ms: Floats) -> None:
        n = len(start_ms)
        times = np.concatenate([end_ms, start_ms])
        order = np.lexsort((np.arange(2 * n) >= n, times))
        position = np.empty(2 * n, np.int64)
        position[order] = np.arange(2 * n)
        self.ended: Ints = position[:n]
        """Position of each call's end among all starts and ends."""
        self.started: Ints = position[n:]
        open_after = np.cumsum(np.where(order >= n, 1, -1))
        self.most = int(open_after.max(initial=0))
        """The most that was open at once."""
        self._edges = _levels(self.most)
        self.levels: Floats = (self._edges[:-1] + self._edges[1:] - 1) / 2
        """Open calls that each level stands for."""
        level_after = np.searchsorted(self._edges, np.maximum(open_after, 1), side="right") - 1
        spent = np.zeros((2 * n, len(self.levels)))
        sorted_ms = times[order]
        spent[np.arange(1, 2 * n), level_after[:-1]] = np.where(open_after[:-1] > 0, np.diff(sorted_ms), 0.0)
        self._spent: Floats = np.cumsum(spent, axis=0)
        self.at_end: Ints = open_after[np.maximum(self.ended - 1, 0)]
        """Open calls, itself included, right before each call ended."""

    def begun(self, slots: float) -> Ints:
        """Where each call's work began if at most `slots` were worked on at once, in order of arrival: as positions like `started`.

        It begins when all but slots − 1 of the earlier ones have ended (Kiefer and Wolfowitz, 1955, with the ends known).
        """
        if slots >= self.most:
            return self.started
        begun, latest = self.started.copy(), self.ended[: int(slots)].tolist()
        heapify(latest)
        for i in range(int(slots), len(begun)):
            begun[i] = max(begun[i], latest[0])
            heappushpop(latest, int(self.ended[i]))
        return begun

    def spent_ms(self, begun: Ints) -> Floats:
        """[calls × levels] Time from these positions to each call's end, by how many calls were open."""
        return np.maximum(self._spent[self.ended] - self._spent[np.minimum(begun, self.ended)], 0.0)


def _levels(most: int) -> Ints:
    """First number of each level, and one beyond the last."""
    edges = list(range(1, min(most, _EXACT) + 2))
    while edges[-1] <= most:
        edges.append(int(edges[-1] * _WIDTH) + 1)
    return np.array(edges, np.int64)
