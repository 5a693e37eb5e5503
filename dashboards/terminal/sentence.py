"""One sentence: who is bad, since when, and what routing does about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from routecast.dashboards.terminal.board import TargetRow
from routecast.dashboards.terminal.words import direction_of, lasting, line_of, metric_of, number, percent, time_of, value_of
from routecast.models.insights import Alert, Change
from routecast.models.snapshot import State

_GAIN: Final = 0.005
_NAMED: Final = 2
"""Targets that are named as taking over a share."""


def sentence_of(row: TargetRow, others: Sequence[TargetRow], alert: Alert | None, changes: Sequence[Change], facts: Facts) -> str:
    """Of one target.

    Args:
        row: the target.
        others: targets of its service, itself perhaps among them.
        alert: the most severe about it.
        changes: those about it that last.
        facts: what the rows do not say.
    """
    matter = _MATTERS[row.state](row, facts) if row.state in _MATTERS else _matter(row, alert, changes)
    gains = "" if row.state in {"ok", "degraded", "unknown"} else _gains(row, others, facts.before)
    return "; ".join(part for part in (matter, facts.panic or _answer(row, facts), gains) if part)


class Facts:
    """What a sentence needs beside the rows.

    Args:
        now_ms: of the board.
        before: shares of the service's targets before the target came to its state.
        told_by: who drained it; empty: nobody said.
        probe_ms: the longest time without a probe.
        failing: the largest failure ratio that is known of the target; 0: none.
        panic: whether more than half of the service is closed off.
    """

    def __init__(self, now_ms: float, before: Mapping[str, float], told_by: str, probe_ms: float, *, failing: float, panic: bool) -> None:
        self.now_ms, self.before, self.told_by, self.probe_ms, self.failing = now_ms, before, told_by, probe_ms, failing
        self.panic = "breakers close off more than half of the service, so that all its targets are used, by cost" if panic else ""


def since_of(row: TargetRow, now_ms: float) -> str:
    """`since 14:02:10 (3 min)`."""
    long = lasting(now_ms - row.since.at_ms)
    return f"since {time_of(row.since.at_ms)} ({long})" if row.since.exact else f"for {long} at least"


def _open(row: TargetRow, facts: Facts) -> str:
    failing = f", {percent(facts.failing)} of its latest requests failed" if facts.failing else ""
    return f"{line_of(row.id)} is open {since_of(row, facts.now_ms)}{failing}"


def _rate_limited(row: TargetRow, facts: Facts) -> str:
    refused = f", {percent(row.rate_limit_ratio)} of its requests got a 429" if row.rate_limit_ratio else ""
    return f"{line_of(row.id)} refuses requests by rate limit {since_of(row, facts.now_ms)}{refused}"


def _recovering(row: TargetRow, facts: Facts) -> str:
    failing = f" after {percent(facts.failing)} of its latest requests failed" if facts.failing else ""
    return f"{line_of(row.id)} is being tried again{failing}, out of the traffic {since_of(row, facts.now_ms)}"


def _drained(row: TargetRow, facts: Facts) -> str:
    by = f" by {facts.told_by}" if facts.told_by else ""
    return f"{line_of(row.id)} is drained{by} {since_of(row, facts.now_ms)}"


_MATTERS: Final = {"open": _open, "rate_limited": _rate_limited, "recovering": _recovering, "drained": _drained}


def _matter(row: TargetRow, alert: Alert | None, changes: Sequence[Change]) -> str:
    """Of a target that is in use."""
    if alert is not None:
        return f"{line_of(alert.title).rstrip('.')} (since {time_of(alert.started_ms)})"
    worse = [change for change in changes if change.worse] or list(changes)
    if worse:
        change = worse[0]
        values = f"{value_of(change.metric, change.after)}, usually {value_of(change.metric, change.before)}"
        return f"{line_of(row.id)} is {direction_of(change)} than usual since {time_of(change.since_ms)}: {metric_of(change.metric)} {values}"
    failing = f" with {percent(row.failure_ratio)} failures" if row.failure_ratio else ""
    return f"{line_of(row.id)} is {row.state}{failing}"


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
    before = f", it was {percent(row.share_before)}" if row.share_before is not None and abs(row.share_before - row.share) > _GAIN else ""
    return f"it stays in use, {percent(row.share)} of the requests are planned for it{before}, at an expected {number(row.cost_s)} s"


def _gains(row: TargetRow, others: Sequence[TargetRow], before: Mapping[str, float]) -> str:
    """Who took over, largest gain first; where it was not seen, who has most."""
    rest = [other for other in others if other.id != row.id]
    if not before or row.share > before.get(row.id, 1.0):
        first = sorted(rest, key=lambda other: -other.share)[:_NAMED]
        return "most requests go to " + ", ".join(f"{line_of(other.id)} ({percent(other.share)})" for other in first if other.share > 0) if first else ""
    gained = sorted(((other.share - before.get(other.id, 0.0), other) for other in rest), key=lambda pair: -pair[0])
    named = [f"{line_of(other.id)} (+{percent(gain)})" for gain, other in gained[:_NAMED] if gain > _GAIN]
    return f"its share goes to {', '.join(named)}" if named else ""
