"""The commands, and what errors become: one sentence on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from routecast.cli import (
    access,
    alerts,
    backtest,
    capacity,
    config,
    demo,
    doctor,
    experiment,
    export,
    grafana,
    import_log,
    influx,
    insights,
    policy,
    record,
    replay,
    route,
    send,
    sink,
    tail,
    targets,
    top,
    topics,
    worker,
)
from routecast.cli.render import complain
from routecast.models.errors import CheckFailed, ConfigError, RoutecastError, Unreachable

FAILURE, CONFIGURATION, UNREACHABLE, CHECK_FAILED, INTERRUPTED = 1, 3, 4, 5, 130
_CODES = ((ConfigError, CONFIGURATION), (Unreachable, UNREACHABLE), (CheckFailed, CHECK_FAILED))

app = typer.Typer(name="routecast", no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command("demo")(demo.demo)
app.command("worker")(worker.worker)
app.command("sink")(sink.sink)
app.command("send")(send.send)
app.command("tail")(tail.tail)
app.command("record")(record.record)
app.command("replay")(replay.replay)
app.command("export")(export.export)
app.command("import")(import_log.import_log)
app.command("backtest")(backtest.backtest)
app.command("capacity")(capacity.capacity)
app.add_typer(topics.app, name="topics")
app.add_typer(targets.app, name="targets")
app.add_typer(policy.app, name="policy")
app.add_typer(experiment.app, name="experiment")
app.command("top")(top.top)
app.command("insights")(insights.insights)
app.add_typer(alerts.app, name="alerts")
app.add_typer(influx.app, name="influx")
app.add_typer(grafana.app, name="grafana")
app.command("doctor")(doctor.doctor)
app.command("access")(access.access)
app.add_typer(route.app, name="route")
app.add_typer(config.app, name="config")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - rarely asked

        typer.echo(version("routecast"))
        raise typer.Exit


@app.callback()
def root(*, version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False) -> None:
    """Performance-aware routing for AI providers."""
    del version


def run() -> int:
    """Run the command line; the exit code."""
    try:
        app()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILURE
    except RoutecastError as error:
        complain(str(error))
        return next((code for kind, code in _CODES if isinstance(error, kind)), FAILURE)
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except OSError as error:
        about = f"{error.filename!r}: " if error.filename else ""
        complain(f"{about}{(error.strerror or str(error)).lower()}; give another file, or see who may read and write it")
        return CONFIGURATION if error.filename else FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0
