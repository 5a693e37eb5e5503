"""`routecast backtest`: what recorded requests would have met under other policies, simulated, and what the log itself says."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from routecast.cli.kafka import Json, Plain
from routecast.cli.names import missing
from routecast.cli.progress import Progress
from routecast.cli.render import complain, form, show_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routecast.analytics.backtest.condition import Condition
    from routecast.backtest.fleet import Candidate
    from routecast.backtest.input import Input
    from routecast.backtest.traces import TraceName
    from routecast.models.backtest import Backtest, Incident, OffPolicy
    from routecast.models.config import Config

USAGE = 2
DEFAULT = ("performance", "weighted", "least_connections", "round_robin", "greedy")
_CHECK = "Checks and reports"

FileArgument = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="What `routecast record` or `routecast import` wrote.")]
TraceOption = Annotated[
    str | None,
    typer.Option("--trace", help="Instead of FILE: azure, mooncake or servegen at ten recorded providers; ROUTECAST_TRACES names the folder of the traces."),
]
Policies = Annotated[
    list[str] | None,
    typer.Option("--policy", help=f"A policy by name, or NAME=FILE.toml: a whole configuration. Repeatable; the first is judged. {', '.join(DEFAULT)}."),
]
FailIf = Annotated[
    list[str] | None,
    typer.Option("--fail-if", help="Exit code 5 if it is true: 'p95_ms>2000', 'round_robin:failed_ratio>0.01'. Repeatable.", rich_help_panel=_CHECK),
]
Labels = Annotated[Path | None, typer.Option(help="Incidents that alerts are judged by: TOML or JSON with target, from, to, kind.", rich_help_panel=_CHECK)]
Html = Annotated[Path | None, typer.Option(help="Write the report to this file; it opens without a network.", rich_help_panel=_CHECK)]
Junit = Annotated[Path | None, typer.Option(help="Write the conditions as JUnit XML to this file.", rich_help_panel=_CHECK)]


def backtest(
    file: FileArgument = None,
    *,
    trace: TraceOption = None,
    policy: Policies = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Runs of each policy; intervals are over them.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 1,
    requests: Annotated[int, typer.Option(min=500, max=200_000, help="Newest requests to play; time grows with them.")] = 20_000,
    service: Annotated[str | None, typer.Option(help="Whose requests; needed where there are several services.")] = None,
    config: Annotated[Path | None, typer.Option(help="Stands for the configuration in the recording.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one for each core by default.")] = None,
    labels: Labels = None,
    fail_if: FailIf = None,
    html: Html = None,
    junit: Junit = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Play recorded requests through whole routers under several policies, at targets fitted from the recording.

    Every policy meets the same requests, the same luck and the recorded troubles. What is printed is simulated with fitted service times; beside
    it stands what the recorded decisions themselves tell, and where the two differ, why.
    """
    from routecast.backtest.report import Asked, backtest  # noqa: PLC0415 - numpy and the pipeline are slow to import
    from routecast.cli.backtest_print import print_backtest, raise_failures  # noqa: PLC0415

    if (file is None) == (trace is None):
        raise typer.BadParameter("give either FILE or --trace")
    if trace is not None and (service is not None or config is not None):
        raise typer.BadParameter("--service and --config belong to FILE: a trace brings its own")
    for path in (html, junit):
        if path is not None and not path.parent.is_dir():  # before the minutes that it takes
            raise typer.BadParameter(f"{str(path)!r}: there is no folder {str(path.parent)!r}")
    names = _names(policy or DEFAULT)
    conditions = _conditions(fail_if or (), list(names))
    every = range(seed, seed + seeds)
    played = _recorded(file, config, service, every, requests, json=json) if file is not None else _traced(trace or "", every, requests)
    candidates = [_candidate(name, path, played) for name, path in names.items()]
    asked = Asked(_command(file, trace, policy or DEFAULT, seeds, seed, requests, service, config), conditions, _labelled(labels, played))
    said = _said(file, candidates, played, json=json) if file is not None else ()
    with Progress("playing", json=json) as progress:
        report = backtest(played, candidates, asked, said, jobs=jobs, tell=progress.tell_share)
    _written(report, html, junit)
    if json:
        show_json(report)
    else:
        print_backtest(report, form(json=False, plain=plain))
    raise_failures(report)


