"""The requests of a scene through one policy: every attempt with its times and its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.backtest.scene import Scene
from routecast.analytics.backtest.simulated import SimulatedTarget
from routecast.analytics.simulation.references import Cost
from routecast.analytics.simulation.servers import Call
from routecast.analytics.simulation.simulator import EventQueue, Scheduled
from routecast.analytics.simulation.trial import ATTEMPTS, FAILURE_COST_S
from routecast.models.events import Outcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Handle = TypeVar("Handle")

OUTCOMES: Final[tuple[Outcome, ...]] = ("ok", "error", "timeout", "rate_limited", "cancelled")


class Chooser(Protocol[Handle]):
    """A policy for all routers of a scene."""

    def choose(self, request: int, tried: Collection[int]) -> int:
        """The target of the next attempt."""
        ...

    def started(self, request: int, target: int) -> Handle:
        """The attempt just chosen has begun; what is returned comes back when it ends."""
        ...

    def probes(self, handle: Handle) -> bool:
        """Whether the attempt only asks whether its target is well again."""
        ...

    def finished(self, handle: Handle, duration_ms: float, outcome: Outcome, target: SimulatedTarget) -> None:
        """An attempt has ended."""
        ...


class Stage(NamedTuple):
    """What a policy is made from: the clock, and the targets for those who may see them."""

    queue: EventQueue
    scene: Scene
    targets: Sequence[SimulatedTarget]


@dataclass(frozen=True, eq=False)
class Played:
    """Every attempt and what became of every request, times in ms since the first arrival."""

    scene: Scene
    request: Ints
    target: Ints
    begun_ms: Floats
    ended_ms: Floats
    outcome: Ints
    """Place in `OUTCOMES`."""
    probe: Bools
    """Attempts that only asked whether a target is well again."""
    time_ms: Floats
    """Per request, from its arrival until its last attempt ended."""
    failed: Bools
    """Per request, whether it had no success."""
    served: Ints
    """Per request, the target that answered; −1 where none did."""

    @property
    def to_success_ms(self) -> Floats:
        """Per request; a failed one costs 30 s more."""
        return self.time_ms + 1000.0 * FAILURE_COST_S * self.failed


Observer = Callable[[int, float, bool], object]
"""Told when a request is over: its number, how long it took in ms, whether it failed."""


def play(
    scene: Scene, policy: Callable[[Stage], Chooser[Handle]], *, attempts: int = ATTEMPTS, queue: EventQueue | None = None, observe: Observer | None = None,
) -> Played:  # fmt: skip
    """Route every request of the scene, until the last one has ended; equal arguments give equal results.

    Retries are immediate and exclude what was tried, at most `attempts` for a request. The clock begins at the arrival of the first request. An
    attempt open for as long as its request's recorded deadline ends as a timeout.
    """
    queue = queue if queue is not None else EventQueue(scene.requests.start_ms)
    targets = [SimulatedTarget(queue, target) for target in scene.targets]
    return _Play(Stage(queue, scene, targets), policy, attempts, observe).run()


class _Attempt(Generic[Handle]):
    __slots__ = ("begun_ms", "call", "handle", "request", "target", "timer", "tried")

    def __init__(self, request: int, target: int, tried: tuple[int, ...], begun_ms: float, handle: Handle) -> None:
        self.request, self.target, self.tried, self.begun_ms, self.handle = request, target, tried, begun_ms, handle
        self.call: Call | None = None
        self.timer: Scheduled | None = None


class _Play(Generic[Handle]):
    def __init__(self, stage: Stage, policy: Callable[[Stage], Chooser[Handle]], attempts: int, observe: Observer | None) -> None:
        self._queue, self._scene, self._targets = stage
        self._chooser = policy(stage)
        self._attempts = min(attempts, len(self._targets))
        self._observe = observe
        self._asked = self._scene.requests.asked
        n = len(self._scene.requests)
        self._start_ms = self._queue.now_ms
        self._at_ms: list[float] = (self._scene.requests.at_ms + self._start_ms).tolist()
        self._rows: list[tuple[int, int, float, float, int, bool]] = []
        self._time_ms, self._failed, self._served = [0.0] * n, [True] * n, [-1] * n
        self._open = 0

    def run(self) -> Played:
        for number, at_ms in enumerate(self._at_ms):
            self._queue.advance_to(at_ms)
            self._open += 1
            self._attempt(number, ())
        while self._open:
            self._queue.advance_to(self._queue.now_ms + 1000.0)
        request, target, begun_ms, ended_ms, outcome, probe = (np.array(column) for column in zip(*self._rows, strict=True))
        return Played(self._scene, request, target, begun_ms, ended_ms, outcome, probe, np.array(self._time_ms), np.array(self._failed), np.array(self._served))

    def _attempt(self, request: int, tried: tuple[int, ...]) -> None:
        target = self._chooser.choose(request, tried)
        made = _Attempt(request, target, (*tried, target), self._queue.now_ms, self._chooser.started(request, target))
        made.call = self._targets[target].submit(request, partial(self._ended, made))
        if request in self._asked and self._asked[request].deadline_ms < math.inf:
            made.timer = self._queue.after(self._asked[request].deadline_ms, self._expired, made)

    def _expired(self, made: _Attempt[Handle]) -> None:
        if made.call is not None:
            made.call.cancel()
        made.timer = None
        self._ended(made, "timeout")

    def _ended(self, made: _Attempt[Handle], outcome: Outcome) -> None:
        if made.timer is not None:
            made.timer.cancel()
        now_ms, request = self._queue.now_ms, made.request
        self._chooser.finished(made.handle, now_ms - made.begun_ms, outcome, self._targets[made.target])
        place = OUTCOMES.index(outcome)
        self._rows.append((request, made.target, made.begun_ms - self._start_ms, now_ms - self._start_ms, place, self._chooser.probes(made.handle)))
        if outcome != "ok" and len(made.tried) < self._attempts:
            self._attempt(request, made.tried)
            return
        self._open -= 1
        self._time_ms[request], self._failed[request] = now_ms - self._at_ms[request], outcome != "ok"
        self._served[request] = made.target if outcome == "ok" else -1
        if self._observe is not None:
            self._observe(request, self._time_ms[request], outcome != "ok")


class PerfectState:
    """A reference: the target of least cost on perfect fresh state, passing over what is down or at its limit. Knows no request's own work.

    Args:
        stage: whose targets it sees.
        cost: from mean time alone, s, and (calls in flight + 1) ÷ slots.
    """

    def __init__(self, stage: Stage, cost: Cost) -> None:
        pairs = zip(stage.targets, stage.scene.targets, strict=True)
        self._targets = [(i, target, target.server, float(spec.alone_ms.mean()) / 1000.0) for i, (target, spec) in enumerate(pairs)]
        self._cost = cost

    def choose(self, request: int, tried: Collection[int]) -> int:
        """The target of least cost; the first untried one where none is available."""
        del request
        best, least = -1, math.inf
        for i, target, server, mean_s in self._targets:
            cost = self._cost(mean_s * server.slowdown, (server.in_flight + 1) / server.slots)
            if cost < least and i not in tried and target.available:
                best, least = i, cost
        return best if best >= 0 else next(i for i, *_ in self._targets if i not in tried)

    def started(self, request: int, target: int) -> None:
        """Nothing to keep: the state is the targets' own."""

    def probes(self, handle: None) -> bool:
        """Never: it knows."""
        del handle
        return False

    def finished(self, handle: None, duration_ms: float, outcome: Outcome, target: SimulatedTarget) -> None:
        """Nothing to learn."""
