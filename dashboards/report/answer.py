"""The first screen of a report: what the backtest says, by which two answers, how far to believe it, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from routecast.analytics.backtest.verdict import compared
from routecast.dashboards.report.figures import COLUMNS, plain, seconds
from routecast.dashboards.report.html import Cell, figure, h2, h3, items, p, table
from routecast.dashboards.report.pictures import to_success
from routecast.models.backtest import Backtest, OffPolicy
from routecast.models.report import Estimate


def answer(report: Backtest) -> list[str]:
    """What came out, in sentences and one picture; conditions that were asked for below."""
    checks = [
        p(
            f"{'Failed' if it.failed else 'Passed'}: {it.policy}: {it.expression} ({'nothing tells' if it.value is None else f'it is {plain(it.value)}'})",
            "failed" * it.failed,
        )
        for it in report.checks
    ]
    parts = [p(source_line(report), "dim"), p(report.verdict, "verdict"), to_success(report)]
    return [*parts, *([items(compared(it) for it in report.differences)] if report.differences else []), *checks]


def source_line(report: Backtest) -> str:
    """What was played."""
    source = report.source
    began, ended = (f"{datetime.fromtimestamp(at_ms / 1000.0, UTC):%Y-%m-%d %H:%M:%S}" for at_ms in (source.from_ms, source.until_ms))
    when = f"{began} to {ended} UTC" if source.kind == "recording" else f"{(source.until_ms - source.from_ms) / 1000:,.0f} s of simulated time"
    return f"{source.requests:,} requests, {source.routers} routers, {len(report.targets)} targets; {when}"


def two_answers(report: Backtest) -> list[str]:
    """The simulation's and the log's own, side by side, and why they differ."""
    seeds = len(report.seeds)
    how = [
        "Simulated: the recorded requests through whole routers, at targets fitted from the recording. Load that moves queues where it goes. "
        + (f"95 % intervals over {seeds} seeds of fits, luck and draws." if seeds > 1 else "One seed, so no interval."),
        "From the log: off-policy evaluation of the recorded decisions by their logged probabilities. No simulation; queues stay as they were recorded.",
    ]
    told = _first(report)
    rows: list[tuple[Cell, ...]] = [
        (it.name, figure(it.figures.time_to_success_ms, seconds), *_log_cells(told.get(it.name), it.figures.time_to_success_ms)) for it in report.policies
    ]
    heads = ["policy", "simulated, s", "from the log, s", "worth decisions", "do they agree"]
    refused = [f"{it.name}: no answer from the log: {it.refused}." for it in report.off_policy if it.value_ms is None]
    if not report.off_policy:
        how[1] = "From the log: no answer; a trace has no logged decisions." if report.source.kind == "trace" else "From the log: it was not asked."
        heads, rows = heads[:2], [row[:2] for row in rows]
    why = [h3("Why they differ"), items(f"{text}." for text in report.disagreements)] if report.disagreements else []
    return [h2("Two answers"), items(how), table(heads, rows, "Mean time to success of a request, s"), *why, *([items(refused)] if refused else [])]


def _first(report: Backtest) -> dict[str, OffPolicy]:
    """The preferred estimate of each policy."""
    found: dict[str, OffPolicy] = {}
    for it in report.off_policy:
        if it.value_ms is not None:
            found.setdefault(it.name, it)
    return found


def _log_cells(it: OffPolicy | None, simulated: Estimate | None) -> tuple[Cell, Cell, Cell]:
    if it is None or it.value_ms is None:
        return "–", "–", "–"
    agree = simulated is not None and it.value_ms.low <= simulated.high and simulated.low <= it.value_ms.high
    return figure(it.value_ms, seconds), "–" if it.effective_n is None else f"{it.effective_n:,.0f}", "yes" if agree else "no"


def belief(report: Backtest) -> list[str]:
    """What was recorded beside what is simulated of it, and what cannot be concluded."""
    return [h2("How far to believe it"), *_fidelity(report), h3("What cannot be concluded"), items(_unknown(report))]


def _fidelity(report: Backtest) -> list[str]:
    seen = report.fidelity
    if seen is None:
        return []
    if seen.simulated is None:
        return [p(f"The recorded policy was {seen.policy}; it is not among those played, so how true the simulation is cannot be seen: add it.")]
    words = {name: (head, say) for name, head, say in COLUMNS}
    rows = [(words[name][0], words[name][1](value), figure(seen.simulated.get(name), words[name][1])) for name, value in seen.recorded.items()]
    return [table(("metric", "recorded", "simulated"), rows, f"The recorded policy, {seen.policy}, as recorded and as simulated")]


def _unknown(report: Backtest) -> Iterator[str]:
    yield from _too_close(report)
    if (off := _off(report)) is not None:
        how = f"{abs(off):.0%} {'slower' if off > 0 else 'quicker'}"
        yield f"The simulation of the recorded policy is {how} than the recording: smaller differences may come of the simulation."
    if missing := [what for what, metric in (("cost", "usd_per_request"), ("quality", "quality")) if not _known(report, metric)]:
        yield f"Nothing in the input tells of {' and '.join(missing)}."
    yield "Requests come when they came: users who wait longer would ask less, or again."
    yield "Troubles are played at their times, whoever caused them: another policy's load might have avoided, or made, some."
    yield "A target that was rarely asked shows little of its limits."


def _too_close(report: Backtest) -> Iterator[str]:
    """Differences that the intervals leave open."""
    for it in report.differences:
        if it.mean is not None and it.mean.low < it.mean.high and it.mean.low <= 1.0 <= it.mean.high:
            most = max(it.mean.high - 1.0, 1.0 - it.mean.low)
            yield f"Whether {it.name} or {it.to} is quicker: they may differ by up to {most:.0%}, which {len(report.seeds)} seeds do not show; play more."


def _off(report: Backtest) -> float | None:
    """Simulated ÷ recorded time to success − 1 of the recorded policy, where that is more than a few percent."""
    seen = report.fidelity
    if seen is None or seen.simulated is None:
        return None
    recorded, simulated = seen.recorded.get("time_to_success_ms"), seen.simulated.get("time_to_success_ms")
    if not recorded or simulated is None:
        return None
    off = simulated.value / recorded - 1.0
    return off if abs(off) >= 0.03 else None


def _known(report: Backtest, metric: str) -> bool:
    return any(getattr(it.figures, metric) is not None for it in report.policies)
