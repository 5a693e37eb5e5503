"""A server that admits a number of calls, lets the others wait in order of arrival, and slows down with what it works on.

Slots, processor sharing, batches whose steps take longer the fuller they are: all of them are a bound on what is worked on at once and a
slowness, a function of how much that is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

from routecast.analytics.simulation.servers import Done
from routecast.analytics.simulation.simulator import EventQueue, Scheduled


class Contended:
    """At most `slots` calls are worked on; with m of them, each takes `slowness(m)` times as long as alone.

    Calls beyond wait, first come first served. Virtual time, the work every call has received since the server was last empty, orders the
    ends: a call that begins at v with work w ends at v + w. O(log n) for a submission or an end. A slowdown acts at once on everything under way.

    Args:
        queue: virtual time.
        slots: calls worked on at once, ≥ 1; infinite: nothing waits.
        slowness: of m calls, m ≥ 1; at least 1 and never falling.
    """

    def __init__(self, queue: EventQueue, slots: float, slowness: Callable[[int], float]) -> None:
        self.slots = slots
        """Calls it works on at full speed at once, as far as anybody is told."""
        self._most = slots
        self.in_flight = 0
        self._queue = queue
        self._slowness = slowness
        self._speeds = [1.0]
        self._slowdown = 1.0
        self._speed = 1.0
        self._busy = 0
        self._received_ms = 0.0
        self._updated_ms = queue.now_ms
        self._inserted = 0
        self._works: list[tuple[float, int, _Work]] = []
        self._waiting: deque[_Work] = deque()
        self._next: tuple[_Work, Scheduled] | None = None

    @property
    def slowdown(self) -> float:
        """By how much everything takes longer than its work; 1 = full speed."""
        return self._slowdown

    @slowdown.setter
    def slowdown(self, factor: float) -> None:
        self._catch_up()
        self._slowdown = factor
        self._plan()

    def submit(self, work_ms: float, done: Done) -> _Work:
        """Begin the call, or let it wait for its turn."""
        work = _Work(self, work_ms, done)
        self.in_flight += 1
        if self._busy < self._most:
            self._catch_up()
            self._begin(work)
            self._plan()
        else:
            self._waiting.append(work)
        return work

    def give_up(self, work: _Work) -> None:
        """Leave the place to the others; one that waits is passed over when its turn comes."""
        work.done = None
        self.in_flight -= 1
        if work.begun:
            self._catch_up()
            self._free()
            self._plan()

    def _begin(self, work: _Work) -> None:
        work.begun = True
        self._busy += 1
        self._inserted += 1
        heappush(self._works, (self._received_ms + work.work_ms, self._inserted, work))

    def _free(self) -> None:
        self._busy -= 1
        while self._waiting:
            following = self._waiting.popleft()
            if following.done is not None:
                self._begin(following)
                return

    def _catch_up(self) -> None:
        now_ms = self._queue.now_ms
        self._received_ms += (now_ms - self._updated_ms) * self._speed
        self._updated_ms = now_ms

    def _plan(self) -> None:
        works, ahead = self._works, self._next
        while works and works[0][2].done is None:
            heappop(works)
        if not works:
            self._received_ms = 0.0
            self._forget_next()
            return
        speed = self._speed_of(self._busy) / self._slowdown
        ends_ms, _, first = works[0]
        if ahead is not None and ahead[0] is first and speed == self._speed:
            return
        self._speed = speed
        self._forget_next()
        self._next = first, self._queue.after(max(0.0, ends_ms - self._received_ms) / speed, self._end_first)

    def _speed_of(self, busy: int) -> float:
        speeds = self._speeds
        while len(speeds) <= busy:
            speeds.append(1.0 / self._slowness(len(speeds)))
        return speeds[busy]

    def _forget_next(self) -> None:
        if self._next is not None:
            self._next[1].cancel()
            self._next = None

    def _end_first(self) -> None:
        self._catch_up()
        ends_ms, _, work = heappop(self._works)
        # Rounding must not let virtual time fall behind an end that has happened.
        self._received_ms = max(self._received_ms, ends_ms)
        done, work.done = work.done, None
        self.in_flight -= 1
        self._free()
        self._next = None
        self._plan()
        if done is not None:
            done("ok")


def processor_sharing(queue: EventQueue, slots: float) -> Contended:
    """All calls progress at once, each at the rate min(1, slots ÷ calls) ÷ slowdown."""
    server = Contended(queue, math.inf, lambda busy: max(1.0, busy / slots))
    server.slots = slots
    return server


class _Work:
    """A call in a contended server: over when `done` is None."""

    __slots__ = ("begun", "done", "server", "work_ms")

    def __init__(self, server: Contended, work_ms: float, done: Done) -> None:
        self.server = server
        self.work_ms = work_ms
        self.done: Done | None = done
        self.begun = False

    def cancel(self) -> None:
        if self.done is not None:
            self.server.give_up(self)
