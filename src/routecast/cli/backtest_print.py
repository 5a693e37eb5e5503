"""How `routecast backtest` prints what it found out."""

from __future__ import annotations

from collections.abc import Sequence

from routecast.analytics.backtest.verdict import compared
from routecast.cli.render import Form, show, show_rows
from routecast.dashboards.report.figures import COLUMNS, interval, seconds, spell_words
from routecast.models.backtest import Backtest, PolicyAnswer
from routecast.models.errors import CheckFailed


def print_backtest(report: Backtest, chosen: Form) -> None:
    """For people: the verdict, the table of policies, and what to think of it."""
    if chosen == "table":
        source = report.source
        span_s = (source.until_ms - source.from_ms) / 1000.0
        show(f"{source.requests:,} requests of {source.service!r} in {span_s:,.0f} s ({source.kind} {source.name}), {source.routers} routers,")
        show(f"simulated with fitted service times of {len(report.targets)} targets; {len(report.seeds)} seeds, 95 % intervals over them\n")
        show(report.verdict)
        for it in report.differences:
            show(f"  {compared(it)}")
        show("")
    show_rows(*_table(report.policies), chosen)
    if chosen == "table":
        _print_rest(report)


def _table(policies: Sequence[PolicyAnswer]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Metrics as rows, policies as columns: five of them fit a terminal; figures that nobody has are left out."""
    known = [column for column in COLUMNS if any(getattr(it.figures, column[0]) is not None for it in policies)]
    rows = [(head, *(interval(getattr(it.figures, name), words) for it in policies)) for name, head, words in known]
    return ("", *(it.name for it in policies)), rows


def _print_rest(report: Backtest) -> None:
    _print_spells(report)
    _print_silence(report)
    _print_off_policy(report)
    if (seen := report.fidelity) is not None and seen.simulated is not None:
        pairs = [(name, value, seen.simulated[name]) for name, value in seen.recorded.items() if name in seen.simulated and name.endswith("_ms")]
        words = ", ".join(f"{name.removesuffix('_ms')} {seconds(value)} recorded, {interval(it, seconds)} simulated" for name, value, it in pairs)
        show(f"\nThe recorded policy was {seen.policy}: {words} s.")
    for it in report.quality:
        show(f"Data: {it.count:,} {it.what}: {it.meaning}.")
    for check in report.checks:
        value = "nothing in the recording tells" if check.value is None else f"{check.value:.6g}"
        show(f"{'FAILED' if check.failed else 'passed'}: {check.policy}: {check.expression} ({value})")
    show(f"\nAgain: {report.command}")
    show(f"Input {report.source.digest}, configuration {report.configuration}, routecast {report.routecast}")


def _print_spells(report: Backtest) -> None:
    if report.spells:
        show("\nTroubles that every policy met\n")
        show_rows(("target", "what", "s"), [(it.target, spell_words(it), f"{it.from_s:.0f}–{it.until_s:.0f}") for it in report.spells], "table")


def _print_silence(report: Backtest) -> None:
    """Why an incident has no alert: a low recall alone would look like a fault of the alerts."""
    for it in report.noticed:
        if it.why:
            show(f"\nNo alert named {it.target} from {it.from_s:.0f} to {it.until_s:.0f} s under {report.policies[0].name}: {it.why}.")


def _print_off_policy(report: Backtest) -> None:
    told = [it for it in report.off_policy if it.value_ms is not None]
    if told:
        show("\nThe log itself, by off-policy evaluation: mean time to success under the recorded load, s\n")
        rows = [(it.name, it.method, interval(it.value_ms, seconds), "–" if it.effective_n is None else f"{it.effective_n:,.0f}") for it in told]
        show_rows(("policy", "method", "to success s", "worth decisions"), rows, "table")
    for it in report.off_policy:
        if it.value_ms is None:
            show(f"\nThe log says nothing of {it.name}: {it.refused}.")
    for text in report.disagreements:
        show(f"\nThey differ. {text}.")


def raise_failures(report: Backtest) -> None:
    """Raise CheckFailed naming the conditions that are true."""
    if failed := [check for check in report.checks if check.failed]:
        raise CheckFailed("; ".join(f"{it.policy}: {it.expression} is true, it is {it.value:.6g}" for it in failed))
