"""The page of a target as styled text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from routecast.dashboards.terminal.board import TargetPage
from routecast.dashboards.terminal.columns import SEVERITY_STYLES, STYLES, SYMBOLS
from routecast.dashboards.terminal.history import sparkline
from routecast.dashboards.terminal.text import line
from routecast.dashboards.terminal.words import direction_of, duration, line_of, metric_of, number, percent, time_of, value_of
from routecast.models.details import Duration, OutcomesTotal, SubjectDetails, WindowDetails

_EVENTS: Final = 30
_HEADS: Final = ("window", "requests", "/min", "success", "errors", "timeouts", "429", "tok/min", "usd", "quality")
_TIMES: Final = ("window", "what", "n", "p50", "p90", "p95", "95 % interval", "p99", "max")


def page_lines(page: TargetPage) -> Iterator[Text]:
    """Everything about a target, a line each."""
    yield from _head(page)
    yield from _why(page)
    yield from _insights(page)
    if page.details is not None:
        yield from _windows(page.details)
    yield from _part("What happened, the newest first")
    yield from (line(happening, page.at_ms) for happening in reversed(page.happenings[-_EVENTS:]))
    if not page.happenings:
        yield Text("nothing yet", "dim")


def _part(name: str) -> Iterator[Text]:
    yield Text()
    yield Text(name, "bold underline")


def _head(page: TargetPage) -> Iterator[Text]:
    row = page.row
    place = ", ".join(line_of(part) for part in (row.provider, row.model, row.region) if part)
    yield Text.assemble((f"{SYMBOLS[row.state]} {line_of(row.id)}", STYLES[row.state]), f"  {place}, service {line_of(row.service)}")
    yield Text(line_of(page.sentence))
    yield Text()
    planned = "" if row.planned is None else f", planned {percent(row.planned)}"
    yield Text(f"share {percent(row.share)}{planned}   score {row.score:.3f}   success at least {percent(row.success)}   cost {number(row.cost_s)} s a success")
    limit = "no rate limit in the way" if row.headroom >= 1 else f"{percent(row.headroom)} of its rate limit free"
    queue = "" if row.queue is None else f"   {row.queue} in its queue"
    price = f"   ${row.usd:.4f} a request" if row.usd else ""
    yield Text(
        f"{number(round(row.in_flight))} in flight of about {number(round(row.capacity))} it serves at once{queue}   {limit}   weight {row.weight:g}{price}"
    )
    if any(p95 is not None for p95 in row.p95s):
        yield Text.assemble("p95, 10 min   ", (sparkline(row.p95s, len(row.p95s)), "cyan"), f" up to {duration(max(p95 or 0.0 for p95 in row.p95s))}")
    if any(row.rates):
        yield Text.assemble("rate, 10 min  ", (sparkline(row.rates, len(row.rates)), "cyan"), f" up to {number(max(rate or 0.0 for rate in row.rates))}/min")


def _why(page: TargetPage) -> Iterator[Text]:
    yield from _part("Why it gets this share")
    why = page.why
    if why is None:
        yield Text("this configuration does not know the target: routers with it send it nothing", "dim")
        return
    cost = "no candidate" if why.cost_s is None else f"an expected {why.cost_s:.2f} s"
    yield Text(f"policy {line_of(why.policy)}: drawn with probability {why.probability:.3f}, {cost}")
    yield Text(line_of(why.reason))
    yield Text(f"what would change it: {line_of(why.would_change)}")


def _insights(page: TargetPage) -> Iterator[Text]:
    yield from _part("What is said of it now")
    said = False
    for alert in page.alerts:
        said = True
        title = f" since {time_of(alert.started_ms)}: {line_of(alert.title)}  (`routecast alerts show {line_of(alert.id)}`)"
        yield Text.assemble((f"! {alert.severity}", SEVERITY_STYLES[alert.severity]), title)
    for change in page.changes:
        said = True
        values = f"{value_of(change.metric, change.before)} → {value_of(change.metric, change.after)}, in {change.n:,} requests"
        style = "red" if change.worse else "green"
        yield Text.assemble((f"~ {direction_of(change)}", style), f" since {time_of(change.since_ms)}: {metric_of(change.metric)} {values}")
    for trend in page.trends:
        if trend.trend in {"improving", "declining"}:
            said = True
            values = f"{value_of(trend.metric, trend.previous)} → {value_of(trend.metric, trend.current)}"
            arrow, style = ("↘", "red") if trend.trend == "declining" else ("↗", "green")
            yield Text.assemble((f"{arrow} {trend.trend}", style), f": {metric_of(trend.metric)} {values}, confidence {percent(trend.confidence)}")
    for item in page.recommendations:
        said = True
        yield Text.assemble((f"→ {item.priority}", SEVERITY_STYLES[item.priority]), f": {line_of(item.description)}: {line_of(item.action)}")
    if not said:
        yield Text("nothing: no alert, no change, no trend", "dim")


def _windows(details: SubjectDetails) -> Iterator[Text]:
    yield from _part("Outcomes")
    yield from _table(_HEADS, [(name, *_outcomes(window)) for name, window in details.windows.items()])
    yield Text(f"since the pipeline began: {details.started_total:,} started, {_counted(details.outcomes_total)}", "dim")
    yield from _part("Times")
    kinds = (("whole", "latency"), ("first chunk", "ttft"), ("per token", "tpot"))
    rows = [(name, what, *_times(getattr(window, kind))) for name, window in details.windows.items() for what, kind in kinds if getattr(window, kind).n]
    yield from _table(_TIMES, rows)


def _counted(outcomes: OutcomesTotal) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in outcomes.model_dump().items() if count) or "none ended"


def _outcomes(w: WindowDetails) -> tuple[str, ...]:
    ratios = (w.success_ratio, w.error_ratio, w.timeout_ratio, w.rate_limit_ratio)
    quality = "-" if w.quality.mean is None else f"{w.quality.mean:.2f} of {w.quality.n}"
    return (f"{w.requests:,}", number(w.requests_per_min), *map(percent, ratios), number(w.tokens_per_min), f"{w.cost_usd:.4g}", quality)


def _times(it: Duration) -> tuple[str, ...]:
    interval = "-" if it.p95_low_ms is None or it.p95_high_ms is None else f"{duration(it.p95_low_ms)} – {duration(it.p95_high_ms)}"
    return (f"{it.n:,}", duration(it.p50_ms), duration(it.p90_ms), duration(it.p95_ms), interval, duration(it.p99_ms), duration(it.max_ms))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[Text]:
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    for number_of, row in enumerate((heads, *rows)):
        yield Text("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)), "" if number_of else "dim")
