"""`routecast doctor`: what is wrong with a set-up, and what mends it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from routecast.cli.kafka import File, Json, Plain, Url, quiet
from routecast.cli.render import console, show_json, show_rows

if TYPE_CHECKING:
    from routecast.models.diagnosis import Diagnosis

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}


def doctor(
    *,
    role: Annotated[
        Literal["emitter", "router", "worker", "sink", "operator"] | None,
        typer.Option(help="Check what this kind of program needs, with its login; everything by default."),
    ] = None,
    grafana: Annotated[Path | None, typer.Option(metavar="DIR", help="Also look at dashboards and rules that were exported to this folder.")] = None,
    deadline: Annotated[float, typer.Option(min=0.1, max=600, help="Longest time for one check, seconds.")] = 10.0,
    config: File = None,
    kafka: Url = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Examine the set-up from here to InfluxDB and say how to mend what is wrong; changes nothing. Exit code 3, 4 or 5 by the first failure."""
    from routecast.dashboards.doctor.checks import checks  # noqa: PLC0415 - slow to import, and not for --help
    from routecast.models.diagnosis import Diagnosis  # noqa: PLC0415
    from routecast.streams.clock import SystemClock  # noqa: PLC0415
    from routecast.streams.doctor.examination import Typed, examine  # noqa: PLC0415

    quiet()
    clock, typed = SystemClock(), Typed(str(config) if config else None, kafka)
    found = asyncio.run(examine(checks(role, config, os.environ, kafka, clock, exported=grafana), clock, deadline))
    diagnosis = Diagnosis(role=role, checks=tuple(item.model_copy(update={"detail": typed(item.detail), "fix": typed(item.fix)}) for item in found))
    if json:
        show_json(diagnosis)
    elif plain:
        rows = [(item.check, item.status, item.detail, item.fix.replace("\n", "\\n")) for item in diagnosis.checks]
        show_rows(("check", "status", "detail", "fix"), rows, "plain")
    else:
        _print(diagnosis)
    _conclude(diagnosis)


def _print(diagnosis: Diagnosis) -> None:
    """A line for each finding; what is to be typed on lines of its own, unbroken."""
    from rich.text import Text  # noqa: PLC0415 - slow to import, and not for --help

    out, last = console(), ""
    for item in diagnosis.checks:
        name, last = "" if item.check == last else item.check, item.check
        out.print(Text.assemble((f"{item.status:<8} ", _STYLES[item.status]), f"{name:<14} ", item.detail))
        for line in item.fix.splitlines():
            out.print(Text(f"{'':<24}{line}", style="bold"))


def _conclude(diagnosis: Diagnosis) -> None:
    """Raises what the first failure is: it is to be mended first."""
    from routecast.models.errors import CheckFailed, ConfigError, Unreachable  # noqa: PLC0415 - with the models

    failed = diagnosis.failed
    if failed:
        kinds = {"configuration": ConfigError, "unreachable": Unreachable}
        kind = kinds.get(failed[0].cause or "", CheckFailed)
        raise kind(f"{len(failed)} of {len(diagnosis.checks)} findings are failures: mend them from the top")
