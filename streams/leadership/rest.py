"""How much of a shared loop somebody may take: after each piece of work it rests, so many times as long as the work took."""

from __future__ import annotations

import math

TIMES = 4.0
"""A fifth of the time at most goes into work that could wait."""


class Rest:
    """Rest of one who shares a loop. Seconds are those of a monotonic clock."""

    def __init__(self) -> None:
        self._until_s = -math.inf

    def begin(self, began_s: float, ended_s: float) -> None:
        """Rest from work that lasted so long."""
        self._until_s = ended_s + TIMES * (ended_s - began_s)

    def left_s(self, now_s: float) -> float:
        """How long work that could wait has to wait; 0 where it may begin."""
        return max(0.0, self._until_s - now_s)
