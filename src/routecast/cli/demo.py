"""`routecast demo`: a fleet of routers on recorded traffic, and how other policies do on the same requests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from routecast.cli.render import complain, form, show, show_json, show_rows

if TYPE_CHECKING:
    from rich.table import Table

    from routecast.models.report import DemoReport, Estimate
    from routecast.testing import Fleet

CHECK_FAILED = 5
USAGE = 2


def demo(
    *,
    policy: Annotated[list[str] | None, typer.Option(help="Policy to compare, repeatable; all of them by default. The first one is shown at work.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 1,
    duration: Annotated[float, typer.Option(min=60, max=3600, help="Virtual seconds of traffic.")] = 420.0,
    out: Annotated[Path | None, typer.Option(help="Also write the report as JSON to this file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Print text with tabs.")] = False,
) -> None:
    """Recorded traffic through sixteen routers: outage, slow-down, partial failure, 429 storm; six policies on the same requests."""
    from routecast.comparison import POLICIES, compare  # noqa: PLC0415 - numpy and the pipeline are slow to import

    policies = tuple(dict.fromkeys(policy)) if policy else POLICIES
    unknown = sorted(set(policies) - set(POLICIES))
    if unknown:
        complain(f"no policy {', '.join(unknown)}; there are {', '.join(POLICIES)}")
        raise typer.Exit(USAGE)
    with _Live(policies[0], duration) as live:
        report = compare(seed, duration, policies, live.show)
    if out is not None:
        out.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if json:
        show_json(report)
    else:
        _print(report, plain=plain)
    wrong = [check for check in report.checks if not check.agrees]
    for check in wrong:
        complain(f"count disagrees: {check.what}: pipeline {check.pipeline}, truth {check.truth}")
    if wrong:
        raise typer.Exit(CHECK_FAILED)


class _Live:
    """The table that moves on a terminal, a line a virtual minute elsewhere; on stderr, so that stdout holds results alone."""

    def __init__(self, policy: str, duration_s: float) -> None:
        from rich.console import Console  # noqa: PLC0415 - only the demonstration moves
        from rich.live import Live  # noqa: PLC0415

        self._policy = policy
        self._duration_s = duration_s
        self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, fleet: Fleet, at_s: float) -> None:
        """Show the fleet as it is now."""
        done = at_s > self._duration_s
        if self._live is not None:
            self._live.update(self._table(fleet, at_s), refresh=True)
        elif at_s % 60 == 0 and not done:
            complain(f"{self._policy}: {at_s:.0f} of {self._duration_s:.0f} virtual seconds")

    def _table(self, fleet: Fleet, at_s: float) -> Table:
        from rich.table import Table  # noqa: PLC0415

        table = Table(
            "target",
            "state",
            "share",
            "in flight",
            "capacity",
            "service s",
            "success",
            "score",
            title=f"{self._policy} · {at_s:.0f} of {self._duration_s:.0f} virtual seconds",
            box=None,
        )
        snapshot = fleet.snapshot()
        for t in snapshot.targets if snapshot else ():
            share = f"{t.share * t.ramp:.1%} {'▇' * round(t.share * t.ramp * 40)}"
            table.add_row(t.id, t.state, share, f"{t.in_flight:.0f}", f"{t.capacity:.0f}", f"{t.service_s:.2f}", f"{t.success:.1%}", f"{t.score:.3f}")
        return table


def _print(report: DemoReport, *, plain: bool) -> None:
    chosen = form(json=False, plain=plain)
    show(
        f"{report.requests:,} recorded requests in {report.duration_s:.0f} virtual seconds ("
        f"{report.compression:.2f} times faster than recorded: {report.load:.0%} load),"
    )
    show(f"{report.routers} routers, {len(report.targets)} recorded provider runs, each behind a slot queue of ours; seed {report.seed}\n")
    heads = ("target", "slots", "service s", "recorded", "of them 429", "trouble")
    show_rows(
        heads, [(t.target, str(t.slots), f"{t.mean_service_s:.2f}", str(t.recorded), str(t.recorded_rate_limited), t.injected) for t in report.targets], chosen
    )
    show("\nThe same requests under every policy; time to success in seconds, with 95 % intervals\n")
    figures = ("policy", "mean", "p95", "p99", "failed", "into dead", "largest share", "÷ ORC", "÷ BEST")
    rows = [
        (p.policy, _interval(p.mean_s), _interval(p.p95_s), _interval(p.p99_s), f"{p.failed_ratio.value:.2%}", f"{p.into_dead} ({p.into_dead_ratio:.1%})",
         f"{p.largest_share:.0%}", _ratio(p.to_orc), _ratio(p.to_best))
        for p in report.policies
    ]  # fmt: skip
    show_rows(figures, rows, chosen)
    show("\nORC: least S·(n+1)/c on perfect fresh state. BEST: fastest target with a free slot, else nearly the least wait, likewise.")
    for explained in report.decisions:
        it = explained.decision
        others = "; ".join(f"{a.target}: {a.reason}" for a in it.alternatives[:2])
        gone = ", ".join(f"{a.target} ({a.reason})" for a in it.alternatives if a.cost_s is None)
        show(f"\n{explained.when}, at {explained.at_s:.0f} s: {it.target}, {it.reason}.")
        show(f"  {it.load_impact}. Next: {others}." + (f" Left out: {gone}." if gone else ""))
    agreeing = sum(check.agrees for check in report.checks)
    show(f"\n{agreeing} of {len(report.checks)} counts of the pipeline agree with the truth of the simulation")


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f}–{estimate.high:.2f})"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
