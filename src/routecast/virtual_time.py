"""asyncio in virtual time: coroutines, and what a simulation has scheduled, run on one clock, in order, without waiting.

For programs that await `Router.call` in a `testing.Fleet`: `run(fleet.queue, main())`.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from routecast.analytics.simulation.simulator import EventQueue

Result = TypeVar("Result")

_RESOLUTION_S = 1e-6


def run(queue: EventQueue, work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end on the clock of `queue`; sleeps and time limits are virtual.

    Raises RuntimeError when it waits for something that will never happen: nothing is scheduled any more.
    """
    with asyncio.Runner(loop_factory=lambda: _VirtualLoop(queue)) as runner:
        return runner.run(work)


class _VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time is that of an event queue."""

    def __init__(self, queue: EventQueue) -> None:
        self._queue = queue
        super().__init__(_Leaps(queue))
        self._clock_resolution = _RESOLUTION_S

    def time(self) -> float:
        """Virtual time in seconds."""
        return self._queue.now_ms / 1000.0


class _Leaps(selectors.DefaultSelector):
    """Moves the clock on where a selector would wait."""

    def __init__(self, queue: EventQueue) -> None:
        super().__init__()
        self._queue = queue

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; else the clock moves to what is due next, on the queue or on the loop."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        queue = self._queue
        until_ms = min(queue.next_ms, math.inf if timeout is None else queue.now_ms + timeout * 1000.0)
        if until_ms == math.inf:
            raise RuntimeError("everything waits and nothing is scheduled any more: what is awaited will never happen")
        queue.advance_to(max(until_ms, queue.now_ms))
        return ready