def _conditions(texts: Sequence[str], names: list[str]) -> tuple[Condition, ...]:
    from routecast.analytics.backtest.condition import condition  # noqa: PLC0415 - numpy is slow to import
    from routecast.models.errors import ConfigError  # noqa: PLC0415

    try:
        return tuple(condition(text, names) for text in texts)
    except ConfigError as error:
        raise typer.BadParameter(f"--fail-if {error}") from None


def _names(asked: list[str] | tuple[str, ...]) -> dict[str, Path | None]:
    """Name → its configuration file, in the order of the command line."""
    from routecast.models.config import Policy  # noqa: PLC0415 - slow to import

    names: dict[str, Path | None] = {}
    for text in asked:
        name, given, path = text.partition("=")
        if not name or (given and not path) or ":" in name:
            raise typer.BadParameter(f"--policy {text!r}: write a policy, or NAME=FILE.toml")
        if not given and name not in get_args(Policy):
            raise typer.BadParameter(f"{missing('policy', name, get_args(Policy))}, or write NAME=FILE.toml")
        if name in names:
            raise typer.BadParameter(f"--policy {name!r} is named twice: give each its own name, as in b=FILE.toml")
        names[name] = Path(path) if given else None
    return names


def _recorded(file: Path, config: Path | None, service: str | None, seeds: range, most: int, *, json: bool) -> Input:
    from routecast.backtest.input import read, recording_played  # noqa: PLC0415 - slow to import

    known = _loaded(config) if config is not None else None
    with Progress("reading", json=json) as progress:
        recorded = read(file, known, progress.tell)
    complain("fitting the targets")
    return recording_played(file, recorded, service, seeds, most)


def _traced(name: str, seeds: range, most: int) -> Input:
    from routecast.backtest.trace_input import trace_played  # noqa: PLC0415 - slow to import
    from routecast.backtest.traces import TRACES, trace  # noqa: PLC0415

    known: TraceName | None = next((it for it in TRACES if it == name), None)
    if known is None:
        raise typer.BadParameter(f"--trace {name!r}: there is no such trace; choose among {', '.join(TRACES)}")
    return trace_played(known, trace(known, os.environ).first(most), seeds)


def _loaded(path: Path) -> Config:
    from routecast.streams.configuration import load_config  # noqa: PLC0415 - slow to import

    return load_config(path, os.environ)


def _candidate(name: str, path: Path | None, played: Input) -> Candidate:
    from routecast.backtest.fleet import Candidate  # noqa: PLC0415 - slow to import
    from routecast.backtest.input import candidate_config  # noqa: PLC0415

    if path is None:
        return Candidate(name, played.config, name)
    return Candidate(name, candidate_config(_loaded(path), path, played), None)


def _labelled(path: Path | None, played: Input) -> tuple[Incident, ...] | None:
    if path is None:
        return None
    from routecast.analytics.backtest.labels import incidents  # noqa: PLC0415 - slow to import
    from routecast.backtest.labels import read_table  # noqa: PLC0415

    return incidents(read_table(path), played.source.from_ms, played.scenes[0].names)


def _said(file: Path, candidates: list[Candidate], played: Input, *, json: bool) -> tuple[OffPolicy, ...]:
    try:
        from routecast.backtest.off_policy import off_policy  # noqa: PLC0415 - pandas is slow to import
    except ImportError as error:
        complain(f"the log itself is not asked: {error.name} is missing, install routecast[analytics]")
        return ()
    decided = played.traffic.policy if played.traffic is not None else ""
    with Progress("evaluating the log", json=json) as progress:
        return off_policy(file, played.source.service, candidates, played.config.version, decided, progress.tell)


def _command(
    file: Path | None, trace: str | None, policies: list[str] | tuple[str, ...], seeds: int, seed: int, requests: int, service: str | None, config: Path | None
) -> str:
    words = ["routecast", "backtest", *([str(file)] if file is not None else ["--trace", trace or ""])]
    words += [word for text in policies for word in ("--policy", text)]
    words += ["--seeds", str(seeds), "--seed", str(seed), "--requests", str(requests)]
    words += ["--service", service] if service is not None else []
    words += ["--config", str(config)] if config is not None else []
    return shlex.join(words)


def _written(report: Backtest, html: Path | None, junit: Path | None) -> None:
    if html is not None:
        from routecast.dashboards.report.page import backtest_page  # noqa: PLC0415 - only where it is asked for

        html.write_text(backtest_page(report), encoding="utf-8")
        complain(f"the report is in {html}")
    if junit is not None:
        from routecast.dashboards.report.junit import junit_xml  # noqa: PLC0415 - only where it is asked for

        junit.write_text(junit_xml(report), encoding="utf-8")
