"""What still holds of everything that was ever said: the newest records of the topic of insights, put in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

from routecast.analytics.alerts.alerts import SAY_AGAIN_MS
from routecast.analytics.changes.episodes import ACCEPTED_MS
from routecast.models.capacity import Capacity
from routecast.models.experiment_report import ExperimentReport
from routecast.models.insights import Alert, Change, Insight, Recommendation, Recommendations, Subject, Trend, Trends
from routecast.models.severity import SEVERITIES

_LATE_MS: Final = 900_000
UNHEARD_MS: Final = SAY_AGAIN_MS + _LATE_MS
"""An alert that is not explained by another is said again every hour; one of which nobody has spoken for so long has nobody who could end it."""
_OLD_ANALYSES: Final = 10
_RECENT_MS: Final = 86_400_000
_OVER_MS: Final = ACCEPTED_MS + _LATE_MS
"""A change is over by then in any case."""

Analysed = TypeVar("Analysed", Trends, Recommendations)


class Standing(NamedTuple):
    """By kind; the most severe, urgent or recent first."""

    alerts: tuple[Alert, ...]
    changes: tuple[Change, ...]
    trends: tuple[Trend, ...]
    recommendations: tuple[Recommendation, ...]
    capacity: tuple[Capacity, ...]
    experiments: tuple[ExperimentReport, ...]
    """That run, and those that ended within a day."""


def standing(insights: Sequence[Insight], at_ms: float, *, service: str | None = None, analysis_ms: float = 60_000.0) -> Standing:
    """What holds, by the newest record of every key.

    Args:
        insights: those records.
        at_ms: until when somebody published, epoch ms.
        service: only of this one.
        analysis_ms: time between analyses.
    """
    alerts = going_on([insight for insight in insights if isinstance(insight, Alert)], at_ms)
    changes = [i for i in insights if isinstance(i, Change) and i.ended_ms is None and at_ms - i.detected_ms <= _OVER_MS]
    old_ms = at_ms - _OLD_ANALYSES * analysis_ms
    trends = [trend for found in _recent([i for i in insights if isinstance(i, Trends)], old_ms) for trend in found.trends]
    advice = [item for found in _recent([i for i in insights if isinstance(i, Recommendations)], old_ms) for item in found.recommendations]
    capacity = [insight for insight in insights if isinstance(insight, Capacity) and service in {None, insight.service}]
    return Standing(
        alerts=tuple(alert for alert in alerts if concerns(alert.subject, service)),
        changes=tuple(sorted((change for change in changes if concerns(change.subject, service)), key=lambda change: -change.since_ms)),
        trends=tuple(trend for trend in trends if concerns(trend.subject, service)),
        recommendations=tuple(
            sorted((item for item in advice if concerns(item.subject, service)), key=lambda item: (-SEVERITIES.index(item.priority), item.id))
        ),
        capacity=tuple(sorted(capacity, key=lambda found: found.service)),
        experiments=tuple(sorted((i for i in insights if isinstance(i, ExperimentReport) and _shown(i, at_ms, service)), key=lambda i: i.started_ms)),
    )


def _shown(found: ExperimentReport, at_ms: float, service: str | None) -> bool:
    return service in {None, found.service} and (found.state == "running" or at_ms - found.ends_ms <= _RECENT_MS)


def concerns(subject: Subject, service: str | None) -> bool:
    """Whether it is this service, or one of its targets; None is any."""
    return service is None or service == (subject.id if subject.kind == "service" else subject.service)


def going_on(alerts: Iterable[Alert], at_ms: float) -> list[Alert]:
    """Those that have not been cleared, the most severe and oldest first; a leader that began anew knows nothing of those before it."""
    raised = {alert.id: alert for alert in alerts if alert.state != "cleared"}
    heard = {alert.id for alert in raised.values() if not alert.inhibited_by and at_ms - alert.at_ms <= UNHEARD_MS}
    return ordered(alert for alert in raised.values() if alert.id in heard or alert.inhibited_by in heard)


def ordered(alerts: Iterable[Alert]) -> list[Alert]:
    """The most severe first, then those that explain others, then by their beginning."""
    return sorted(alerts, key=lambda alert: (-SEVERITIES.index(alert.severity), bool(alert.inhibited_by), alert.started_ms, alert.id))


def _recent(found: Sequence[Analysed], old_ms: float) -> list[Analysed]:
    """Without those of services that nobody analyses any more."""
    return sorted((item for item in found if item.at_ms >= old_ms), key=lambda item: item.service)
