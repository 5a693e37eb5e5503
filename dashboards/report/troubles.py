"""The part of a report on what went wrong: troubles, what the fleet made of them, alerts, and the way out and back."""

from __future__ import annotations

from routecast.dashboards.report.figures import spell_words
from routecast.dashboards.report.html import h2, items, p, table, wide
from routecast.dashboards.report.pictures import states
from routecast.models.backtest import Backtest


def troubles(report: Backtest) -> list[str]:
    """The troubles that every policy met, with the states that the first one saw, and the alerts that it raised."""
    rows = [(it.target, spell_words(it), _span(it.from_s, it.until_s), f"{it.attempts:,}" if it.attempts else "injected") for it in report.spells]
    heads = ("target", "what", "from–to, s", "recorded attempts")
    found = table(heads, rows, "Troubles that every policy met") if rows else p("No trouble was found in the input.")
    return [h2("Troubles and alerts"), found, wide(states(report), "Troubles and states"), *_incidents(report), *_alerts(report)]


def _incidents(report: Backtest) -> list[str]:
    if not report.noticed:
        return []
    labels = "labelled by hand" if report.labelled else "the troubles above"
    rows = [(it.target, it.kind, _span(it.from_s, it.until_s), f"{it.attempts:,}", f"{it.bad:,}", it.alert or "none") for it in report.noticed]
    heads = ("target", "incident", "from–to, s", "attempts", "failed or slow", "alert")
    silent = [f"{it.target}, {_span(it.from_s, it.until_s)} s, has no alert: {it.why}." for it in report.noticed if it.why]
    found = table(heads, rows, f"Incidents ({labels}) under {report.policies[0].name}, and the alert that named each")
    return [found, *([items(silent)] if silent else [])]


def _alerts(report: Backtest) -> list[str]:
    first = report.policies[0]
    alerts = [(it.target, it.kind, it.severity, _span(it.from_s, it.until_s), "yes" if it.explained else "no") for it in first.alerts]
    if not alerts:
        return [p(f"Under {first.name} no alert was raised.")]
    return [table(("about", "alert", "severity", "from–to, s", "an incident explains it"), alerts, f"Alerts under {first.name}, first seed")]


def failovers(report: Backtest) -> list[str]:
    """How every policy left what was down, and came back."""
    rows = [
        (
            it.name, out.target, _span(out.from_s, out.until_s), _known(out.left_after_s, "at once"), f"{out.attempts:,}",
            _known(out.back_after_s, "not within the run"),
        )
        for it in report.policies
        for out in it.failovers
    ]  # fmt: skip
    heads = ("policy", "target", "outage, s", "last request after, s", "requests into it", "back after, s")
    return [h2("Failover"), table(heads, rows, "Probes aside; first seed") if rows else p("No target was down.")]


def _span(from_s: float, until_s: float | None) -> str:
    return f"{from_s:.0f}–{'' if until_s is None else f'{until_s:.0f}'}"


def _known(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.1f}"
