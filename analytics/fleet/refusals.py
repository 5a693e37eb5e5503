"""Targets that refuse (429): the fleet stays away until the time a provider named, or longer where it named too short a one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from routecast.analytics.routing.rate_limits import LONGEST_HOLD_MS
from routecast.models.rows import TargetTotals
from routecast.models.snapshot import State

_SHORTEST_MS = 1000.0
"""Shorter refusals are not announced at once: they are over before others could hear of them."""


class Refusals:
    """Who refuses until when; advanced only at ticks.

    A target that refuses again before it was back for as long as it had been away stays away twice as long, 300 s at the most. Memory:
    three numbers a target.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_at_ms", "_until_ms", "_hold_ms", "_seen_ms")

    def __init__(self) -> None:
        self._at_ms = 0.0
        self._until_ms: list[float] = []
        self._hold_ms: list[float] = []
        self._seen_ms: list[float] = []

    def grow(self, n: int) -> None:
        """Make room for `n` targets."""
        for kept in (self._until_ms, self._hold_ms, self._seen_ms):
            kept.extend([0.0] * (n - len(kept)))

    def update(self, now_ms: float, new: Sequence[TargetTotals]) -> None:
        """Take what is new of every target since the last tick."""
        self._at_ms = now_ms
        for i, totals in enumerate(new):
            if totals.rate_limited > 0:
                self._seen_ms[i] = totals.refused[0]
                self._refused(i, now_ms, *totals.refused)

    def _refused(self, i: int, now_ms: float, until_ms: float, hold_ms: float) -> None:
        if now_ms < self._until_ms[i]:  # a call that was under way, or a router that had not heard
            self._until_ms[i] = min(now_ms + LONGEST_HOLD_MS, max(self._until_ms[i], until_ms))
            return
        again = now_ms - self._until_ms[i] < self._hold_ms[i]
        longest_ms = min(LONGEST_HOLD_MS, max(hold_ms, 2.0 * self._hold_ms[i] if again else 0.0))
        self._hold_ms[i] = longest_ms
        self._until_ms[i] = min(now_ms + LONGEST_HOLD_MS, until_ms - hold_ms + longest_ms)

    def state(self, i: int, health: State) -> State:
        """State of target `i` at the last tick, given that of its health: what is open stays so."""
        return "rate_limited" if health != "open" and self._at_ms < self._until_ms[i] else health

    def urgent(self, now_ms: float, totals: Sequence[TargetTotals]) -> bool:
        """Whether the fleet should hear at once: a refusal that reaches further than was known, or one that has ended since the last tick."""
        return any(self._changed(i, now_ms, *known.refused) for i, known in enumerate(totals))

    def _changed(self, i: int, now_ms: float, until_ms: float, hold_ms: float) -> bool:
        if self._at_ms < self._until_ms[i]:
            return now_ms >= self._until_ms[i]
        return hold_ms >= _SHORTEST_MS and now_ms < until_ms and until_ms > self._seen_ms[i]
