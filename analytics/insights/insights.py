"""What the figures of all services mean, put together at ticks: changes as they are found, alerts when they are checked, trends when they are analysed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, Final

from routecast.analytics.alerts.alerts import Alerts
from routecast.analytics.changes.streamed_changes import StreamedChanges
from routecast.analytics.changes.trends import TrendTracker
from routecast.analytics.checkpoint import Stateful, restore, state_of
from routecast.analytics.insights.roster import Roster
from routecast.analytics.windows.period import Period
from routecast.models.config import Config
from routecast.models.insights import Alert, Change, Direction, Insight, Metric, Subject, Trend, Trends, decode_insight, encode_insight
from routecast.models.snapshot import State

_PART: Final = 100
"""Subjects whose trends are described before anything else gets its turn: 9 ms."""
_MOST_PARTS: Final = 3
"""At a tick."""


class Insights:
    """A state machine without a clock. Memory: a few kB a target, for ever.

    What is said once, of alerts and changes, is part of the state until the next tick: a leader that takes over says it again, under the
    same ids and versions, and whoever heard it already knows it.

    Args:
        config: services, targets, thresholds, intervals.
        roster: gives subjects their places.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_said", "_until_ms", "_analysed_ms", "trends")

    def __init__(self, config: Config, roster: Roster) -> None:
        self._analysis_ms = float(config.intervals.analysis_ms)
        self._roster = roster
        self._trends, self.alerts, self._streamed = TrendTracker(), Alerts(config), StreamedChanges()
        self._said: list[bytes] = []
        self._until_ms = self._analysed_ms = 0.0
        self._again = False
        self._analysis: Iterator[list[Trends]] = iter(())
        self.trends: dict[str, dict[Metric, Direction]] = {}
        """Of the last analysis, by `Subject.key` and metric; what is unknown is left out."""

    @property
    def _parts(self) -> dict[str, Stateful]:
        return {"self": self, "roster": self._roster, "trends": self._trends, **self.alerts.parts, **self._streamed.parts}

    def state(self) -> dict[str, Any]:
        """Everything, to be taken right after a tick."""
        return {name: state_of(part) for name, part in self._parts.items()}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from where another one was. Raises DecodeError, LookupError or TypeError where the state does not fit."""
        for name, part in self._parts.items():
            restore(part, state[name])
        self._again = True

    @property
    def said_once(self) -> bool:
        """Whether the last tick had anything to say of alerts or changes."""
        return bool(self._said)

    @property
    def until_ms(self) -> float:
        """Until when periods were taken; 0 = none was."""
        return self._until_ms

    def tick(self, at_ms: float, changes: Iterable[Change], period: Period | None, states: Mapping[str, State]) -> list[Insight]:
        """What to publish at this time (epoch ms).

        Args:
            at_ms: when.
            changes: what detectors have to say.
            period: what happened since the last one; None where it is not known yet.
            states: of targets, for routing.
        """
        again = [decode_insight(said) for said in self._said] if self._again else []
        self._again = False
        once: list[Change | Alert] = list(changes)
        if period is not None:
            once += self._check(period, states)
            if at_ms - self._analysed_ms >= self._analysis_ms:
                self._analysed_ms = at_ms - at_ms % self._analysis_ms
                self._analysis = self._analyse(at_ms, period.subjects)
        self._said = [encode_insight(insight) for insight in once]
        return [*again, *once, *self._analysed()]

    def _check(self, period: Period, states: Mapping[str, State]) -> list[Change | Alert]:
        self._until_ms = period.end_ms
        self._trends.update(period)
        return [*self._streamed.update(period), *self.alerts.check(period, states)]

    def _analysed(self) -> list[Trends]:
        """Analyses that are finished; at a thousand targets they take several ticks."""
        found: list[Trends] = []
        for done in islice(self._analysis, _MOST_PARTS):
            found += done
        return found

    def _analyse(self, at_ms: float, subjects: Sequence[Subject]) -> Iterator[list[Trends]]:
        """Trends of every service, a part of them at a time; those of the system go under the empty name."""
        fitted = self._trends.fitted()
        for service, places in _by_service(subjects).items():
            found: list[Trend] = []
            for first in range(0, len(places), _PART):
                found += self._trends.trends(fitted, subjects, places[first : first + _PART])
                if first + _PART < len(places):
                    yield []
            self.trends |= {subjects[place].key: {} for place in places}
            for trend in found:
                if trend.trend != "unknown":
                    self.trends[trend.subject.key][trend.metric] = trend.trend
            yield [Trends(service=service, at_ms=at_ms, trends=tuple(found))]


def _by_service(subjects: Sequence[Subject]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, subject in enumerate(subjects):
        found.setdefault(subject.service or "", []).append(place)
    return found
