"""How a simulated provider spends time on its calls: slots with a waiting line, or one capacity shared by all calls.

Work is given in milliseconds at full speed; `slowdown` divides the speed. A call the caller gives up stops being worked on and
frees what it held, as when a connection is closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

from routecast.analytics.simulator import EventQueue, Scheduled
from routecast.models.events import Outcome

Done = Callable[[Outcome], object]
"""Called once on the event queue, never from inside `submit`, when a call ends by itself."""


class Call(Protocol):
    """A call under way."""

    def cancel(self) -> None:
        """Give it up: `done` will not be called. Without effect once it ended."""
        ...


class Server(Protocol):
    """Anything that works on calls."""

    slots: float
    """Calls it works on at full speed at once; infinite where load makes nothing slower."""

    @property
    def in_flight(self) -> int:
        """Calls submitted and not yet ended or given up, waiting ones included."""
        ...

    @property
    def slowdown(self) -> float:
        """By how much everything takes longer than its work; 1 = full speed."""
        ...

    @slowdown.setter
    def slowdown(self, factor: float) -> None: ...

    def submit(self, work_ms: float, done: Done) -> Call:
        """Begin a call that takes `work_ms` at full speed."""
        ...


class Queueing:
    """`slots` calls at a time, the others wait in order of arrival (G/G/c, first come first served).

    Infinite slots make it elastic: nothing ever waits. A slowdown acts on calls whose work begins under it.
    """

    def __init__(self, queue: EventQueue, slots: float) -> None:
        self.slots = slots
        self.in_flight = 0
        self.slowdown = 1.0
        self._queue = queue
        self._busy = 0
        self._waiting: deque[_Job] = deque()

    def submit(self, work_ms: float, done: Done) -> Call:
        """Begin the call, or let it wait for a slot."""
        job = _Job(self, work_ms, done)
        self.in_flight += 1
        if self._busy < self.slots:
            self._begin(job)
        else:
            self._waiting.append(job)
        return job

    def _begin(self, job: _Job) -> None:
        self._busy += 1
        job.ending = self._queue.after(job.work_ms * self.slowdown, self._end, job)

    def _end(self, job: _Job) -> None:
        done = job.done
        self._leave(job)
        if done is not None:
            done("ok")

    def _leave(self, job: _Job) -> None:
        job.done = None
        self.in_flight -= 1
        if job.ending is None:
            return
        self._busy -= 1
        waiting = self._waiting
        while waiting:
            following = waiting.popleft()
            if following.done is not None:
                self._begin(following)
                return

    def give_up(self, job: _Job) -> None:
        """Free what the call holds; one that waits is passed over when its turn comes."""
        if job.ending is not None:
            job.ending.cancel()
        self._leave(job)


class _Job:
    """A call in a queueing server: waiting while `ending` is None, over when `done` is."""

    __slots__ = ("done", "ending", "server", "work_ms")

    def __init__(self, server: Queueing, work_ms: float, done: Done) -> None:
        self.server = server
        self.work_ms = work_ms
        self.done: Done | None = done
        self.ending: Scheduled | None = None

    def cancel(self) -> None:
        if self.done is not None:
            self.server.give_up(self)


class ProcessorSharing:
    """All calls progress at once, each at the rate min(1, slots ÷ calls) ÷ slowdown.

    Virtual time, the work every call has received since the server was last empty, orders the ends: a call submitted at v with
    work w ends at v + w. O(log n) for a submission or an end. A slowdown acts at once on everything under way.
    """

    def __init__(self, queue: EventQueue, slots: float) -> None:
        self.slots = slots
        self.in_flight = 0
        self._queue = queue
        self._slowdown = 1.0
        self._rate = 1.0
        self._received_ms = 0.0
        self._updated_ms = queue.now_ms
        self._inserted = 0
        self._shares: list[tuple[float, int, _Share]] = []
        self._next: tuple[_Share, Scheduled] | None = None

    @property
    def slowdown(self) -> float:
        """By how much everything takes longer than its work; 1 = full speed."""
        return self._slowdown

    @slowdown.setter
    def slowdown(self, factor: float) -> None:
        self._catch_up()
        self._slowdown = factor
        self._plan()

    def submit(self, work_ms: float, done: Done) -> Call:
        """Begin the call; every other one slows down when more are under way than slots."""
        self._catch_up()
        share = _Share(self, done)
        self._inserted += 1
        heappush(self._shares, (self._received_ms + work_ms, self._inserted, share))
        self.in_flight += 1
        self._plan()
        return share

    def give_up(self, share: _Share) -> None:
        """Leave the capacity to the others."""
        self._catch_up()
        share.done = None
        self.in_flight -= 1
        self._plan()

    def _catch_up(self) -> None:
        now_ms = self._queue.now_ms
        self._received_ms += (now_ms - self._updated_ms) * self._rate
        self._updated_ms = now_ms

    def _plan(self) -> None:
        shares = self._shares
        while shares and shares[0][2].done is None:
            heappop(shares)
        if not shares:
            self._received_ms = 0.0
            self._forget_next()
            return
        rate = min(1.0, self.slots / self.in_flight) / self._slowdown
        ends_ms, _, first = shares[0]
        if self._next is not None and self._next[0] is first and rate == self._rate:
            return
        self._rate = rate
        self._forget_next()
        left_ms = max(0.0, ends_ms - self._received_ms) / rate
        self._next = first, self._queue.after(left_ms, self._end_first)

    def _forget_next(self) -> None:
        if self._next is not None:
            self._next[1].cancel()
            self._next = None

    def _end_first(self) -> None:
        self._catch_up()
        ends_ms, _, share = heappop(self._shares)
        # Rounding must not let virtual time fall behind an end that has happened.
        self._received_ms = max(self._received_ms, ends_ms)
        done, share.done = share.done, None
        self.in_flight -= 1
        self._plan()
        if done is not None:
            done("ok")


class _Share:
    """A call in a shared server: over when `done` is None."""

    __slots__ = ("done", "server")

    def __init__(self, server: ProcessorSharing, done: Done) -> None:
        self.server = server
        self.done: Done | None = done

    def cancel(self) -> None:
        if self.done is not None:
            self.server.give_up(self)
