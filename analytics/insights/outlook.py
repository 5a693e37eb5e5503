"""What a leader has to do with plans: it gathers what they are made from, takes what comes back, and says it at its next tick."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, get_args

from routecast.analytics.checkpoint import restore, state_of
from routecast.analytics.insights.insights import Insights
from routecast.analytics.insights.planned_targets import Known, planning_input
from routecast.analytics.recommendations.advice import Advice
from routecast.analytics.snapshot import ServiceAnalyst
from routecast.analytics.windows.details import DetailsBuilder
from routecast.models.capacity import Capacity
from routecast.models.config import Config
from routecast.models.insights import Change, Insight, Metric, Recommendation, Recommendations
from routecast.models.planning import PlanningInput
from routecast.models.snapshot import RoutingSnapshot

_METRICS: Final[tuple[Metric, ...]] = get_args(Metric)
_IDLE_MS: Final = 60_000.0
"""Nothing is planned of a service to which nothing has come for so long."""


class Outlook:
    """Recommendations and capacity of all services, as far as a leader knows them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._advice = Advice()
        self._ready: list[Capacity | Recommendations] = []
        self._news = False
        self.said_once = False
        """Whether the last words recommended something else than those before: a checkpoint should know of it first."""

    def state(self) -> dict[str, Any]:
        """To be taken right after a tick."""
        return state_of(self._advice)

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from where another one was. Raises DecodeError, LookupError or TypeError where the state does not fit."""
        resumed = Advice()
        restore(resumed, state)
        for service in self._config.services:
            resumed.of(service)
        self._advice = resumed

    def heed(self, changes: Iterable[Change]) -> None:
        """Take what detectors said."""
        self._advice.heed(changes)

    def take(self, capacity: Capacity, recommendations: Recommendations) -> None:
        """Take a plan, to be said at the next tick; that of a service that is not configured is left out."""
        if recommendations.service in self._config.services:
            self._news |= self._advice.take(recommendations)
            self._ready += [capacity, recommendations]

    def say(self) -> list[Insight]:
        """What there is to be said."""
        ready: list[Insight] = [*self._ready]
        self._ready, self.said_once, self._news = [], self._news, False
        return ready

    @property
    def recommendations(self) -> dict[str, tuple[Recommendation, ...]]:
        """What is recommended, by service."""
        return {service: found for service in sorted(self._config.services) if (found := self._advice.of(service))}

    def planning_input(self, analyst: ServiceAnalyst, snapshot: RoutingSnapshot, builder: DetailsBuilder, insights: Insights) -> PlanningInput | None:
        """What a plan of a service is made from; None while nothing arrives and there is nothing to take back."""
        arrivals = analyst.observed.arrived.until(snapshot.at_ms)
        idle = not arrivals or snapshot.at_ms - arrivals[-1][0] > max(_IDLE_MS, self._config.intervals.analysis_ms)
        if analyst.plan is None or (idle and (arrivals or not self._advice.of(analyst.service))):
            return None
        history = builder.history
        known = Known(
            snapshot, analyst.plan, arrivals, history.numbers, history.window("5m").stats, history.window("1h").stats, self._worse(insights),
            _declining(insights), self._advice.standing(analyst.service, snapshot.at_ms),
        )  # fmt: skip
        return planning_input(self._config, known)

    def _worse(self, insights: Insights) -> Callable[[str], Sequence[str]]:
        alerts: dict[str, set[str]] = {}
        for alert in insights.alerts.saved:
            if alert["subject"]["kind"] == "target":
                alerts.setdefault(alert["subject"]["id"], set()).add(alert["kind"])
        return lambda target: sorted({*self._advice.worse(target), *alerts.get(target, ())})


def _declining(insights: Insights) -> Callable[[str], Sequence[str]]:
    return lambda target: [metric for metric in _METRICS if insights.trends.get(f"target/{target}", {}).get(metric) == "declining"]
