"""When plans are made: every `analysis_ms`, one service after the other, each in a process of its own, while the leader goes on.

A round that takes long is followed by a rest, so that plans take a fifth of a core at most. What fails is a warning; the next round tries again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from routecast.analytics.insights.planning import plan, simulated
from routecast.models.capacity import Capacity
from routecast.models.config import Config
from routecast.models.errors import Unreachable
from routecast.models.insights import Recommendations
from routecast.models.planning import PlanningInput
from routecast.streams.clock import Clock
from routecast.streams.leadership.planning import Child

REST: Final = 4.0
"""Times that a round took, to rest from it."""
_STOP_S = 2.0

_log = logging.getLogger(__name__)


class Planned(Protocol):
    """Who asks for plans, and takes them: a leader."""

    def planning_input(self, service: str) -> PlanningInput | None:
        """What the plan of a service is made from; None where there is nothing to plan."""

    def planned(self, capacity: Capacity, recommendations: Recommendations) -> None:
        """Take a plan."""


def plan_at_once(leader: Planned, services: Iterable[str]) -> None:
    """Plan here and now, for seconds: where time is virtual."""
    for service in services:
        planning = leader.planning_input(service)
        if planning is not None:
            leader.planned(*plan(planning))


class Planner:
    """Makes the plans of one leader. Everything but the processes happens in the thread that calls `turn`.

    Args:
        config: services and intervals.
        clock: for rounds and rests.
        child: makes what makes one plan.
    """

    def __init__(self, config: Config, clock: Clock, child: Callable[[], Child] = Child) -> None:
        self._services = sorted(config.services) if config.planning.enabled else []
        self._interval_s = config.intervals.analysis_ms / 1000.0
        self._clock = clock
        self._make = child
        self._left: list[str] = []
        self._due_s = clock.monotonic_s() + self._interval_s
        self._busy_s = 0.0
        self._child: Child | None = None
        self._thread: threading.Thread | None = None
        self._done: SimpleQueue[tuple[Capacity, Recommendations] | None] = SimpleQueue()
        self._said = ""

    def turn(self, leader: Planned) -> None:
        """Hand over what is ready and begin what is due; to be called after ticks. Takes some milliseconds where it begins something; never raises."""
        try:
            self._turn(leader)
        except Exception as error:  # noqa: BLE001 - a plan is worth no snapshot
            self._complain(repr(error))

    def _turn(self, leader: Planned) -> None:
        if not self._services or not self._free(leader):
            return
        now_s = self._clock.monotonic_s()
        if not self._left:
            if now_s < self._due_s:
                return
            self._left, self._busy_s, self._due_s = list(self._services), 0.0, now_s + self._interval_s
        planning = leader.planning_input(self._left.pop(0))
        if planning is not None and not simulated(planning):
            leader.planned(*plan(planning))
        elif planning is not None:
            self._begin(planning)

    def _free(self, leader: Planned) -> bool:
        """Whether no process is at work; what the last one made is handed over."""
        if self._thread is None:
            return True
        try:
            made = self._done.get_nowait()
        except Empty:
            return False
        self._thread = None
        self._due_s = max(self._due_s, self._clock.monotonic_s() + REST * self._busy_s)
        if made is not None:
            leader.planned(*made)
        return True

    def _begin(self, planning: PlanningInput) -> None:
        self._child = self._make()
        self._thread = threading.Thread(target=self._wait, args=(self._child, planning), name="routecast-planning", daemon=True)
        self._thread.start()

    def _wait(self, child: Child, planning: PlanningInput) -> None:
        began_s, made = self._clock.monotonic_s(), None
        try:
            made = child.plan(planning)
            self._said = ""
        except Unreachable as error:
            self._complain(str(error))
        except Exception as error:  # noqa: BLE001 - of a thread that nobody else looks after
            self._complain(repr(error))
        self._busy_s += self._clock.monotonic_s() - began_s
        self._done.put(made)

    def _complain(self, words: str) -> None:
        """Once for each reason, until it works again."""
        if words != self._said:
            _log.warning("capacity and recommendations are not brought up to date: %s", words)
        self._said = words

    def close(self) -> None:
        """End the process that is at work; nothing more is begun."""
        self._services = []
        if self._child is not None:
            self._child.stop()
        if self._thread is not None:
            self._thread.join(_STOP_S)
