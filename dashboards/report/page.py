"""A backtest as one HTML file: no script, no request, readable on light, dark and paper, well-formed as XML too."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from routecast.dashboards.report.csv_data import csv_files
from routecast.dashboards.report.figures import COLUMNS, interval, percent, seconds, spell_words, two
from routecast.dashboards.report.pictures import latency, shares, states, to_success
from routecast.dashboards.report.svg import STYLE, escape
from routecast.models.backtest import Backtest
from routecast.models.decision import Explanation

_STYLE: Final = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 900px; padding: 24px 20px 60px; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 8px; } p { margin: 8px 0; } .dim { color: var(--dim); }
.verdict { font-size: 17px; border-left: 4px solid var(--c0); padding: 4px 0 4px 14px; margin: 16px 0; } .failed { color: var(--c4); font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; width: 100%; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--grid); vertical-align: top; font-variant-numeric: tabular-nums; }
th { font-weight: 600; } code { font: 13px ui-monospace, monospace; overflow-wrap: anywhere; } a { color: var(--c0); }
@media print {
  :root { color-scheme: only light; } body { max-width: none; padding: 0; font-size: 11px; } table { font-size: 9px; } .wide { overflow: visible; }
  h2 { break-after: avoid; } tr, svg.chart { break-inside: avoid; }
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
        *_verdict(report, title), *_policies(report), *_changes(report), *_over_time(report), *_troubles(report), *_failovers(report), *_log(report),
        *_worst(report), *_data(report), *_again(report),
    ]  # fmt: skip
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; the first cell of a row is its head."""
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = "".join(f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>' for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _h2(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def _p(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def _verdict(report: Backtest, title: str) -> list[str]:
    source = report.source
    began, ended = (f"{datetime.fromtimestamp(at_ms / 1000.0, UTC):%Y-%m-%d %H:%M:%S}" for at_ms in (source.from_ms, source.until_ms))
    when = f"{began} to {ended} UTC" if source.kind == "recording" else f"{(source.until_ms - source.from_ms) / 1000:,.0f} s of simulated time"
    what = f"{source.requests:,} requests, {source.routers} routers, {len(report.targets)} targets; {when}"
    checks = [
        _p(
            f"{'Failed' if it.failed else 'Passed'}: {it.policy}: {it.expression} ({'unknown' if it.value is None else f'{it.value:.6g}'})",
            "failed" * it.failed,
        )
        for it in report.checks
    ]
    simulated = f"Simulated with fitted service times. Intervals are 95 % over {len(report.seeds)} seeds of fits, luck and draws."
    return [f"<h1>{escape(title)}</h1>", _p(what, "dim"), _p(report.verdict, "verdict"), *checks, _p(simulated, "dim"), to_success(report)]


def _policies(report: Backtest) -> list[str]:
    known = [column for column in COLUMNS if any(getattr(it.figures, column[0]) is not None for it in report.policies)]
    rows = [(head, *(interval(getattr(it.figures, name), words) for it in report.policies)) for name, head, words in known]
    regret = "Regret is the time to success beyond that of the better of two rules that see every target's state at once."
    return [_h2("Policies"), table(("", *(it.name for it in report.policies)), rows), _p(regret, "dim")]


def _changes(report: Backtest) -> list[str]:
    first = report.policies[0]
    rows = [(it.name, interval(it.mean, two), interval(it.p95, two), interval(it.failed, lambda x: f"{x:+.2%}")) for it in report.differences]
    targets = sorted(first.shares, key=lambda name: -first.shares[name])
    share_rows = [(name, *(percent(it.shares.get(name, 0.0)) for it in report.policies)) for name in targets]
    beside = f"Beside {first.name}, on the same requests and with the same luck: ratios of time to success and of p95, difference of the failed share."
    changed = [_p(beside), table(("policy", "time to success ÷", "p95 ÷", "failed −"), rows)] if rows else []
    return [_h2("What changed"), *changed, _p("Shares of the attempts."), table(("target", *(it.name for it in report.policies)), share_rows)]


def _over_time(report: Backtest) -> list[str]:
    return [_h2("Over time"), latency(report), *(shares(report, it) for it in report.policies)]


def _troubles(report: Backtest) -> list[str]:
    rows = [(it.target, spell_words(it), f"{it.from_s:.0f}–{it.until_s:.0f}", str(it.attempts) if it.attempts else "–") for it in report.spells]
    found = table(("target", "what", "from–to, s", "recorded attempts"), rows) if rows else _p("No trouble was found in the input.")
    labels = "labelled by hand" if report.labelled else "the troubles above"
    first = report.policies[0]
    alerts = [(it.target, it.kind, it.severity, _span(it.from_s, it.until_s), "yes" if it.explained else "no") for it in first.alerts]
    raised = table(("about", "alert", "severity", "from–to, s", "explained"), alerts) if alerts else _p(f"Under {first.name} no alert was raised.")
    return [_h2("States and incidents"), found, states(report), _p(f"Alerts under {first.name}, judged by incidents: {labels}."), raised]


def _span(from_s: float, until_s: float | None) -> str:
    return f"{from_s:.0f}–{'' if until_s is None else f'{until_s:.0f}'}"


def _failovers(report: Backtest) -> list[str]:
    rows = [
        (
            it.name,
            out.target,
            f"{out.from_s:.0f}–{out.until_s:.0f}",
            _known(out.left_after_s, "at once"),
            str(out.attempts),
            _known(out.back_after_s, "not within the run"),
        )
        for it in report.policies
        for out in it.failovers
    ]
    heads = ("policy", "target", "outage, s", "last request after, s", "requests into it", "back after, s")
    return [_h2("Failover"), table(heads, rows) if rows else _p("No target was down."), _p("Probes aside; of the first seed.", "dim")]


def _known(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.1f}"


def _log(report: Backtest) -> list[str]:
    if not report.off_policy:
        return []
    rows = [
        (it.name, it.method or "–", interval(it.value_ms, seconds), "–" if it.effective_n is None else f"{it.effective_n:,.0f}", it.refused)
        for it in report.off_policy
    ]
    says = "Off-policy evaluation: mean time to success as the recorded decisions and their probabilities tell it, under the recorded load. No simulation."
    heads = ("policy", "method", "time to success, s", "worth decisions", "refused")
    return [_h2("What the log itself says"), _p(says), table(heads, rows), *(_p(f"They differ. {text}.") for text in report.disagreements)]


def _worst(report: Backtest) -> list[str]:
    rows = [
        (f"{it.at_s:.1f}", f"{seconds(it.took_ms)}{' failed' if it.failed else ''}", seconds(it.best_alone_ms), it.decision.target, _why(it.decision))
        for it in report.worst
    ]
    says = f"Of {report.policies[0].name}: the requests that lost most beside what the quickest target would have taken for them alone."
    return [_h2("Worst decisions"), _p(says), table(("at, s", "took, s", "could take, s", "target", "why"), rows)] if rows else []


def _why(it: Explanation) -> str:
    others = "; ".join(f"{other.target} {other.reason}" for other in it.alternatives[:2])
    return f"{it.reason}. {it.load_impact}. Next: {others}." if others else f"{it.reason}. {it.load_impact}."


def _data(report: Backtest) -> list[str]:
    heads = ("target", "answers", "at once", "slower by", "alone, s", "first chunk, s", "per token, ms", "failed", "limit/min")
    rows = [
        (it.target, str(it.answers), "no bound" if it.slots is None else f"{it.slots:.0f}", f"{it.slowing:.1%}" if it.slowing else "–",
         seconds(it.alone_ms), "–" if it.ttft_ms is None else seconds(it.ttft_ms), "–" if it.tpot_ms is None else f"{it.tpot_ms:.1f}", percent(it.fail_ratio),
         "–" if it.requests_per_min is None else f"{it.requests_per_min:.0f}")
        for it in report.targets
    ]  # fmt: skip
    notes = [(it.what, f"{it.count:,}", it.meaning) for it in report.quality]
    quality = table(("what", "count", "meaning"), notes) if notes else _p("Nothing had to be left out or filled in.")
    return [_h2("Data quality"), quality, *_fidelity(report), _p("What was fitted of each target, as the first seed plays it:"), table(heads, rows)]


def _fidelity(report: Backtest) -> list[str]:
    seen = report.fidelity
    if seen is None:
        return []
    if seen.simulated is None:
        return [_p(f"The recorded policy was {seen.policy}; it is not among those played, so how true the simulation is cannot be seen: add it.")]
    words = {name: (head, say) for name, head, say in COLUMNS}
    rows = [(words[name][0], words[name][1](value), interval(seen.simulated.get(name), words[name][1])) for name, value in seen.recorded.items()]
    return [_p(f"How true the simulation is: the recorded policy, {seen.policy}, as recorded and as simulated."), table(("", "recorded", "simulated"), rows)]


def _again(report: Backtest) -> list[str]:
    source = report.source
    line = f"input {source.name} (SHA-256 {source.digest}), {source.from_ms:.0f}–{source.until_ms:.0f} ms, seeds {', '.join(map(str, report.seeds))}, "
    line += f"configuration {report.configuration}, routecast {report.routecast}"
    links = [
        f'<a download="{name}" href="data:text/csv;base64,{base64.b64encode(text.encode()).decode()}">{name}</a>' for name, text in csv_files(report).items()
    ]
    return [_h2("Again"), f"<p><code>{escape(report.command)}</code></p>", _p(line, "dim"), f"<p>Data: {', '.join(links)}</p>"]
