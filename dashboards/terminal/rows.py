"""From a journal to the rows of the board."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from routecast.analytics.insights.standing import Standing as Insights
from routecast.dashboards.terminal.board import TargetRow
from routecast.dashboards.terminal.glance import NOTHING, Subject
from routecast.dashboards.terminal.journal import Journal
from routecast.models.config import Config, TargetConfig
from routecast.models.details import WindowName
from routecast.models.insights import Alert, Change, Direction, Trend
from routecast.models.severity import Severity
from routecast.models.snapshot import RoutingSnapshot, State, TargetScore

WORTH_A_LOOK: Final = 15
_BY_STATE: Final[Mapping[State, int]] = {"open": 60, "rate_limited": 40, "recovering": 30, "degraded": 20, "drained": 10, "unknown": 5, "ok": 0}
_BY_ALERT: Final[Mapping[Severity, int]] = {"critical": 70, "high": 50, "medium": 25, "low": 15}
_WORSE: Final = 18
_NEW_MS: Final = 120_000.0
"""What became worse within this comes before what has been so for longer: people and routing know the latter."""
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
    alert: Severity | None = next((found.severity for found in about.alerts.get(entry.id, ())), None)
    worse = [change.since_ms for change in about.changes.get(entry.id, ()) if change.worse]
    new = bool(worse) and snapshot.at_ms - max(worse) < _NEW_MS
    known = figures is not NOTHING
    return TargetRow.model_construct(
        id=entry.id, service=snapshot.service, provider=config.provider if config else subject.provider or "-",
        model=config.model if config else subject.model or "-", region=config.region if config else subject.region, state=entry.state,
        since=standing.since, trouble=max(_BY_STATE[entry.state], _BY_ALERT[alert] if alert else 0, _WORSE + new if worse else 0), alert=alert,
        score=entry.score, success=entry.success, cost_s=entry.cost_s, usd=entry.usd, share=journal.shares[snapshot.service][entry.id],
        share_before=standing.before.get(entry.id),
        ramp=entry.ramp, in_flight=entry.in_flight, capacity=entry.capacity, headroom=entry.headroom, weight=entry.weight,
        queue=figures.resources.queue_depth, requests_per_min=figures.requests_per_min if known else None, p50_ms=figures.latency.p50_ms,
        p95_ms=figures.latency.p95_ms, ttft_p95_ms=figures.ttft.p95_ms, failure_ratio=figures.failure_ratio, rate_limit_ratio=figures.rate_limit_ratio,
        judged=figures.judged, trend=_trend(about.trends.get(entry.id, ())), p95s=tuple(point.p95_ms for point in points),
        rates=tuple(point.requests_per_min for point in points),
    )  # fmt: skip


def _trend(trends: Sequence[Trend]) -> Direction:
    said = {trend.trend for trend in trends}
    for direction in _TRENDS:
        if direction in said:
            return direction
    return "unknown"


def first(rows: Iterable[TargetRow]) -> tuple[TargetRow, ...]:
    """What needs a look first, then what has most of the traffic."""
    return tuple(sorted(rows, key=lambda row: (-row.trouble, -row.share, row.id)))
