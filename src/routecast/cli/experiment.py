"""`routecast experiment`: comparing policies, models and weights on live traffic, with results that may be looked at at any time."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from routecast.cli.durations import seconds_of
from routecast.cli.kafka import READ_S, File, Json, Plain, Url, ask, configured
from routecast.cli.names import missing
from routecast.cli.render import complain, form, show, show_json, show_rows
from routecast.cli.targets import USAGE, Wait, heard, look, warn_of_silence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from routecast.models.config import Config
    from routecast.models.events import Control
    from routecast.models.experiment_report import ExperimentReport
    from routecast.models.experiments import Experiment
    from routecast.models.targets import Word
    from routecast.streams.operators.insights_log import Said

app = typer.Typer(no_args_is_help=True, help="Compare policies, models and weights on live traffic.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The experiment.")]
Unit = Annotated[str, typer.Option("--by", help="request, session, or block: what an arm gets as a whole.")]
Measure = Annotated[str, typer.Option("--measure", help="latency, success, quality or cost: what the verdict is about.")]


@app.command()
def start(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the experiment: lower-case letters, digits, _ . -")],
    *,
    arm: Annotated[
        list[str], typer.Option("--arm", metavar="NAME[:KEY=VALUE,…]", help="policy=, share=, targets=A+B, model=, provider=, weight.TARGET=; first: control.")
    ],
    service: Annotated[str | None, typer.Option("--service", help="The service; may be left out where there is only one.")] = None,
    by: Unit = "request",
    measure: Measure = "latency",
    lasts: Annotated[str, typer.Option("--for", metavar="TIME", help="Ends by itself: 6h, 2d; 28 days at most.")] = "7d",
    shadow: Annotated[bool, typer.Option("--shadow", help="The control serves everything; the other arm decides, and both decisions are logged.")] = False,
    block: Annotated[str, typer.Option("--block", metavar="TIME", help="Length of a block, or longer than a session.")] = "10m",
    washout: Annotated[str, typer.Option("--washout", metavar="TIME", help="At the beginning of a block nothing counts for so long.")] = "0s",
    guard: Annotated[list[str] | None, typer.Option("--guard", metavar="RAIL=LIMIT", help="errors, latency, slow, cost; or none.")] = None,
    slow_ms: Annotated[float | None, typer.Option("--slow-ms", min=1, help="Answers that take longer are slow; the configured warning by default.")] = None,
    planned: Annotated[int | None, typer.Option("--planned", min=10, help="Units at which intervals are to be tightest.")] = None,
    wait: Wait = 10.0,
    config: File = None,
    kafka: Url = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Start an experiment: routers assign from the next snapshot on. One runs on a service at a time.

    `routecast experiment start rr --arm control --arm rr:policy=round_robin --for 1d`, or of two models
    `routecast experiment start mini --arm large:model=gpt-4o --arm mini:model=gpt-4o-mini,share=0.1`
    """
    from routecast.cli.experiment_arms import arms_of, rails_of  # noqa: PLC0415 - slow to import
    from routecast.models.events import Control  # noqa: PLC0415
    from routecast.streams.clock import SystemClock  # noqa: PLC0415

    loaded, published = look(config, kafka)
    which, now_ms = _service(loaded, service), round(SystemClock().now_ms())
    fields = {
        "name": name, "salt": secrets.token_hex(4), "service": which, "unit": by, "shadow": shadow, "measure": measure,
        "arms": arms_of(arm, loaded.targets_of(which)),
        "starts_ms": now_ms, "ends_ms": now_ms + round(_ms("--for", lasts)), "block_ms": _ms("--block", block), "washout_ms": _ms("--washout", washout),
        "planned": planned or (10_000 if by == "request" else 100), "rails": {} if shadow else rails_of(guard),
        "slow_ms": slow_ms or loaded.thresholds.response_time_ms.warning,
    }  # fmt: skip
    made = _made(fields)
    snapshot = published.snapshots.get(which)
    _refuse(loaded, made, snapshot.experiment if snapshot else None)
    word = _tell(loaded, Control(at_ms=now_ms, action="start_experiment", service=which, experiment=made), wait)
    if word.snapshot is not None and word.experiment != made.id:
        complain(f"another experiment runs on service {which!r}: {word.experiment or 'it was stopped at once'}; `routecast experiment list` shows it")
        raise typer.Exit(1)
    if json:
        show_json(word)
    else:
        shares = ", ".join(f"{arm.name} {100 * arm.share:.4g}%" for arm in made.arms)
        arms = f"{made.arms[0].name} serves, {made.arms[1].name} decides beside it" if shadow else shares
        show(f"{made.name} ({made.salt}) on service {which}: {arms}{_from(word)}; `routecast experiment status {made.name}` shows how it goes")


