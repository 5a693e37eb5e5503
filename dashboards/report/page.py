"""A backtest as one HTML file: no script, no request, readable on light, dark and paper, well-formed as XML too. The answer comes first."""

from __future__ import annotations

import base64
from typing import Final

from routecast.dashboards.report.answer import answer, belief, two_answers
from routecast.dashboards.report.csv_data import csv_files
from routecast.dashboards.report.figures import COLUMNS, percent, seconds, two
from routecast.dashboards.report.html import Cell, figure, h2, p, table, wide
from routecast.dashboards.report.pictures import latency, shares
from routecast.dashboards.report.svg import STYLE, escape
from routecast.dashboards.report.troubles import failovers, troubles
from routecast.dashboards.report.worst import worst_decisions
from routecast.models.backtest import Backtest

_STYLE: Final = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 900px; padding: 24px 20px 60px; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; } h2 { font-size: 19px; margin: 40px 0 8px; }
h3 { font-size: 15px; margin: 20px 0 4px; } p { margin: 8px 0; } ul { margin: 8px 0; padding-left: 20px; } li { margin: 3px 0; } .dim { color: var(--dim); }
.verdict { font-size: 19px; line-height: 1.4; border-left: 4px solid var(--c0); padding: 4px 0 4px 14px; margin: 16px 0; }
.failed { color: var(--c4); font-weight: 600; } .wide { overflow-x: auto; margin: 8px 0; } .wide > svg.chart { min-width: 700px; }
table { border-collapse: collapse; font-size: 14px; min-width: min(100%, 420px); } caption { text-align: left; color: var(--dim); padding: 4px 0; }
th, td { text-align: left; padding: 5px 18px 5px 0; border-bottom: 1px solid var(--grid); vertical-align: top; font-variant-numeric: tabular-nums; }
th { font-weight: 600; } td small { display: block; color: var(--dim); font-size: 12px; white-space: nowrap; } tbody th { white-space: nowrap; }
.wide tbody th { position: sticky; left: 0; background: var(--paper); }
code { font: 13px ui-monospace, monospace; overflow-wrap: anywhere; } a { color: var(--c0); } details > summary { cursor: pointer; margin: 8px 0; }
@media print {
  :root { color-scheme: only light; } body { max-width: none; padding: 0; font-size: 11px; } table { font-size: 9px; } td small { font-size: 8px; }
  .wide { overflow: visible; } .wide > svg.chart { min-width: 0; } .wide tbody th { position: static; } th, td { padding-right: 8px; }
  h2, h3, caption { break-after: avoid; } tr, svg.chart { break-inside: avoid; }
}
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""Of the page itself: the browser fetches nothing, whatever stands in it."""


def backtest_page(report: Backtest) -> str:
    """The report; text from recordings is text and nothing else."""
    title = f"Backtest of {report.source.service} – {report.source.name}"
    head = (
        f'<meta charset="utf-8"/><meta http-equiv="Content-Security-Policy" content="{_POLICY}"/>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"/><title>{escape(title)}</title><style>{STYLE}{_STYLE}</style>'
    )
    parts = [
        *answer(report), *two_answers(report), *belief(report), *_policies(report), *_shares(report), *_over_time(report), *troubles(report),
        *failovers(report), *worst_decisions(report), *_data(report), *_again(report),
    ]  # fmt: skip
    body = "\n".join([f"<h1>{escape(title)}</h1>", *parts])
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{body}\n</main></body></html>\n'


def _policies(report: Backtest) -> list[str]:
    known = [column for column in COLUMNS if any(getattr(it.figures, column[0]) is not None for it in report.policies)]
    rows = [(head, *(figure(getattr(it.figures, name), words) for it in report.policies)) for name, head, words in known]
    notes = ["Time to success is over all requests, one without success costing 30 s more; the rows above it are of those that succeeded."]
    notes += ["Regret is the time to success beyond that of the better of two rules that see every target's state at once."]
    if any(it.figures.regret_ms is not None and it.figures.regret_ms.low < 0 for it in report.policies):
        notes += ["It may be below 0: those rules do not know the work of a request, and are no lower bound."]
    return [h2("All metrics"), table(("metric", *(it.name for it in report.policies)), rows, "Simulated"), p(" ".join(notes), "dim"), *_beside(report)]


def _beside(report: Backtest) -> list[str]:
    first = report.policies[0].name
    rows: list[tuple[Cell, ...]] = [(it.name, figure(it.mean, two), figure(it.p95, two), figure(it.failed, lambda x: f"{x:+.2%}")) for it in report.differences]
    heads = ("policy", "time to success ÷", "p95 ÷", "failed −")
    return [table(heads, rows, f"Beside {first}, on the same requests and with the same luck: ratios, and the difference of the failed share")] if rows else []


def _shares(report: Backtest) -> list[str]:
    first = report.policies[0]
    targets = sorted(first.shares, key=lambda name: -first.shares[name])
    rows = [(name, *(percent(it.shares.get(name, 0.0)) for it in report.policies)) for name in targets]
    return [h2("Who served"), table(("target", *(it.name for it in report.policies)), rows, "Share of the attempts")]


def _over_time(report: Backtest) -> list[str]:
    return [h2("Over time"), wide(latency(report), "Response time"), *(wide(shares(report, it), f"Shares under {it.name}") for it in report.policies)]


def _data(report: Backtest) -> list[str]:
    heads = ("target", "answers", "at once", "slower by", "alone, s", "first chunk, s", "per token, ms", "failed", "limit/min")
    rows = [
        (it.target, f"{it.answers:,}", "no bound" if it.slots is None else f"{it.slots:.0f}", f"{it.slowing:.1%}" if it.slowing else "–",
         seconds(it.alone_ms), "–" if it.ttft_ms is None else seconds(it.ttft_ms), "–" if it.tpot_ms is None else f"{it.tpot_ms:.1f}", percent(it.fail_ratio),
         "–" if it.requests_per_min is None else f"{it.requests_per_min:.0f}")
        for it in report.targets
    ]  # fmt: skip
    notes = [(it.what, f"{it.count:,}", it.meaning) for it in report.quality]
    quality = table(("what", "count", "meaning"), notes, "What to know of the data") if notes else p("Nothing had to be left out or filled in.")
    return [h2("Data quality"), quality, *_methods(report), table(heads, rows, "What was fitted of each target, as the first seed plays it")]


def _methods(report: Backtest) -> list[str]:
    """Every estimate from the log: that they agree is a sign of enough support."""
    rows: list[tuple[Cell, ...]] = [
        (it.name, it.method, figure(it.value_ms, seconds), "–" if it.effective_n is None else f"{it.effective_n:,.0f}")
        for it in report.off_policy
        if it.value_ms is not None
    ]
    return [table(("policy", "method", "time to success, s", "worth decisions"), rows, "From the log, by every method")] if rows else []


def _again(report: Backtest) -> list[str]:
    source = report.source
    line = f"input {source.name} (SHA-256 {source.digest}), {source.from_ms:.0f}–{source.until_ms:.0f} ms, seeds {', '.join(map(str, report.seeds))}, "
    line += f"configuration {report.configuration}, routecast {report.routecast}"
    links = [
        f'<a download="{name}" href="data:text/csv;base64,{base64.b64encode(text.encode()).decode()}">{name}</a>' for name, text in csv_files(report).items()
    ]
    return [h2("Again"), f"<p><code>{escape(report.command)}</code></p>", p(line, "dim"), f"<p>Data: {', '.join(links)}</p>"]
