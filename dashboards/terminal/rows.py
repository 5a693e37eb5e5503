"""From a journal to the rows of the board."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from routecast.analytics.insights.standing import Standing as Insights
from routecast.dashboards.terminal.board import TargetRow
from routecast.dashboards.terminal.glance import NOTHING, Subject, Window
from routecast.dashboards.terminal.journal import Journal
from routecast.dashboards.terminal.trouble import foremost, trouble_of
from routecast.models.config import Config, TargetConfig
from routecast.models.details import WindowName
from routecast.models.insights import Alert, Change, Direction, Trend
from routecast.models.snapshot import RoutingSnapshot, TargetScore

_TRENDS: Final[Sequence[Direction]] = ("declining", "improving", "stable")
_UNKNOWN_TARGET: Final = Subject("")

Told = TypeVar("Told", Alert, Change, Trend)


class About(NamedTuple):
    """What is said of the targets, by their ids."""

    alerts: Mapping[str, Sequence[Alert]]
    changes: Mapping[str, Sequence[Change]]
    trends: Mapping[str, Sequence[Trend]]


def about_targets(holds: Insights) -> About:
    """Insights sorted by the targets they are about."""
    return About(_by_target(holds.alerts), _by_target(holds.changes), _by_target(holds.trends))


def _by_target(told: Iterable[Told]) -> Mapping[str, list[Told]]:
    found: defaultdict[str, list[Told]] = defaultdict(list)
    for item in told:
        if item.subject.kind == "target":
            found[item.subject.id].append(item)
    return found


def rows(journal: Journal, config: Config, about: About, window: WindowName) -> Iterator[TargetRow]:
    """A row for every published target of every service, in the order of the snapshots."""
    configured = {target.id: target for target in config.target}
    for service, snapshot in sorted(journal.snapshots.items()):
        details = journal.glances.get(service)
        subjects = {subject.id: subject for subject in details.targets} if details else {}
        for entry in snapshot.targets:
            subject = subjects.get(entry.id, _UNKNOWN_TARGET)
            yield _row(journal, snapshot, entry, subject, configured.get(entry.id), about, window)


def _row(
    journal: Journal, snapshot: RoutingSnapshot, entry: TargetScore, subject: Subject, config: TargetConfig | None, about: About, window: WindowName
) -> TargetRow:
    standing, figures, points = journal.standings[snapshot.service, entry.id], subject.windows.get(window, NOTHING), journal.history.of(entry.id)
    alerts, minute = about.alerts.get(entry.id, ()), subject.windows.get("1m", NOTHING)
    known = figures is not NOTHING
    return TargetRow.model_construct(
        id=entry.id, service=snapshot.service, provider=config.provider if config else subject.provider or "-",
        model=config.model if config else subject.model or "-", region=config.region if config else subject.region, state=entry.state,
        since=standing.since, trouble=trouble_of(entry.state, foremost(alerts, minute), about.changes.get(entry.id, ()), minute, snapshot.at_ms),
        alert=alerts[0].severity if alerts else None,
        score=entry.score, success=entry.success, cost_s=entry.cost_s, usd=entry.usd, share=journal.traffic.shares.get(snapshot.service, {}).get(entry.id),
        planned=journal.planned[snapshot.service].get(entry.id), planned_before=standing.before.get(entry.id),
        ramp=entry.ramp, in_flight=entry.in_flight, capacity=entry.capacity, headroom=entry.headroom, weight=entry.weight,
        queue=figures.resources.queue_depth, requests_per_min=figures.requests_per_min if known else None, p50_ms=figures.latency.p50_ms,
        p95_ms=figures.latency.p95_ms, ttft_p95_ms=figures.ttft.p95_ms, failure_ratio=figures.failure_ratio, rate_limit_ratio=figures.rate_limit_ratio,
        judged=figures.judged, trend=_trend(about.trends.get(entry.id, ())), p95s=tuple(point.p95_ms for point in points),
        rates=tuple(point.requests_per_min for point in points),
    )  # fmt: skip


def figures_of(journal: Journal, service: str, target: str, window: WindowName) -> Window:
    """The newest figures of a target."""
    details = journal.glances.get(service)
    subject = next((subject for subject in details.targets if subject.id == target), None) if details else None
    return subject.windows.get(window, NOTHING) if subject else NOTHING


def _trend(trends: Sequence[Trend]) -> Direction:
    said = {trend.trend for trend in trends}
    for direction in _TRENDS:
        if direction in said:
            return direction
    return "unknown"


def first(rows: Iterable[TargetRow]) -> tuple[TargetRow, ...]:
    """What needs a look first, then what has most of the traffic."""
    return tuple(sorted(rows, key=lambda row: (-row.trouble, -(row.share or 0.0), row.id)))
