"""The charts of a backtest's report."""

from __future__ import annotations

from typing import Final

from routecast.dashboards.report.figures import seconds, spell_words
from routecast.dashboards.report.svg import Bar, Line, Span, bars, heat, lines, timeline
from routecast.models.backtest import Backtest, PolicyAnswer, Series

_FAR: Final = 8.0
"""Ratio from which on an axis is logarithmic."""
_MOST_ROWS: Final = 16
_STATES: Final = {"open": 4, "rate_limited": 3, "recovering": 6, "degraded": 1, "drained": 7}
_SPELLS: Final = {"failing": 4, "slow": 1, "refusing": 3}
"""Colours: a trouble has that of the state that it should bring."""


def to_success(report: Backtest) -> str:
    """Mean time to success of every policy."""
    found = [(it.name, it.figures.time_to_success_ms) for it in report.policies]
    known = [Bar(name, it.value, it.low, it.high) for name, it in found if it is not None]
    far = bool(known) and max(bar.value for bar in known) > _FAR * max(1.0, min(bar.value for bar in known))
    return bars(f"Mean time to success, s{', logarithmic' if far else ''}", known, words=seconds, log=far)


def latency(report: Backtest) -> str:
    """The 95th percentile of every policy over time, with the range of the first one's seeds; troubles behind it."""
    series = [Line(it.name, _points(it.series), _band(it.series) if not number else ()) for number, it in enumerate(report.policies)]
    known = [y for line in series for _, y in line.points if y]
    log = bool(known) and max(known) > _FAR * 4 * min(known)
    marks = [(it.from_s, it.until_s, f"{it.target}: {spell_words(it)}") for it in report.spells]
    title = f"p95 of the response time, s, by arrival{', logarithmic' if log else ''}; shaded: troubles, and the seeds of {report.policies[0].name}"
    return lines(title, series, x_words=_at, y_words=_axis_seconds, log=log, marks=marks)


def shares(report: Backtest, policy: PolicyAnswer) -> str:
    """Who got which share of a policy's attempts, over time."""
    del report
    rows = sorted(policy.series.shares.items(), key=lambda row: -sum(row[1]))[:_MOST_ROWS]
    return heat(f"Shares of the attempts under {policy.name}, by time in s", rows, step=policy.series.step_s, x_words=_at, words=lambda x: f"{x:.0%}")


def states(report: Backtest) -> str:
    """Troubles, and what the fleet made of them under the first policy: a row for each, of every target that had either."""
    first = report.policies[0]
    end_s = (report.source.until_ms - report.source.from_ms) / 1000.0
    unusual = [it for it in first.states if it.state in _STATES]
    troubled = sorted({it.target for it in report.spells} | {it.target for it in unusual})[: _MOST_ROWS // 2]
    rows = [row for name in troubled for row in (name, f"{name} state")]
    spans = [
        Span(it.target, it.from_s, it.until_s, _SPELLS[it.kind], f"{it.target}: {spell_words(it)}, {_from_to(it.from_s, it.until_s)}") for it in report.spells
    ]
    spans += [
        Span(f"{it.target} state", it.from_s, it.until_s, _STATES[it.state], f"{it.target}: {it.state}, {_from_to(it.from_s, it.until_s)}") for it in unusual
    ]
    legend = [("failing, open", 4), ("slow, degraded", 1), ("recovering", 6), ("refusing, rate limited", 3), ("drained", 7)]
    return timeline(f"Troubles, and states under {first.name}, by time in s", rows, spans, end=end_s, x_words=_at, legend=legend)


def _points(it: Series) -> list[tuple[float, float | None]]:
    return [((i + 0.5) * it.step_s, value) for i, value in enumerate(it.p95_ms)]


def _band(it: Series) -> list[tuple[float, float, float]]:
    pairs = enumerate(zip(it.p95_low_ms, it.p95_high_ms, strict=True))
    return [((i + 0.5) * it.step_s, low, high) for i, (low, high) in pairs if low is not None and high is not None]


def _at(at_s: float) -> str:
    return f"{at_s:,.0f}"


def _axis_seconds(ms: float) -> str:
    return f"{ms / 1000:g}"


def _from_to(from_s: float, until_s: float) -> str:
    return f"{from_s:.0f} to {until_s:.0f} s"
