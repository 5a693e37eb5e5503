"""Servers whose laws the product's fit was not built from: processor sharing, a batch that works in steps, answers of two speeds.

They are written down here, plainly, and nowhere in the product: what an estimate makes of their events can be held against the truth.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.capacity.service_law import Law
from routecast.analytics.simulation.servers import Done, Queueing, Server
from routecast.analytics.simulation.simulator import EventQueue, Scheduled

Floats = NDArray[np.float64]
LawName = Literal["sharing", "batch", "two speeds"]

STEP_MS = 40.0
"""A step of a batch of one."""
PREFILL_MS = 6.0
"""What each call that joins a batch adds to the step in which it does."""
FAST, SLOW, SLOW_SHARE = 0.5, 3.0, 0.2
"""Work of quick and of slow answers, against the mean, and how many are slow."""


class _Open:
    """A call: over when `done` is None."""

    def __init__(self, server: Sharing | Batch, left: float, done: Done) -> None:
        self.server, self.left = server, left
        self.done: Done | None = done

    def cancel(self) -> None:
        if self.done is not None:
            self.done = None
            self.server.leave(self)


class Sharing:
    """All calls get the same part of `slots` processors, one at most; reckoned call by call at every event."""

    slowdown = 1.0

    def __init__(self, queue: EventQueue, slots: float) -> None:
        self.slots = slots
        self._queue = queue
        self._calls: list[_Open] = []
        self._at_ms = queue.now_ms
        self._next: Scheduled | None = None

    @property
    def in_flight(self) -> int:
        """Calls that are open."""
        return len(self._calls)

    def submit(self, work_ms: float, done: Done) -> _Open:
        """Begin a call."""
        self._pass()
        call = _Open(self, work_ms, done)
        self._calls.append(call)
        self._plan()
        return call

    def leave(self, call: _Open) -> None:
        """A call is no longer open."""
        self._pass()
        self._calls.remove(call)
        self._plan()

    def _pass(self) -> None:
        if self._calls:
            got = (self._queue.now_ms - self._at_ms) * min(1.0, self.slots / len(self._calls))
            for call in self._calls:
                call.left -= got
        self._at_ms = self._queue.now_ms

    def _plan(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._calls:
            first = min(self._calls, key=lambda call: call.left)
            self._next = self._queue.after(max(0.0, first.left) * max(1.0, len(self._calls) / self.slots), self._end, first)

    def _end(self, call: _Open) -> None:
        done, call.done = call.done, None
        self.leave(call)
        if done is not None:
            done("ok")


class Batch:
    """Continuous batching: a step moves every call of the batch on by one; it takes longer the fuller the batch is, and when calls join.

    Twice `slots` calls fit; a full batch steps at half speed. Calls join between steps, in order of arrival.
    """

    slowdown = 1.0

    def __init__(self, queue: EventQueue, slots: float) -> None:
        self.slots = slots
        self.most = int(2 * slots)
        self._queue = queue
        self._steps = self._inserted = 0
        self._batch: list[tuple[int, int, _Open]] = []
        self._waiting: deque[_Open] = deque()
        self._runs = False

    @property
    def in_flight(self) -> int:
        """Calls that are open."""
        return len(self._batch) + len(self._waiting)

    def submit(self, work_ms: float, done: Done) -> _Open:
        """Begin a call."""
        call = _Open(self, work_ms, done)
        self._waiting.append(call)
        if not self._runs:
            self._runs = True
            self._step()
        return call

    def leave(self, call: _Open) -> None:
        """Nobody gives up here."""

    def _step(self) -> None:
        joined = 0
        while self._waiting and len(self._batch) < self.most:
            call = self._waiting.popleft()
            self._inserted, joined = self._inserted + 1, joined + 1
            heappush(self._batch, (self._steps + steps_of(call.left), self._inserted, call))
        slowness = 1.0 + (len(self._batch) - 1) / (self.most - 1)
        self._queue.after(STEP_MS * slowness + PREFILL_MS * joined, self._stepped)

    def _stepped(self) -> None:
        self._steps += 1
        ended: list[_Open] = []
        while self._batch and self._batch[0][0] <= self._steps:
            ended.append(heappop(self._batch)[2])
        if self._batch or self._waiting:
            self._step()
        else:
            self._runs = False
        for call in ended:
            if call.done is not None:
                call.done("ok")


def steps_of(work_ms: float) -> int:
    """Steps that this work takes, at least one."""
    return max(1, round(work_ms / STEP_MS))


class HiddenLaw(NamedTuple):
    """A law: how its servers work, how its requests differ, what an answer takes alone."""

    server: Callable[[EventQueue, float], Server]
    limit_ms: float
    """The wait at which its capacity is asked for."""
    factor: Callable[[np.random.Generator, int], Floats]
    """Of every request on its work; mean 1."""
    alone_ms: Callable[[float], float]
    """Of work."""
    known: Callable[[float, float], Law]
    """What the fit should find, of slots and of the mean work, ms: the law of its family that comes nearest."""


def _same(_rng: np.random.Generator, n: int) -> Floats:
    return np.ones(n)


def _two_speeds(rng: np.random.Generator, n: int) -> Floats:
    return np.where(rng.random(n) < SLOW_SHARE, SLOW, FAST)


def _batch(slots: float, work_ms: float) -> Law:
    """In each of `work_ms` ÷ `STEP_MS` steps, that share of a full batch is new and adds its prefill to the step of all."""
    return Law(float(int(2 * slots)), 1.0, 1.0 / (int(2 * slots) - 1) + PREFILL_MS / work_ms)


LAWS: dict[LawName, HiddenLaw] = {
    "sharing": HiddenLaw(Sharing, 2000.0, _same, float, lambda slots, _: Law(math.inf, slots, 1.0 / slots)),
    "batch": HiddenLaw(Batch, 4000.0, _same, lambda work_ms: steps_of(work_ms) * STEP_MS + PREFILL_MS, _batch),
    "two speeds": HiddenLaw(Queueing, 1000.0, _two_speeds, float, lambda slots, _: Law(slots, 1.0, 0.0)),
}
