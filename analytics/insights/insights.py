"""What the figures of all services mean, put together at ticks: changes as they are found, alerts when they are checked, trends when they are analysed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from routecast.analytics.alerts.alerts import Alerts
from routecast.analytics.changes.streamed_changes import StreamedChanges
from routecast.analytics.changes.trends import TrendTracker
from routecast.analytics.checkpoint import Stateful, restore, state_of
from routecast.analytics.insights.analysis import Analysis
from routecast.analytics.insights.roster import Roster
from routecast.analytics.windows.period import Period
from routecast.models.config import Config
from routecast.models.insights import Alert, Change, Direction, Insight, Metric, Trends, decode_insight, encode_insight
from routecast.models.snapshot import State


class Insights:
    """A state machine without a clock. Memory: a few kB a target, for ever.

    What is said once, of alerts and changes, is part of the state until the next tick: a leader that takes over says it again, under the
    same ids and versions, and whoever heard it already knows it.

    Args:
        config: services, targets, thresholds, intervals.
        roster: gives subjects their places.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_said", "_until_ms", "_analysed_ms")

    def __init__(self, config: Config, roster: Roster) -> None:
        self._analysis_ms = float(config.intervals.analysis_ms)
        self._roster = roster
        self._trends, self.alerts, self._streamed = TrendTracker(), Alerts(config), StreamedChanges()
        self._said: list[bytes] = []
        self._until_ms = self._analysed_ms = 0.0
        self._again = False
        self._analysis = Analysis(self._trends)

    @property
    def _parts(self) -> dict[str, Stateful]:
        return {"self": self, "roster": self._roster, "trends": self._trends, "analysis": self._analysis, **self.alerts.parts, **self._streamed.parts}

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
    def trends(self) -> Mapping[str, Mapping[Metric, Direction]]:
        """Of the last analysis, by `Subject.key` and metric; what is unknown is left out."""
        return self._analysis.directions

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
        analysed: list[Trends] = []
        if period is not None:
            analysed = self._analysis.finish() if self._trends.closes(period) else []
            once += self._check(period, states)
            if at_ms - self._analysed_ms >= self._analysis_ms and not self._analysis.running:
                self._analysed_ms = at_ms - at_ms % self._analysis_ms
                self._analysis.begin(at_ms, period.subjects)
        self._said = [encode_insight(insight) for insight in once]
        return [*again, *once, *analysed, *self._analysis.go_on()]

    def _check(self, period: Period, states: Mapping[str, State]) -> list[Change | Alert]:
        self._until_ms = period.end_ms
        self._trends.update(period)
        return [*self._streamed.update(period), *self.alerts.check(period, states)]
