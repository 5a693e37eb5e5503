"""How a simulated provider spends time on its calls: slots with a waiting line; `contended.py` has those that work on many at once.

Work is given in milliseconds at full speed; `slowdown` divides the speed. A call the caller gives up stops being worked on and
frees what it held, as when a connection is closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from routecast.analytics.simulation.simulator import EventQueue, Scheduled
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
