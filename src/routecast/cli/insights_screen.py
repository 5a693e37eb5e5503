"""What is true now, on one screen: sections of tables and sentences, coloured on a terminal only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from routecast.cli.render import console
from routecast.dashboards.terminal.words import about, direction_of, fits_of, lasting, line_of, metric_of, value_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from routecast.models.capacity import Capacity
    from routecast.models.insights import Alert, Recommendation, Trend
    from routecast.models.overview import Overview

SECTIONS: Final = ("alert", "change", "trend", "recommendation", "capacity", "experiment")
_STYLES: Final = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "declining": "red",
    "improving": "green",
    "worse": "red",
    "better": "green",
}


def colours() -> Console:
    """Standard output as the other commands use it: colours on a terminal, none with NO_COLOR."""
    return console()


def print_overview(found: Overview, kinds: Sequence[str]) -> None:
    """The sections of these kinds, in their order; each says so where it is empty, but experiments, which few have."""
    out, sections = colours(), {"alert": _alerts, "change": _changes, "trend": _trends, "recommendation": _recommendations, "capacity": _capacity}
    sections |= {"experiment": _experiments} if found.experiments else {}
    for number, kind in enumerate(kind for kind in SECTIONS if kind in kinds and kind in sections):
        if number:
            out.print()
        sections[kind](out, found)


def note_of(alert: Alert, now_ms: float) -> str:
    """Why an alert wakes nobody; empty: it may."""
    if alert.inhibited_by:
        return f"explained by {alert.inhibited_by}"
    if alert.silenced_until_ms and alert.silenced_until_ms > now_ms:
        return f"silenced for {lasting(alert.silenced_until_ms - now_ms)}"
    return "" if alert.severity in {"high", "critical"} else "wakes nobody"


def alert_table(alerts: Sequence[Alert], now_ms: float) -> Table:
    """A line an alert."""
    rows = [
        (alert.severity, alert.id, lasting((alert.ended_ms or now_ms) - alert.started_ms), alert.title, "over" if alert.ended_ms else note_of(alert, now_ms))
        for alert in alerts
    ]
    return _table(("severity", "id", "for", "what", "note"), rows, styled=0, wide=3)


def _alerts(out: Console, found: Overview) -> None:
    if not found.alerts:
        _head(out, "Alerts", "none: nobody needs to be woken")
        return
    waking = sum(not note_of(alert, found.at_ms) for alert in found.alerts)
    _head(out, "Alerts", f"{len(found.alerts)} going on, {waking} of them to be heard; `routecast alerts show ID` has the evidence")
    out.print(alert_table(found.alerts, found.at_ms))


def _changes(out: Console, found: Overview) -> None:
    if not found.changes:
        _head(out, "Changes", "none: every target is as it usually is")
        return
    _head(out, "Changes", "levels that are not the usual ones")
    rows = [
        (
            direction_of(change), about(change.subject.kind, change.subject.id), metric_of(change.metric), value_of(change.metric, change.before),
            value_of(change.metric, change.after), lasting(found.at_ms - change.since_ms), f"{change.n:,}",
        )
        for change in found.changes
    ]  # fmt: skip
    out.print(_table(("", "about", "metric", "usually", "now", "for", "seen in"), rows, styled=0))


def moving(trends: Sequence[Trend]) -> list[Trend]:
    """Those that get better or worse, what gets worse first."""
    return sorted((trend for trend in trends if trend.trend in {"improving", "declining"}), key=lambda t: (t.trend, -(t.confidence or 0.0)))


def _trends(out: Console, found: Overview) -> None:
    still = sum(trend.trend == "stable" for trend in found.trends)
    rest = f"{still} stable, {sum(trend.trend == 'unknown' for trend in found.trends)} not known"
    going = moving(found.trends)
    if not found.trends:
        _head(out, "Trends", "none yet: they need some minutes of traffic")
        return
    _head(out, "Trends", f"{len(going)} get better or worse; {rest}" if going else f"nothing gets better or worse; {rest}")
    rows = [
        (
            trend.trend, about(trend.subject.kind, trend.subject.id), metric_of(trend.metric), value_of(trend.metric, trend.previous),
            value_of(trend.metric, trend.current), "-" if trend.change_ratio is None else f"{100.0 * trend.change_ratio:+.0f} %",
            lasting(trend.windows * trend.window_ms), "-" if trend.confidence is None else f"{100.0 * trend.confidence:.3g} %",
        )
        for trend in going
    ]  # fmt: skip
    if rows:
        out.print(_table(("trend", "about", "metric", "was", "is", "change", "within", "confidence"), rows, styled=0))


def _recommendations(out: Console, found: Overview) -> None:
    if not found.recommendations:
        _head(out, "Recommendations", "none: nothing that would help is known")
        return
    _head(out, "Recommendations", "what would help, by simulation of the recorded load")
    rows = [(item.priority, item.description, item.action, effects_of(item)) for item in found.recommendations]
    out.print(_table(("priority", "what is the matter", "what to do", "expected effect"), rows, styled=0, wide=1))


def effects_of(item: Recommendation) -> str:
    """What would become of the figures of a service."""
    return "; ".join(f"{effect.figure} {effect.now:.4g} → {effect.expected:.4g}" for effect in item.effects) or "-"


def _capacity(out: Console, found: Overview) -> None:
    if not found.capacity:
        _head(out, "Capacity", "not estimated yet: `routecast capacity` does it now")
        return
    _head(out, "Capacity", "how much load fits")
    rows = [(_scale(item), item.service, f"{item.now_per_min:,.0f}/min", fits_of(item), line_of(item.scale.reason or item.reason)) for item in found.capacity]
    out.print(_table(("scale", "service", "arrives", "fits", "why"), rows, styled=None, wide=4))


def _experiments(out: Console, found: Overview) -> None:
    _head(out, "Experiments", "`routecast experiment status NAME` has the figures")
    rows = [(item.standing, item.name, item.service, lasting(found.at_ms - item.started_ms), item.verdict) for item in found.experiments]
    out.print(_table(("", "experiment", "service", "since", "verdict"), rows, styled=0, wide=4))


def _scale(item: Capacity) -> str:
    return item.scale.action if not item.scale.slots else f"{item.scale.action} {item.scale.slots:+d}"


def _head(out: Console, name: str, said: str) -> None:
    from rich.text import Text  # noqa: PLC0415 - slow to import

    out.print(Text.assemble((name, "bold"), f"  {said}"))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, styled: int | None, wide: int | None = None) -> Table:
    """Cells as they are; the column `styled` in the colour of its word, `wide` wraps where there is no room."""
    from rich.table import Table  # noqa: PLC0415 - slow to import
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for number, head in enumerate(heads):
        table.add_column(head, overflow="fold", no_wrap=number != wide, min_width=24 if number == wide else None)
    for row in rows:
        table.add_row(*(Text(line_of(cell), style=_STYLES.get(cell, "") if number == styled else "") for number, cell in enumerate(row)))
    return table


def plain_rows(found: Overview) -> Iterator[tuple[str, ...]]:
    """Kind, about, what, level, since (epoch ms), in words: a line each, for pipes."""
    for alert in found.alerts:
        yield "alert", about(alert.subject.kind, alert.subject.id), alert.kind, alert.severity, f"{alert.started_ms:.0f}", line_of(alert.title)
    for change in found.changes:
        said = f"{value_of(change.metric, change.before)} → {value_of(change.metric, change.after)}"
        yield "change", about(change.subject.kind, change.subject.id), change.metric, direction_of(change), f"{change.since_ms:.0f}", said
    for trend in moving(found.trends):
        said, since_ms = f"{value_of(trend.metric, trend.previous)} → {value_of(trend.metric, trend.current)}", trend.end_ms - trend.windows * trend.window_ms
        yield "trend", about(trend.subject.kind, trend.subject.id), trend.metric, trend.trend, f"{since_ms:.0f}", said
    for item in found.recommendations:
        yield "recommendation", about(item.subject.kind, item.subject.id), item.kind, item.priority, f"{item.since_ms:.0f}", line_of(item.action)
    for capacity in found.capacity:
        yield "capacity", f"service {line_of(capacity.service)}", "load", capacity.scale.action, f"{capacity.at_ms:.0f}", fits_of(capacity)
    for running in found.experiments:
        yield "experiment", f"service {line_of(running.service)}", running.name, running.standing, f"{running.started_ms:.0f}", line_of(running.verdict)
