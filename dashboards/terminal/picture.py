"""From a journal to the board, and to the page of one target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from routecast.analytics.insights.standing import standing
from routecast.dashboards.terminal.board import Board, ServiceLine, TargetPage, TargetRow, Why
from routecast.dashboards.terminal.glance import NOTHING
from routecast.dashboards.terminal.journal import Journal
from routecast.dashboards.terminal.rows import WORTH_A_LOOK, About, about_targets, first, rows
from routecast.dashboards.terminal.sentence import Facts, sentence_of
from routecast.dashboards.terminal.why import why
from routecast.dashboards.terminal.words import lasting
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
        newest_ms = max((snapshot.at_ms for snapshot in journal.snapshots.values()), default=now_ms)
        holds = standing(list(journal.insights.values()), newest_ms, analysis_ms=self._config.intervals.analysis_ms)
        about = about_targets(holds)
        targets = first(rows(journal, self._config, about, window))
        system = max(journal.glances.values(), key=lambda details: details.at_ms, default=None)
        figures = system.system.windows.get(window, NOTHING) if system else NOTHING
        return Board(
            at_ms=now_ms, source=self._source, trouble=trouble, sentence=self._sentence(services, targets, about, now_ms, trouble), services=services,
            leader=journal.leader, window=window, requests_per_min=figures.requests_per_min if system else self._arrivals(),
            success_ratio=figures.success_ratio, p95_ms=figures.latency.p95_ms, alerts=holds.alerts, changes=holds.changes,
            recommendations=holds.recommendations, targets=targets, happenings=tuple(journal.happenings)[-_SHOWN:],
        )  # fmt: skip

    def page(self, target: str, now_ms: float, *, window: WindowName = "1m") -> TargetPage | None:
        """Everything about one target; None where no snapshot holds it."""
        holds = standing(list(self._journal.insights.values()), now_ms, analysis_ms=self._config.intervals.analysis_ms)
        about = about_targets(holds)
        found = list(rows(self._journal, self._config, about, window))
        row = next((row for row in found if row.id == target), None)
        if row is None:
            return None
        details = self._journal.details(row.service)
        return TargetPage(
            at_ms=now_ms, row=row, sentence=self._about(row, found, about, now_ms), why=self._why(row),
            details=find(details.targets, target) if details else None,
            alerts=tuple(about.alerts.get(target, ())), changes=tuple(about.changes.get(target, ())), trends=tuple(about.trends.get(target, ())),
            recommendations=tuple(item for item in holds.recommendations if item.subject.id == target),
            happenings=tuple(happening for happening in self._journal.happenings if happening.who == target),
        )  # fmt: skip

    def _service(self, snapshot: RoutingSnapshot, now_ms: float) -> ServiceLine:
        age_ms = max(0.0, now_ms - snapshot.at_ms)
        return ServiceLine(
            service=snapshot.service, policy=snapshot.policy, term=snapshot.term, seq=snapshot.seq, age_ms=age_ms,
            stale=age_ms > _STALE_PERIODS * snapshot.period_ms, routers=snapshot.routers,
        )  # fmt: skip

    def _arrivals(self) -> float | None:
        """Before the first details: what snapshots say of first attempts."""
        published = self._journal.snapshots.values()
        return 60.0 * sum(snapshot.rate_per_s for snapshot in published) if published else None

    def _sentence(self, services: Sequence[ServiceLine], targets: Sequence[TargetRow], about: About, now_ms: float, trouble: str) -> str:
        if trouble:
            return trouble
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
            drained = [row.id for row in targets if row.state == "drained"]
            return f"all {len(targets)} targets are well" + (f", {', '.join(drained)} drained" if drained else "")
        more = sum(row.trouble >= WORTH_A_LOOK for row in targets) - 1
        return self._about(worst, targets, about, now_ms) + (f" — and {more} more" if more else "")

    def _about(self, row: TargetRow, targets: Sequence[TargetRow], about: About, now_ms: float) -> str:
        mine = [other for other in targets if other.service == row.service]
        closed = sum(other.state == "open" or (other.state == "recovering" and other.ramp <= 0) for other in mine)
        before: Mapping[str, float] = self._journal.standings[row.service, row.id].before
        panic = 2 * closed > len(mine)
        changes = about.changes.get(row.id, ())
        failing = max((change.after for change in changes if change.metric == "error_ratio" and change.worse), default=row.failure_ratio or 0.0)
        facts = Facts(
            now_ms, before, self._journal.told_by.get(row.id, ""), self._config.intervals.health_check_ms, failing=failing, panic=panic
        )  # fmt: skip
        return sentence_of(row, mine, next(iter(about.alerts.get(row.id, ())), None), changes, facts)

    def _why(self, row: TargetRow) -> Why | None:
        try:
            return why(self._config, self._journal.snapshots[row.service], row.id)
        except RoutecastError:  # the configuration does not know the service, or leaves nothing to choose
            return None
