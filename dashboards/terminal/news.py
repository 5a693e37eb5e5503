"""What is new about an insight: most records only repeat what is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from routecast.analytics.insights.standing import concerns
from routecast.dashboards.terminal.words import about, direction_of, fits_of, line_of, metric_of, value_of
from routecast.models.capacity import Capacity
from routecast.models.experiment_report import ExperimentReport
from routecast.models.insights import Alert, Change, Insight, Recommendations, Subject, Trends

_MOVING: Final = frozenset({"improving", "declining"})


Parts = tuple[str, str, str, str, str]
"""Kind, about, what, level, in words."""


class Item(NamedTuple):
    """Something that is new."""

    at_ms: float
    kind: str
    """alert, change, trend, recommendation, capacity or experiment."""
    who: str
    what: str
    level: str
    """Severity, direction or `over`."""
    said: str

    @property
    def text(self) -> str:
        """For people."""
        time = f"{datetime.fromtimestamp(self.at_ms / 1000.0, UTC):%Y-%m-%dT%H:%M:%SZ}"
        return f"{time}  {self.kind:14}  {self.level:9}  {self.who}: {self.said}"

    @property
    def plain(self) -> str:
        """With tabs between its parts, the time as epoch ms."""
        return f"{self.kind}\t{self.who}\t{self.what}\t{self.level}\t{self.at_ms:.0f}\t{self.said}"


class News:
    """Knows what was said last of everything.

    Args:
        kinds: of which something is new.
        service: of which alone, None: any.
    """

    def __init__(self, kinds: Sequence[str], service: str | None) -> None:
        self._kinds = kinds
        self._service = service
        self._last: dict[str, str] = {}

    def of(self, insight: Insight) -> list[Item]:
        """What is new in this one; take every record, also old ones."""
        return [Item(at_ms, *parts) for name, state, at_ms, parts in self._said(insight) if self._changed(name, state) and parts]

    def _changed(self, name: str, state: str) -> bool:
        before, self._last[name] = self._last.get(name), state
        return before != state

    def _said(self, insight: Insight) -> Iterator[tuple[str, str, float, Parts | None]]:
        """Name, state, time, and the parts; None where it is not for this reader."""
        if isinstance(insight, Alert):
            state = f"{insight.severity} {insight.state == 'cleared'} {bool(insight.inhibited_by)}"
            level = "over" if insight.state == "cleared" else insight.severity
            yield insight.key, state, insight.at_ms, self._for("alert", insight.subject, insight.kind, level, insight.title)
        elif isinstance(insight, Change):
            yield (
                insight.key,
                str(insight.ended_by),
                insight.ended_ms or insight.detected_ms,
                self._for("change", insight.subject, insight.metric, *_change(insight)),
            )
        elif isinstance(insight, Trends):
            for trend in insight.trends:
                said = f"{metric_of(trend.metric)} {value_of(trend.metric, trend.previous)} → {value_of(trend.metric, trend.current)}"
                told = self._for("trend", trend.subject, trend.metric, trend.trend, said) if trend.trend in _MOVING else None
                yield f"trend/{trend.subject.kind}/{trend.subject.id}/{trend.metric}", trend.trend, insight.at_ms, told
        elif isinstance(insight, Recommendations):
            for item in insight.recommendations:
                told = self._for("recommendation", item.subject, item.kind, item.priority, item.action)
                yield f"recommendation/{item.id}", item.priority, insight.at_ms, told
        elif isinstance(insight, Capacity):
            yield insight.key, insight.scale.action, insight.at_ms, self._capacity(insight)

        elif isinstance(insight, ExperimentReport):
            stopped = [arm.name for arm in insight.arms if arm.stopped_why]
            yield insight.key, f"{insight.state} {insight.standing} {stopped}", insight.at_ms, self._experiment(insight)

    def _for(self, kind: str, subject: Subject, what: str, level: str, said: str) -> Parts | None:
        shown = kind in self._kinds and concerns(subject, self._service)
        return (kind, about(subject.kind, subject.id), what, level, line_of(said)) if shown else None

    def _capacity(self, found: Capacity) -> Parts | None:
        if "capacity" not in self._kinds or self._service not in {None, found.service}:
            return None
        return "capacity", f"service {line_of(found.service)}", "load", found.scale.action, f"{fits_of(found)} fit: {line_of(found.scale.reason)}"

    def _experiment(self, found: ExperimentReport) -> Parts | None:
        if "experiment" not in self._kinds or self._service not in {None, found.service}:
            return None
        over = f"over by {found.ended_by} ({line_of(found.why)}): " if found.state == "ended" else ""
        return "experiment", f"service {line_of(found.service)}", found.name, found.standing, f"{found.name}: {over}{line_of(found.verdict)}"


def _change(change: Change) -> tuple[str, str]:
    values = f"{metric_of(change.metric)} {value_of(change.metric, change.before)} → {value_of(change.metric, change.after)}"
    if change.ended_by == "returned":
        return "over", f"{values}, and back again"
    if change.ended_by == "accepted":
        return "over", f"{values}: that is usual now"
    return direction_of(change), values