@app.command()
def stop(
    name: Name,
    *, why: Annotated[str, typer.Option("--why", help="The reason, for colleagues.")], wait: Wait = 10.0, config: File = None, kafka: Url = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Stop an experiment: everything is routed as outside it from the next snapshot on; the answers under way still count."""
    from routecast.models.events import Control  # noqa: PLC0415 - slow to import
    from routecast.streams.clock import SystemClock  # noqa: PLC0415

    if not why.strip() or len(why) > 256:
        raise typer.BadParameter("--why: give a reason of at most 256 characters")
    loaded, published = look(config, kafka)
    running = [found.experiment for found in published.snapshots.values() if found.experiment is not None and found.experiment.name == name]
    if not running:
        complain(f"no experiment {name!r} runs: `routecast experiment list` shows those that did")
        raise typer.Exit(USAGE)
    (found,) = running[:1]
    said = Control(at_ms=round(SystemClock().now_ms()), action="stop_experiment", service=found.service, name=found.id, why=why.strip())
    word = _tell(loaded, said, wait)
    if json:
        show_json(word)
    else:
        show(f"{name} is over{_from(word)}; `routecast experiment status {name}` has the result")


@app.command()
def status(name: Name, *, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False) -> None:
    """Show how an experiment stands: counts, estimates with intervals that hold however often you look, guard rails, the verdict."""
    from routecast.cli.experiment_screen import show_experiment  # noqa: PLC0415 - slow to import

    loaded, said, found, now_ms = _reports(config, kafka)
    mine = [report for report in found if name in {report.name, f"{report.name}.{report.salt}"}]
    warn_of_silence(loaded, said.snapshots)
    if not mine:
        known = ", ".join(sorted({report.name for report in found})) or "none was ever started"
        complain(f"no experiment {name!r}; known are: {known}. A new one reports within 10 s")
        raise typer.Exit(USAGE)
    if json:
        show_json(mine[0])
    else:
        show_experiment(mine[0], now_ms, form(json=json, plain=plain))


@app.command("list")
def list_experiments(*, config: File = None, kafka: Url = None, json: Json = False, plain: Plain = False) -> None:
    """List the experiments that run, and those of the last 30 days, the newest first."""
    from routecast.cli.experiment_screen import LIST_HEADS, list_row  # noqa: PLC0415 - slow to import
    from routecast.models.experiment_report import ExperimentReports  # noqa: PLC0415

    loaded, said, found, now_ms = _reports(config, kafka)
    warn_of_silence(loaded, said.snapshots)
    if json:
        show_json(ExperimentReports(at_ms=now_ms, experiments=tuple(found)))
    elif found or plain:
        show_rows(LIST_HEADS, [list_row(report, now_ms) for report in found], form(json=json, plain=plain))
    else:
        show("there was no experiment, as far as the log goes back")


def _reports(config: Path | None, kafka: str | None) -> tuple[Config, Said, list[ExperimentReport], float]:
    from routecast.models.experiment_report import ExperimentReport  # noqa: PLC0415 - slow to import
    from routecast.streams.clock import SystemClock  # noqa: PLC0415
    from routecast.streams.operators.insights_log import said as everything  # noqa: PLC0415

    loaded, now_ms = configured(config, kafka), SystemClock().now_ms()
    said = ask(loaded.kafka, everything(loaded, now_ms), within_s=READ_S)
    found = [insight for insight in said.insights if isinstance(insight, ExperimentReport)]
    return loaded, said, sorted(found, key=lambda report: (report.state == "ended", -report.started_ms)), now_ms


def _service(loaded: Config, named: str | None) -> str:
    services = sorted(loaded.services)
    if named is None and len(services) == 1:
        return services[0]
    if named not in services:
        complain(missing("service", named, services) if named else f"which service? The configuration has {', '.join(services)}: give --service")
        raise typer.Exit(USAGE)
    return named


def _made(fields: Mapping[str, object]) -> Experiment:
    import msgspec  # noqa: PLC0415 - slow to import

    from routecast.models.experiments import Experiment  # noqa: PLC0415

    try:
        made = msgspec.convert(msgspec.to_builtins(fields), Experiment)
    except msgspec.ValidationError as error:
        raise typer.BadParameter(str(error)) from None
    if made.fault:
        raise typer.BadParameter(made.fault)
    return made


def _refuse(loaded: Config, made: Experiment, running: Experiment | None) -> None:
    """Exit where it cannot begin, or would not mean anything."""
    targets = {target.id for target in loaded.targets_of(made.service)}
    unknown = sorted({target for arm in made.arms for target in arm.weights | dict.fromkeys(arm.targets)} - targets)
    if unknown:
        complain(missing("target", unknown[0], sorted(targets)))
    elif running is not None:
        complain(f"{running.name!r} runs on service {made.service!r}: `routecast experiment stop {running.name}` first")
    elif not made.shadow and len({(arm.policy, arm.targets, *sorted(arm.weights.items())) for arm in made.arms}) == 1:
        complain("all arms are the same: give one a policy=, targets=, model= or weight.TARGET=; for a test of the method itself, name the present policy")
    else:
        return
    raise typer.Exit(USAGE)


def _ms(option: str, text: str) -> float:
    try:
        return seconds_of(text) * 1000.0
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None


def _tell(loaded: Config, said: Control, wait_s: float) -> Word:
    from routecast.streams.clock import SystemClock  # noqa: PLC0415 - slow to import
    from routecast.streams.operators.control import tell  # noqa: PLC0415

    return ask(loaded.kafka, tell(loaded, said, said.service, wait_s=wait_s, clock=SystemClock()), within_s=None)


def _from(word: Word) -> str:
    at, took = heard(word)
    return f" from snapshot {at} on, {took} ms after it was told" if at else "; not waited for a snapshot"
