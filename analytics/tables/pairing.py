"""Starts and ends of calls, put together as they come: what a log says of each attempt, in batches."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple, cast

from routecast.models.events import Completed, DecisionRef, Event, Feedback, Started

_UNKNOWN: Any = None
NO_DECISION: Final = DecisionRef(
    policy=_UNKNOWN, snapshot=cast("tuple[int, int]", (math.nan, math.nan)), propensity=math.nan, candidates=_UNKNOWN, forced=_UNKNOWN
)
"""Stands for the decision of a call that no router chose; what it lacks is None or not a number."""
NO_START: Final = Started(at_ms=math.nan, request_id="", target="", urgency=_UNKNOWN)
NO_END: Final = Completed(at_ms=math.nan, request_id="", target="", started_at_ms=math.nan, duration_ms=math.nan, outcome=_UNKNOWN)


class Attempts(NamedTuple):
    """Attempts, one place each in every list."""

    starts: list[Started]
    """`NO_START` where that is not in the log."""
    ends: list[Completed]
    """`NO_END` where that is not in the log."""
    decisions: list[DecisionRef]


class Pairing:
    """Joins the events of attempts. Memory: the calls that are open, the attempts that were not taken yet, and what feedback said.

    Ordering: the start of a call comes before its end, as emitters keep one partition; else it makes a row of its own.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], Started] = {}
        self._ended = Attempts([], [], [])
        self.feedback: list[Feedback] = []

    def __len__(self) -> int:
        return len(self._ended.ends)

    def add(self, event: Event) -> None:
        """Take the next event; those that tell nothing of a request are passed over."""
        if isinstance(event, Completed):
            self._end(self._open.pop((event.request_id, event.attempt), NO_START), event, event.decision)
        elif isinstance(event, Started):
            self._open[event.request_id, event.attempt] = event
        elif isinstance(event, Feedback):
            self.feedback.append(event)

    def _end(self, start: Started, end: Completed, decision: DecisionRef | None) -> None:
        self._ended.starts.append(start)
        self._ended.ends.append(end)
        self._ended.decisions.append(decision or start.decision or NO_DECISION)

    def take(self) -> Attempts:
        """The attempts that ended since the last time, in the order of their ends."""
        taken, self._ended = self._ended, Attempts([], [], [])
        return taken

    def finish(self) -> Attempts:
        """The same at the end of the log, with the calls that are open still."""
        for start in self._open.values():
            self._end(start, NO_END, start.decision)
        self._open.clear()
        return self.take()
