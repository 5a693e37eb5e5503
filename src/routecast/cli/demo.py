"""`routecast demo`: a fleet of routers on recorded traffic, and how other policies do on the same requests; or one of them on Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from routecast.cli.demo_live import ROUTERS, SPEED, WORKERS, Play, play
from routecast.cli.names import require
from routecast.cli.render import complain, form, show_json

if TYPE_CHECKING:
    from routecast.models.report import DemoReport, LiveReport

USAGE = 2
_KAFKA = "On Kafka"
_SHORTEST_S, _LONGEST_S = 60, 3600

Policies = Annotated[list[str] | None, typer.Option(help="Policy to compare, repeatable; all by default. The first one is shown at work. On Kafka: one.")]
Where = Annotated[
    str | None,
    typer.Option(
        help="auto: start a broker here (needs Java 17). kafka://host:9092[,…]: use running ones. Without: virtual time, nothing else needed.",
        rich_help_panel=_KAFKA,
    ),
]
Speed = Annotated[float | None, typer.Option(min=0.1, max=50, help=f"Virtual seconds in a real one; {SPEED:g} by default.", rich_help_panel=_KAFKA)]
Workers = Annotated[
    int | None,
    typer.Option(min=0, max=16, help=f"Worker processes to start, on topics of their own; {WORKERS} by default. 0: others run.", rich_help_panel=_KAFKA),
]
Routers = Annotated[int | None, typer.Option(min=1, max=64, help=f"Routers in this process; {ROUTERS} by default.", rich_help_panel=_KAFKA)]
Forever = Annotated[bool, typer.Option("--forever", help="Repeat the traffic until Ctrl-C or SIGTERM; no report.", rich_help_panel=_KAFKA)]
File = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration with the ten targets and how to reach Kafka; built in by default.", rich_help_panel=_KAFKA),
]
WriteConfig = Annotated[
    Path | None, typer.Option(help="Write the configuration that workers of `--workers 0` need to this file, and end.", rich_help_panel=_KAFKA)
]

Record = Annotated[
    Path | None,
    typer.Option(help="Write a recording of the traffic under one --policy to this file, and end: something to try replay, export and backtest on."),
]


def demo(
    *,
    policy: Policies = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 1,
    duration: Annotated[float, typer.Option(help="Virtual seconds of traffic, 60 to 3600.")] = 420.0,
    out: Annotated[Path | None, typer.Option(help="Also write the report as JSON to this file.")] = None,
    record: Record = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Print text with tabs.")] = False,
    kafka: Where = None,
    speed: Speed = None,
    workers: Workers = None,
    routers: Routers = None,
    forever: Forever = False,
    config: File = None,
    write_config: WriteConfig = None,
) -> None:
    """Recorded traffic through many routers: outage, slow-down, partial failure, 429 storm.

    In virtual time, six policies on the same requests; with --kafka in real time, one policy through real brokers and workers.
    """
    from routecast.demo.comparison import POLICIES  # noqa: PLC0415 - numpy and the pipeline are slow to import

    live = {"--speed": speed, "--workers": workers, "--routers": routers, "--config": config, "--forever": forever or None}
    if write_config is not None:
        _write(write_config)
        return
    if kafka is None and (needless := [name for name, value in live.items() if value is not None]):
        _misused(f"{', '.join(needless)}: only together with --kafka")
    require("policy", policy or (), POLICIES)
    if not _SHORTEST_S <= duration <= _LONGEST_S:
        _misused(f"--duration {duration:g}: the demonstration has its troubles within {_SHORTEST_S} to {_LONGEST_S} s")
    policies = tuple(dict.fromkeys(policy or ()))
    if record is not None:
        if len(policies) > 1:
            _misused("--record takes one --policy: what was recorded was routed by one")
        _record(record, (policies or POLICIES)[0], seed, duration)
        return
    if kafka is None:
        report: DemoReport | LiveReport | None = _compare(policies or POLICIES, seed, duration)
    else:
        if len(policies) > 1:
            _misused("one --policy at a time on Kafka: policies are compared in virtual time, without --kafka")
        if forever and (out is not None or json):
            _misused("--forever has no report: leave out --out and --json")
        report = play(
            Play(
                where=kafka, policy=next(iter(policies), None), seed=seed, duration_s=duration, speed=speed or SPEED, forever=forever, file=config,
                workers=WORKERS if workers is None else workers, routers=routers or ROUTERS,
            )
        )  # fmt: skip
    if report is not None:
        _finish(report, out, json=json, plain=plain)


def _compare(policies: tuple[str, ...], seed: int, duration_s: float) -> DemoReport:
    from routecast.cli.demo_table import DemoTable  # noqa: PLC0415 - slow to import
    from routecast.demo.comparison import compare  # noqa: PLC0415

    with DemoTable(policies[0], duration_s) as table:
        return compare(seed, duration_s, policies, lambda fleet, at_s: table.show(fleet.snapshot(), at_s))


def _finish(report: DemoReport | LiveReport, out: Path | None, *, json: bool, plain: bool) -> None:
    from routecast.cli.demo_report import print_report, raise_disagreement  # noqa: PLC0415 - slow to import

    if out is not None:
        out.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if json:
        show_json(report)
    else:
        print_report(report, form(json=False, plain=plain))
    raise_disagreement(report.checks)


def _write(file: Path) -> None:
    from routecast.demo.demonstration import written_config  # noqa: PLC0415 - slow to import
    from routecast.models.errors import ConfigError  # noqa: PLC0415

    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(written_config())
    except FileExistsError:
        raise ConfigError(f"{str(file)!r} exists: give another file, nothing is overwritten") from None
    complain(f"wrote {file}: run `routecast worker --config {file} --kafka URL`, then `routecast demo --config {file} --kafka URL --workers 0`")


def _record(file: Path, name: str, seed: int, duration_s: float) -> None:
    from typing import get_args  # noqa: PLC0415 - with the policies

    from routecast.demo.recorded import record_demo  # noqa: PLC0415
    from routecast.models.config import Policy  # noqa: PLC0415 - slow to import

    policy: Policy = next(known for known in get_args(Policy) if known == name)
    record_demo(file, seed=seed, duration_s=duration_s, policy=policy)
    complain(f"recorded {duration_s:g} s of the demonstration under {policy}: `routecast replay {file}` says what is in it")


def _misused(text: str) -> NoReturn:
    complain(text)
    raise typer.Exit(USAGE)
