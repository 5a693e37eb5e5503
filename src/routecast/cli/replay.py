"""`routecast replay`: a recording through the same code again, and whether everything that was published follows from it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routecast.cli.bounds import BOUND, range_of
from routecast.cli.kafka import File, Json, Plain
from routecast.cli.progress import Progress, moment
from routecast.cli.render import complain, form, show, show_json, show_rows
from routecast.cli.replay_compare import compare
from routecast.cli.replay_play import Asked, play, print_all

if TYPE_CHECKING:
    from routecast.models.replay import ReplayReport, Verified
    from routecast.streams.recordings.ranges import Range


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `routecast record` wrote.")],
    *,
    verify: Annotated[bool, typer.Option("--verify", help="Compute every snapshot and checkpoint again and compare; exit code 5 at a difference.")] = False,
    influx: Annotated[bool, typer.Option("--influx", help="Store in InfluxDB's bucket `replay` what the pipeline makes of it.")] = False,
    lines: Annotated[Path | None, typer.Option(help="Write the same to this file, as line protocol.")] = None,
    print_events: Annotated[bool, typer.Option("--print", help="Print the events, a line of JSON each.")] = False,
    run: Annotated[str | None, typer.Option(help="Tag `run` of what is stored; the name of the file by default.")] = None,
    policies: Annotated[
        list[str] | None, typer.Option("--policy", help="Compare what these policies would have chosen by the recorded snapshots; give it several times.")
    ] = None,
    service: Annotated[str | None, typer.Option(help="Whose decisions --policy is about; may be left out where there is only one.")] = None,
    speed: Annotated[float | None, typer.Option(min=0.001, help="Recorded seconds a second; as fast as possible by default.")] = None,
    begin: Annotated[str | None, typer.Option("--from", metavar=BOUND, help="Only events that were appended from then on.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar=BOUND, help="Only events that were appended before.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Keeps how far --influx or --lines are; the next one with the same file goes on there.")] = None,
    config: File = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Fold a recording again and say what was in it; prove that the published snapshots follow from it; compare policies; or play it elsewhere."""
    within = range_of(begin, end)
    if sum((verify, influx, lines is not None, print_events, bool(policies))) > 1:
        raise typer.BadParameter("give one of --verify, --influx, --lines, --print, --policy")
    if influx or lines is not None:
        play(Asked(file, within, lines, run or file.stem, speed, checkpoint, config), json=json)
        return
    if print_events:
        print_all(file, within, speed)
        return
    if (verify or policies) and (begin or end):
        raise typer.BadParameter("--verify and --policy take the whole recording, not --from and --to")
    if policies:
        compare(file, policies, service, json=json, plain=plain)
        return
    report = _replayed(file, within, verify=verify, json=json)
    if report.verified is not None:
        for term, reason in report.verified.unverified.items():
            complain(f"term {term} was not verified: {reason}")
    if json:
        show_json(report)
    else:
        _print(report, plain=plain)


def _replayed(file: Path, within: Range, *, verify: bool, json: bool) -> ReplayReport:
    from routecast.models.replay import ReplayReport  # noqa: PLC0415 - numpy and the analysts are slow to import
    from routecast.streams.recordings.recording import Recording  # noqa: PLC0415
    from routecast.streams.recordings.replay import replay as fold  # noqa: PLC0415
    from routecast.streams.recordings.verification import Verification, ticks  # noqa: PLC0415

    verified: Verified | None = None
    with Recording(file) as recording:
        manifest, began_s = recording.manifest, time.perf_counter()
        if verify:
            recording.check()
        with Progress("folding", manifest.events, json=json) as progress:
            found = fold(recording, progress.tell, within)
        took_s = time.perf_counter() - began_s
        if verify:
            with Progress("verifying", manifest.events, json=json) as progress:
                verified = Verification(recording, progress.tell).run()
        return ReplayReport(
            file=str(file), routecast=manifest.routecast, begins=f"checkpoint {manifest.base.term}/{manifest.base.seq}" if manifest.base else "first event",
            events=found.events, bad=found.bad, requests=sum(target.ended for target in found.targets), first_ms=manifest.first_ms,
            last_ms=manifest.last_ms, ticks=sum(1 for _ in ticks(recording)), targets=found.targets, verified=verified, fold_s=round(took_s, 3),
            verify_s=round(time.perf_counter() - began_s - took_s, 3) if verify else None,
        )  # fmt: skip


def _print(report: ReplayReport, *, plain: bool) -> None:
    if not plain:
        span = f"{moment(report.first_ms)} to {moment(report.last_ms)} UTC, {(report.last_ms - report.first_ms) / 1000:,.0f} s"
        show(f"{report.events:,} events ({report.bad:,} bad) and {report.ticks:,} ticks, {span};")
        show(f"{report.requests:,} attempts ended; recorded by routecast {report.routecast} from the {report.begins} on\n")
    rows = [
        (t.target, *(str(n) for n in (t.started, t.ended, t.ok, t.error, t.timeout, t.rate_limited, t.cancelled, t.caller_fault)),
         "-" if t.mean_ok_ms is None else f"{t.mean_ok_ms:.0f}")
        for t in report.targets
    ]  # fmt: skip
    heads = ("target", "started", "ended", "ok", "errors", "timeouts", "429", "cancelled", "caller's fault", "mean ok ms")
    show_rows(heads, rows, form(json=False, plain=plain))
    if not plain:
        show(f"\nfolded in {report.fold_s:.1f} s, {report.events_per_s:,.0f} events/s")
        if report.verified is not None:
            show(_equal(report.verified, report.verify_s or 0.0))


def _equal(verified: Verified, took_s: float) -> str:
    terms = f"term{'s' if len(verified.terms) > 1 else ''} {', '.join(map(str, verified.terms))}"
    what = f"{verified.ticks:,} ticks, {verified.snapshots:,} snapshots and {verified.checkpoints:,} checkpoints of {terms}"
    return f"verified in {took_s:.1f} s: {what} are equal, byte for byte"
