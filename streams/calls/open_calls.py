"""Calls that are open, by target and age: a provider that hangs has no completions that could speak against it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routecast.streams.calls.call import Call

_FEW = 1_000
"""Calls below which nothing is swept."""


class OpenCalls:
    """Open calls of each of `n` targets, the oldest first. Memory: at most twice the calls that are open, beyond a thousand."""

    def __init__(self, n: int) -> None:
        self._calls: list[deque[Call]] = [deque() for _ in range(n)]
        self._kept = 0
        self._sweep_at = _FEW

    def add(self, call: Call) -> None:
        """One more; calls of one target come in the order of their start."""
        self._calls[call.index].append(call)
        self._kept += 1
        if self._kept > self._sweep_at:
            self._sweep()

    def overdue(self, now_s: float, patience_s: Callable[[int], float]) -> list[Call]:
        """Calls that have been open for longer than their target may take, without a first chunk; each is returned once."""
        found: list[Call] = []
        for i, calls in enumerate(self._calls):
            if calls:
                before_s = now_s - patience_s(i)
                while calls and (calls[0].done or calls[0].started_s <= before_s):
                    call = calls.popleft()
                    self._kept -= 1
                    if not (call.done or call.answering):
                        found.append(call)
        return found

    def _sweep(self) -> None:
        self._calls = [deque(call for call in calls if not call.done) for calls in self._calls]
        self._kept = sum(map(len, self._calls))
        self._sweep_at = max(_FEW, 2 * self._kept)
