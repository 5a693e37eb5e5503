"""How `routecast demo` prints what it found out, in virtual time and on Kafka."""

from __future__ import annotations

from collections.abc import Sequence

from routecast.cli.render import Form, show, show_rows
from routecast.models.errors import CheckFailed
from routecast.models.report import CountCheck, DemoReport, DemoTarget, Estimate, Explained, LiveReport


def print_report(report: DemoReport | LiveReport, chosen: Form) -> None:
    """Everything that was found out, for people."""
    if isinstance(report, LiveReport):
        _live(report, chosen)
    else:
        _compared(report, chosen)
    _decisions(report.decisions)
    agreeing = sum(check.agrees for check in report.checks)
    show(f"\n{agreeing} of {len(report.checks)} counts of the pipeline agree with the truth of the simulation")


def _compared(report: DemoReport, chosen: Form) -> None:
    show(
        f"{report.requests:,} recorded requests in {report.duration_s:.0f} virtual seconds ("
        f"{report.compression:.2f} times faster than recorded: {report.load:.0%} load),"
    )
    show(f"{report.routers} routers, {len(report.targets)} recorded provider runs, each behind a slot queue of ours; seed {report.seed}\n")
    _targets(report.targets, chosen)
    show("\nThe same requests under every policy; time to success in seconds, with 95 % intervals\n")
    figures = ("policy", "mean", "p95", "p99", "failed", "into dead", "largest share", "÷ ORC", "÷ BEST")
    rows = [
        (p.policy, _interval(p.mean_s), _interval(p.p95_s), _interval(p.p99_s), f"{p.failed_ratio.value:.2%}", f"{p.into_dead} ({p.into_dead_ratio:.1%})",
         f"{p.largest_share:.0%}", _ratio(p.to_orc), _ratio(p.to_best))
        for p in report.policies
    ]  # fmt: skip
    show_rows(figures, rows, chosen)
    show("\nORC: least S·(n+1)/c on perfect fresh state. BEST: fastest target with a free slot, else nearly the least wait, likewise.")
    _noticed(report, chosen)


def _noticed(report: DemoReport, chosen: Form) -> None:
    show(f"\nWhat the fleet noticed under {report.policies[0].policy}: seconds from the beginning of a trouble to the first sign of each kind\n")
    rows = [
        (f"{it.begins_s:.0f}–{it.ends_s:.0f} s", it.target, it.trouble, ", ".join(f"{what} {after_s:.0f}" for what, after_s in it.after_s.items()) or "nothing")
        for it in report.noticed
    ]
    show_rows(("when", "target", "trouble", "noticed after s"), rows, chosen)
    show(f"\nAt targets without a trouble of their own: {'; '.join(report.elsewhere) or 'nothing'}.")


def _live(report: LiveReport, chosen: Form) -> None:
    show(
        f"{report.requests:,} recorded requests in {report.duration_s:.0f} virtual seconds ("
        f"{report.compression:.2f} times faster than recorded: {report.load:.0%} load),"
    )
    show(f"played {report.speed:g} × as fast, in {report.took_s:.0f} real seconds: a virtual second of providers and queues lasted {1 / report.speed:.2g} s.")
    others = "workers that ran already" if not report.workers else f"{report.workers} worker processes"
    show(f"Real: {report.routers} routers with emitters, Kafka at {report.brokers}, topics {report.prefix}*, {others}.")
    show(f"Simulated: {len(report.targets)} recorded provider runs, each behind a slot queue of ours; seed {report.seed}\n")
    _targets(report.targets, chosen)
    show("\nTime to success in virtual seconds, with 95 % intervals; the comparison of policies is that of `routecast demo` without --kafka\n")
    p = report.policy
    rows = [(p.policy, _interval(p.mean_s), _interval(p.p95_s), _interval(p.p99_s), f"{p.failed_ratio.value:.2%}",
             f"{p.into_dead} ({p.into_dead_ratio:.1%})", str(p.rate_limited), f"{p.largest_share:.0%}")]  # fmt: skip
    show_rows(("policy", "mean", "p95", "p99", "failed", "into dead", "429", "largest share"), rows, chosen)
    if (fresh := report.freshness) is not None:
        show(f"\nFrom an event to a router that knows it, real time: p50 {fresh.p50_ms:.0f}, p95 {fresh.p95_ms:.0f}, p99 {fresh.p99_ms:.0f} ms.")
    show(f"Events dropped: {report.dropped}. A request or an answer came at most {report.behind_ms:.0f} ms late: counts are exact, times this good.")
    show("The routers below speak of real seconds.")


def raise_disagreement(checks: Sequence[CountCheck]) -> None:
    """Raise CheckFailed naming the counts that are not the truth."""
    if wrong := [f"{check.what}: pipeline {check.pipeline}, truth {check.truth}" for check in checks if not check.agrees]:
        raise CheckFailed("\nroutecast: ".join(f"count disagrees: {text}" for text in wrong))


def _targets(targets: Sequence[DemoTarget], chosen: Form) -> None:
    heads = ("target", "slots", "service s", "recorded", "of them 429", "trouble")
    rows = [(t.target, str(t.slots), f"{t.mean_service_s:.2f}", str(t.recorded), str(t.recorded_rate_limited), t.injected) for t in targets]
    show_rows(heads, rows, chosen)


def _decisions(decisions: Sequence[Explained]) -> None:
    for explained in decisions:
        it = explained.decision
        others = "; ".join(f"{a.target}: {a.reason}" for a in it.alternatives[:2])
        gone = ", ".join(f"{a.target} ({a.reason})" for a in it.alternatives if a.cost_s is None)
        show(f"\n{explained.when}, at {explained.at_s:.0f} s: {it.target}, {it.reason}.")
        show(f"  {it.load_impact}. Next: {others}." + (f" Left out: {gone}." if gone else ""))


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f}–{estimate.high:.2f})"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
