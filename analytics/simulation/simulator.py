"""Virtual time: a queue of callbacks that run in order of their time, so that hours of traffic pass in seconds and always alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TypeVarTuple

Args = TypeVarTuple("Args")


class Scheduled:
    """A callback that waits for its time."""

    __slots__ = ("args", "callback")

    def __init__(self, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args

    @property
    def pending(self) -> bool:
        """Whether it has neither run nor been cancelled."""
        return self.callback is not None

    def cancel(self) -> None:
        """Never run it; without effect once it ran."""
        self.callback = None
        self.args = ()


class EventQueue:
    """A virtual clock in milliseconds and what is due on it.

    Callbacks run in the order of (time, insertion); one that schedules at the present moment runs in the same `advance_to`.
    An exception leaves the clock at the time of its callback, and the rest still queued. Memory: one entry for each callback
    whose time has not come, cancelled or not.

    Args:
        now_ms: where the clock stands at first.
        pace: called with each time the clock is about to move to; it may wait until the time has come elsewhere, as on a wall clock.
    """

    __slots__ = ("_advancing", "_due", "_inserted", "_pace", "now_ms")

    def __init__(self, now_ms: float = 0.0, pace: Callable[[float], object] | None = None) -> None:
        self.now_ms = now_ms
        self._pace = pace
        self._due: list[tuple[float, int, Scheduled]] = []
        self._inserted = 0
        self._advancing = False

    def at(self, time_ms: float, callback: Callable[[*Args], object], *args: *Args) -> Scheduled:
        """Run `callback(*args)` at `time_ms`. Raises ValueError for a time that has passed or is not a number."""
        if not time_ms >= self.now_ms:
            raise ValueError(f"cannot schedule at {time_ms} ms: the clock stands at {self.now_ms} ms, give that time or a later one")
        event = Scheduled(callback, args)
        self._inserted += 1
        heappush(self._due, (time_ms, self._inserted, event))
        return event

    def after(self, delay_ms: float, callback: Callable[[*Args], object], *args: *Args) -> Scheduled:
        """Run `callback(*args)` when `delay_ms` have passed. Raises ValueError for a negative delay."""
        return self.at(self.now_ms + delay_ms, callback, *args)

    @property
    def next_ms(self) -> float:
        """When the next callback is due; infinite where none is."""
        while self._due and not self._due[0][2].pending:
            heappop(self._due)
        return self._due[0][0] if self._due else math.inf

    def advance_to(self, time_ms: float) -> None:
        """Run everything due up to and including `time_ms`, then stand there.

        Raises ValueError for a time that has passed, RuntimeError when a callback calls it.
        """
        if not time_ms >= self.now_ms:
            raise ValueError(f"cannot go back to {time_ms} ms: the clock stands at {self.now_ms} ms")
        if self._advancing:
            raise RuntimeError("a callback advanced the clock that runs it: schedule with at() or after() instead")
        self._advancing = True
        try:
            self._run_until(time_ms)
        finally:
            self._advancing = False
        self.now_ms = time_ms

    def _run_until(self, time_ms: float) -> None:
        due, pace = self._due, self._pace
        while due and due[0][0] <= time_ms:
            if pace is not None:
                pace(due[0][0])
            at_ms, _, event = heappop(due)
            callback = event.callback
            if callback is None:
                continue
            self.now_ms = at_ms
            event.callback = None
            callback(*event.args)
        if pace is not None:
            pace(time_ms)
