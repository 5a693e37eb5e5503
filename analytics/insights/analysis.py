"""Trends of all subjects, found a part at a time: at a thousand targets all at once would take 50 ms of one tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import ValidationError

from routecast.analytics.changes.trends import TrendTracker
from routecast.models.errors import DecodeError
from routecast.models.insights import Direction, Metric, Subject, Trend, Trends

_PART: Final = 100
"""Subjects that are analysed together: 6 ms."""
_MOST_PARTS: Final = 3
"""At a tick."""


class Analysis:
    """Goes over all subjects, service by service, once it is begun; those of the system belong to the empty service.

    It reads the windows as they are: before a minute ends it has to be finished. So whoever takes over in the middle finds the same.

    Args:
        tracker: keeps the windows; its state is to be restored first.
    """

    STATE: ClassVar[tuple[str, ...]] = ("under_way", "directions")

    def __init__(self, tracker: TrendTracker) -> None:
        self._tracker = tracker
        self._at_ms = 0.0
        self._subjects: Sequence[Subject] = ()
        self._order: list[int] = []
        """Places of the subjects, service by service."""
        self._ends: dict[str, int] = {}
        """Where each service ends in that order; those that were said are left out."""
        self._first = self._done = 0
        """Up to where it was said, and up to where it is analysed."""
        self._found: dict[str, list[Trend]] = {}
        """By service, where it was not said."""
        self.directions: dict[str, dict[Metric, Direction]] = {}
        """What was said last, by `Subject.key` and metric; what is unknown is left out."""

    def begin(self, at_ms: float, subjects: Sequence[Subject]) -> None:
        """Begin one, of this time (epoch ms)."""
        places: dict[str, list[int]] = {}
        for place, subject in enumerate(subjects):
            places.setdefault(subject.service or "", []).append(place)
        self._at_ms, self._subjects, self._first, self._done = at_ms, subjects, 0, 0
        self._order, self._ends, self._found = [], {}, {}
        for service, own in places.items():
            self._order += own
            self._ends[service] = len(self._order)

    @property
    def running(self) -> bool:
        """Whether there is something left of it."""
        return bool(self._ends)

    def go_on(self) -> list[Trends]:
        """Analyse a few parts; the services that were completed."""
        return [found for _ in range(_MOST_PARTS) for found in self._part()]

    def finish(self) -> list[Trends]:
        """Analyse what is left."""
        found: list[Trends] = []
        while self.running:
            found += self._part()
        return found

    def _part(self) -> list[Trends]:
        if self.running:
            self._take(self._done, self._done + _PART)
        return [self._said(service) for service, end in [*self._ends.items()] if end <= self._done]

    def _take(self, begin: int, end: int) -> None:
        places = self._order[begin:end]
        for trend in self._tracker.trends(self._tracker.fitted(places), [self._subjects[place] for place in places]):
            self._found.setdefault(trend.subject.service or "", []).append(trend)
        self._done = begin + len(places)

    def _said(self, service: str) -> Trends:
        found, begin, self._first = self._found.pop(service, []), self._first, self._ends.pop(service)
        self.directions |= {self._subjects[place].key: {} for place in self._order[begin : self._first]}
        for trend in found:
            if trend.trend != "unknown":
                self.directions[trend.subject.key][trend.metric] = trend.trend
        return Trends(service=service, at_ms=self._at_ms, trends=tuple(found))

    @property
    def under_way(self) -> dict[str, Any]:
        """Where it is, as plain data; empty while none is running."""
        subjects = [subject.model_dump(exclude_none=True) for subject in self._subjects] if self.running else []
        return {"at_ms": self._at_ms, "first": self._first, "done": self._done, "subjects": subjects} if subjects else {}

    @under_way.setter
    def under_way(self, state: Mapping[str, Any]) -> None:
        if not state:
            self.begin(0.0, ())
            return
        try:
            self.begin(state["at_ms"], [Subject.model_validate(subject) for subject in state["subjects"]])
        except ValidationError as error:
            raise DecodeError(f"checkpoint: not a subject: {error}") from error
        self._first = state["first"]
        self._ends = {service: end for service, end in self._ends.items() if end > self._first}
        self._take(self._first, state["done"])
