"""Insights as points: trends, alerts, capacity, and what becomes a mark on the time axis."""

from __future__ import annotations

import zlib
from typing import Final

from routecast.analytics.digits import six_digits
from routecast.dashboards.influx.line_protocol import Point
from routecast.dashboards.influx.schema import ALERT, ALL, CAPACITY, ROUTER_EVENT, TREND, UNKNOWN
from routecast.models.capacity import Capacity
from routecast.models.insights import UNITS, Alert, Change, Insight, Subject, Trends

_NS_PER_MS: Final = 1_000_000
_MOST_TIMES: Final = 1000.0
"""Of nothing where there should be something."""
_TOO_LITTLE: Final = frozenset({"per_min", "score"})
"""Units of what should be more."""


def insight_points(insight: Insight) -> list[Point]:
    """The points of an insight; none for recommendations, which are read where they are made."""
    if isinstance(insight, Trends):
        return _trends(insight)
    if isinstance(insight, Alert):
        return _alert(insight)
    if isinstance(insight, Change):
        return [_change(insight)]
    return [_capacity(insight)] if isinstance(insight, Capacity) else []


def below_ms(name: str) -> int:
    """Nanoseconds within a millisecond, so that two of one millisecond stay two: the same for the same name, whoever asks."""
    return zlib.crc32(name.encode()) % _NS_PER_MS


def _where(subject: Subject) -> tuple[str, str]:
    """Tags target and service."""
    if subject.kind == "target":
        return subject.id, subject.service or UNKNOWN
    if subject.kind == "provider":
        return f"provider/{subject.id}", ALL
    return ALL, subject.id if subject.kind == "service" else ALL


def _trends(trends: Trends) -> list[Point]:
    return [
        Point(TREND, (*_where(t.subject), t.metric), t.end_ms, (t.current, t.previous, t.change, t.change_ratio, t.confidence, t.trend)) for t in trends.trends
    ]


def _alert(alert: Alert) -> list[Point]:
    """What was said of it, and its mark, which grows to its length when it is over."""
    target, service = _where(alert.subject)
    ended_ms = None if alert.ended_ms is None else int(alert.ended_ms)
    values = (alert.state, alert.threshold, alert.value, _times_over(alert), alert.title, int(alert.started_ms), ended_ms)
    points = [Point(ALERT, (target, service, alert.kind, alert.severity, alert.rule), alert.at_ms, values)]
    if not alert.inhibited_by:
        mark = (alert.title, f"service {service}, threshold {alert.threshold:g}, value {alert.value:g}", ended_ms or int(alert.started_ms))
        points.append(Point(ROUTER_EVENT, ("alert", alert.severity, target), alert.started_ms, mark, below_ms(alert.id)))
    return points


def _times_over(alert: Alert) -> float:
    """Above 0 while somebody should look, also where the figure is below its limit and the end is waited for."""
    if alert.state == "cleared" or alert.inhibited_by or alert.silenced_until_ms:
        return 0.0
    figure, limit = (alert.threshold, alert.value) if alert.unit in _TOO_LITTLE else (alert.value, alert.threshold)
    return six_digits(min(_MOST_TIMES, max(1.0, figure / limit))) if limit else _MOST_TIMES


def _change(change: Change) -> Point:
    target, service = _where(change.subject)
    unit = UNITS[change.metric]
    title = f"{change.subject.id}: {change.metric} {change.before:.4g} → {change.after:.4g} {unit}"
    text = f"service {service}, {change.n} observations, evidence {change.statistic:.3g} of {change.threshold:.3g}"
    ended_ms = int(change.since_ms if change.ended_ms is None else change.ended_ms)
    return Point(ROUTER_EVENT, ("anomaly", "medium" if change.worse else "info", target), change.since_ms, (title, text, ended_ms), below_ms(change.id))


def _capacity(capacity: Capacity) -> Point:
    values = (capacity.now_per_min, capacity.sustainable_per_min, capacity.low_per_min, capacity.high_per_min, capacity.wait_p95_ms, capacity.scale.slots)
    return Point(CAPACITY, (capacity.service,), capacity.at_ms, values)
