"""One sentence: who is bad, since when, and what routing does about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from routecast.dashboards.terminal.board import TargetRow
from routecast.dashboards.terminal.glance import Window
from routecast.dashboards.terminal.trouble import faded, fades
from routecast.dashboards.terminal.words import direction_of, lasting, line_of, metric_of, number, percent, time_of, value_of
from routecast.models.details import WindowName
from routecast.models.insights import Alert, Change
from routecast.models.snapshot import State

_GAIN: Final = 0.005
_SPANS: Final[Mapping[WindowName, str]] = {
    "10s": "the last 10 s", "1m": "the last minute", "5m": "the last 5 min", "1h": "the last hour", "24h": "the last day",
}  # fmt: skip
_NAMED: Final = 2
"""Targets that are named as taking over a share."""


def sentence_of(row: TargetRow, others: Sequence[TargetRow], alert: Alert | None, changes: Sequence[Change], facts: Facts) -> str:
    """Of one target. What it says of failures is what its row says.

    Args:
        row: the target.
        others: targets of its service, itself perhaps among them.
        alert: the foremost about it.
        changes: those about it that last.
        facts: what the rows do not say.
    """
    matter = _MATTERS[row.state](row, facts) if row.state in _MATTERS else _matter(row, alert, changes, facts)
    gains = "" if row.state in {"ok", "degraded", "unknown"} else _gains(row, others, facts.before)
    return "; ".join(part for part in (matter, facts.panic or _answer(row, facts), gains) if part)


class Facts:
    """What a sentence needs beside the rows.

    Args:
        now_ms: of the board.
        before: shares of the service's targets before the target came to its state.
        told_by: who drained it; empty: nobody said.
        probe_ms: the longest time without a probe.
        failures: the change for the worse of its error ratio that lasts.
        window: of the rows' figures.
        minute: figures of the target of the last minute.
        panic: whether more than half of the service is closed off.
    """

    def __init__(
        self, now_ms: float, before: Mapping[str, float], told_by: str, probe_ms: float, *, failures: Change | None, window: WindowName, minute: Window,
        panic: bool,
    ) -> None:  # fmt: skip
        self.now_ms, self.before, self.told_by, self.probe_ms = now_ms, before, told_by, probe_ms
        self.failures, self.minute = failures, minute
        self.span = _SPANS[window]
        self.panic = "breakers close off more than half of the service, so that all its targets are used, by cost" if panic else ""


def since_of(row: TargetRow, now_ms: float) -> str:
    """`since 14:02:10 (3 min)`."""
    long = lasting(now_ms - row.since.at_ms)
    return f"since {time_of(row.since.at_ms)} ({long})" if row.since.exact else f"for {long} at least"


def _open(row: TargetRow, facts: Facts) -> str:
    return f"{line_of(row.id)} is open {since_of(row, facts.now_ms)}{_failed(row, facts)}"


def _rate_limited(row: TargetRow, facts: Facts) -> str:
    refused = f", {percent(row.rate_limit_ratio)} of its {row.judged:,} requests in {facts.span} got a 429" if row.rate_limit_ratio else ""
    return f"{line_of(row.id)} refuses requests by rate limit {since_of(row, facts.now_ms)}{refused}"


def _recovering(row: TargetRow, facts: Facts) -> str:
    return f"{line_of(row.id)} is being tried again, out of the traffic {since_of(row, facts.now_ms)}{_failed(row, facts)}"


def _failed(row: TargetRow, facts: Facts) -> str:
    """What the table says; and what the detector says since the change, because the window began when all was well."""
    if not row.failure_ratio:
        return ""
    change = facts.failures
    level = f" ({percent(change.after)} since {time_of(change.since_ms)})" if change is not None and change.after > row.failure_ratio else ""
    return f", {percent(row.failure_ratio)} of its {row.judged:,} requests in {facts.span} failed{level}"


def _drained(row: TargetRow, facts: Facts) -> str:
    by = f" by {facts.told_by}" if facts.told_by else ""
    return f"{line_of(row.id)} is drained{by} {since_of(row, facts.now_ms)}"


_MATTERS: Final = {"open": _open, "rate_limited": _rate_limited, "recovering": _recovering, "drained": _drained}


def _matter(row: TargetRow, alert: Alert | None, changes: Sequence[Change], facts: Facts) -> str:
    """Of a target that is in use: what still shows first."""
    worse = sorted((change for change in changes if change.worse), key=lambda change: faded(change, facts.minute)) or list(changes)
    if alert is not None and not (fades(alert, facts.minute) and worse and not faded(worse[0], facts.minute)):
        over = ", which no longer shows; the alert ends after five minutes of peace" if fades(alert, facts.minute) else ""
        return f"{line_of(alert.title).rstrip('.')} (since {time_of(alert.started_ms)}){over}"
    return _changed(row, worse[0], facts) if worse else f"{line_of(row.id)} is {row.state}{_failed(row, facts)}"


def _changed(row: TargetRow, change: Change, facts: Facts) -> str:
    was, usually = value_of(change.metric, change.after), value_of(change.metric, change.before)
    if faded(change, facts.minute):
        return f"{line_of(row.id)} was worse than usual from {time_of(change.since_ms)} on, which no longer shows: {metric_of(change.metric)} {was} then"
    if change.metric == "error_ratio" and row.failure_ratio is not None:
        was = f"{percent(row.failure_ratio)} in {facts.span}"
    return f"{line_of(row.id)} is {direction_of(change)} than usual since {time_of(change.since_ms)}: {metric_of(change.metric)} {was}, usually {usually}"


_ANSWERS: Final[Mapping[State, str]] = {
    "rate_limited": "it rests until its limit lets it in again",
    "drained": "it gets nothing new until somebody resumes it",
    "recovering": "a share that grows decides whether it is well",
}


def _answer(row: TargetRow, facts: Facts) -> str:
    if row.state == "open":
        return f"single probes test it, at the latest after {lasting(facts.probe_ms)}"
    if row.state == "recovering" and row.ramp <= 0:
        return "single probes decide whether it is well"
    if row.state in _ANSWERS:
        return _ANSWERS[row.state]
    if row.planned is None:
        return f"it stays in use, {percent(row.share)} of the last minute's requests went to it, at an expected {number(row.cost_s)} s"
    before = f", it was {percent(row.planned_before)}" if row.planned_before is not None and abs(row.planned_before - row.planned) > _GAIN else ""
    return f"it stays in use, {percent(row.planned)} of the requests are planned for it{before}, at an expected {number(row.cost_s)} s"


def _gains(row: TargetRow, others: Sequence[TargetRow], before: Mapping[str, float]) -> str:
    """Who took over, largest gain first; where it was not seen, who has most."""
    rest = [other for other in others if other.id != row.id]
    if not before or row.planned is None or row.planned > before.get(row.id, 1.0):
        most = sorted(((takes(other), other) for other in rest), key=lambda pair: -pair[0])[:_NAMED]
        named = [f"{line_of(other.id)} ({percent(share)})" for share, other in most if share > 0]
        return f"most requests go to {', '.join(named)}" if named else ""
    gained = sorted(((takes(other) - before.get(other.id, 0.0), other) for other in rest), key=lambda pair: -pair[0])
    named = [f"{line_of(other.id)} (+{percent(gain)})" for gain, other in gained[:_NAMED] if gain > _GAIN]
    return f"its share is planned for {', '.join(named)}" if named else ""


def takes(row: TargetRow) -> float:
    """What a target gets of the next requests, as far as anybody can tell: the plan, else what the last minute's routers did."""
    return row.planned if row.planned is not None else row.share or 0.0
