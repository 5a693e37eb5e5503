"""From a journal to the board, and to the page of one target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from routecast.analytics.insights.standing import Standing, standing
from routecast.dashboards.terminal.board import Board, Happening, ServiceLine, TargetPage, TargetRow, Why
from routecast.dashboards.terminal.glance import NOTHING
from routecast.dashboards.terminal.journal import Journal
from routecast.dashboards.terminal.rows import About, about_targets, figures_of, first, rows
from routecast.dashboards.terminal.sentence import Facts, sentence_of
from routecast.dashboards.terminal.traffic import policy_of
from routecast.dashboards.terminal.trouble import WORTH_A_LOOK, foremost
from routecast.dashboards.terminal.why import why
from routecast.dashboards.terminal.words import lasting, line_of, time_of
from routecast.models.config import Config
from routecast.models.details import WindowName, find
from routecast.models.errors import RoutecastError
from routecast.models.snapshot import RoutingSnapshot

_STALE_PERIODS: Final = 10
_SHOWN: Final = 200
"""Happenings on a board."""


class Picture:
    """Draws a journal. Pure: the time is a parameter.

    Args:
        journal: what is known.
        config: targets and intervals as they are configured.
        source: where the records are from, for people.
    """

    def __init__(self, journal: Journal, config: Config, source: str) -> None:
        self._journal, self._config, self._source = journal, config, source

    def board(self, now_ms: float, *, window: WindowName = "1m", trouble: str = "") -> Board:
        """Everything on the screen at this time; `trouble` says why nothing new comes."""
        journal = self._journal
        services = tuple(self._service(snapshot, now_ms) for _, snapshot in sorted(journal.snapshots.items()))
        holds = self._standing(now_ms)
        about = about_targets(holds)
        targets = first(rows(journal, self._config, about, window))
        system = max(journal.glances.values(), key=lambda details: details.at_ms, default=None)
        figures = system.system.windows.get(window, NOTHING) if system else NOTHING
        return Board(
            at_ms=now_ms, source=self._source, trouble=trouble, sentence=self._sentence(services, targets, holds, now_ms, window, trouble), services=services,
            leader=journal.leader, window=window, requests_per_min=figures.requests_per_min if system else self._arrivals(),
            success_ratio=figures.success_ratio, p95_ms=figures.latency.p95_ms, alerts=holds.alerts, changes=holds.changes,
            recommendations=holds.recommendations, targets=targets, happenings=self._happenings()[-_SHOWN:],
        )  # fmt: skip

    def page(self, target: str, now_ms: float, *, window: WindowName = "1m") -> TargetPage | None:
        """Everything about one target; None where no snapshot holds it."""
        holds = self._standing(now_ms)
        about = about_targets(holds)
        found = list(rows(self._journal, self._config, about, window))
        row = next((row for row in found if row.id == target), None)
        if row is None:
            return None
        details = self._journal.details(row.service)
        return TargetPage(
            at_ms=now_ms, row=row, sentence=self._about(row, found, about, now_ms, window), why=self._why(row),
            details=find(details.targets, target) if details else None,
            alerts=tuple(about.alerts.get(target, ())), changes=tuple(about.changes.get(target, ())), trends=tuple(about.trends.get(target, ())),
            recommendations=tuple(item for item in holds.recommendations if item.subject.id == target),
            happenings=tuple(happening for happening in self._happenings() if happening.who == target),
        )  # fmt: skip

    def _standing(self, now_ms: float) -> Standing:
        """What held when somebody last published."""
        newest_ms = max((snapshot.at_ms for snapshot in self._journal.snapshots.values()), default=now_ms)
        return standing(list(self._journal.insights.values()), newest_ms, analysis_ms=self._config.intervals.analysis_ms)

    def _service(self, snapshot: RoutingSnapshot, now_ms: float) -> ServiceLine:
        age_ms = max(0.0, now_ms - snapshot.at_ms)
        return ServiceLine(
            service=snapshot.service, policy=policy_of(self._config, snapshot), term=snapshot.term, seq=snapshot.seq, age_ms=age_ms,
            stale=age_ms > _STALE_PERIODS * snapshot.period_ms, routers=snapshot.routers,
        )  # fmt: skip

    def _happenings(self) -> tuple[Happening, ...]:
        """In the order in which things happened, not in that of topics and analyses."""
        return tuple(sorted(self._journal.happenings, key=lambda happening: happening.at_ms))

    def _arrivals(self) -> float | None:
        """Before the first details: what snapshots say of first attempts."""
        published = self._journal.snapshots.values()
        return 60.0 * sum(snapshot.rate_per_s for snapshot in published) if published else None

    def _sentence(self, services: Sequence[ServiceLine], targets: Sequence[TargetRow], holds: Standing, now_ms: float, window: WindowName, trouble: str) -> str:
        if trouble:
            return f"{trouble}{_old(services, now_ms)}"
        if not services:
            return "no snapshot was ever published: `routecast worker` starts a worker"
        stale = [line for line in services if line.stale]
        if stale:
            old = max(stale, key=lambda line: line.age_ms)
            return (
                f"nobody publishes: the snapshot of {old.service} is {lasting(old.age_ms)} old; routers go by what they measure; `routecast worker` leads again"
            )
        worst = targets[0] if targets else None
        if worst is None or worst.trouble < WORTH_A_LOOK:
            return _well(targets, holds)
        more = sum(row.trouble >= WORTH_A_LOOK for row in targets) - 1
        return self._about(worst, targets, about_targets(holds), now_ms, window) + (f" — and {more} more" if more else "")

    def _about(self, row: TargetRow, targets: Sequence[TargetRow], about: About, now_ms: float, window: WindowName) -> str:
        mine = [other for other in targets if other.service == row.service]
        closed = sum(other.state == "open" or (other.state == "recovering" and other.ramp <= 0) for other in mine)
        before: Mapping[str, float] = self._journal.standings[row.service, row.id].before
        minute, changes = figures_of(self._journal, row.service, row.id, "1m"), about.changes.get(row.id, ())
        failures = next((change for change in changes if change.metric == "error_ratio" and change.worse), None)
        facts = Facts(
            now_ms, before, self._journal.told_by.get(row.id, ""), self._config.intervals.health_check_ms, failures=failures, window=window,
            minute=minute, panic=2 * closed > len(mine),
        )  # fmt: skip
        return sentence_of(row, mine, foremost(about.alerts.get(row.id, ()), minute), changes, facts)

    def _why(self, row: TargetRow) -> Why | None:
        try:
            return why(self._config, self._journal.snapshots[row.service], row.id)
        except RoutecastError:  # the configuration does not know the service, or leaves nothing to choose
            return None


def _old(services: Sequence[ServiceLine], now_ms: float) -> str:
    """What is shown while nothing new comes."""
    if not services:
        return ""
    age_ms = min(line.age_ms for line in services)
    return f"; what is shown is of {time_of(now_ms - age_ms)}, {lasting(age_ms)} old"


def _well(targets: Sequence[TargetRow], holds: Standing) -> str:
    """Of targets that need no look; what is said of services and the system all the same."""
    loud = next((alert for alert in holds.alerts if alert.subject.kind != "target" and not alert.inhibited_by), None)
    if loud is not None:
        return f"{line_of(loud.title).rstrip('.')} (since {time_of(loud.started_ms)}); no single target of {len(targets)} stands out"
    drained = [line_of(row.id) for row in targets if row.state == "drained"]
    return f"all {len(targets)} targets are well" + (f", {', '.join(drained)} drained" if drained else "")
