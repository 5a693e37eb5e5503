"""`routecast worker`: fold events, keep the tables, lead."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

Url = Annotated[str | None, typer.Option("--kafka", help="kafka://host:9092[,host:9092…]; [kafka] of the configuration by default.")]
File = Annotated[Path | None, typer.Option("--config", help="The file; ./routecast.toml by default.")]


def worker(
    *,
    config: File = None,
    kafka: Url = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; one that ends by itself is started again.")] = 1,
    ready_file: Annotated[Path | None, typer.Option(help="A file that exists while all processes are ready, for probes of orchestrators.")] = None,
    log: Annotated[Literal["INFO", "DEBUG", "WARNING"], typer.Option(help="How much to say on stderr.")] = "INFO",
) -> None:
    """Run workers until Ctrl-C or SIGTERM: they fold events into tables, and one of them publishes the snapshots."""
    from routecast.streams.configuration import load_config  # noqa: PLC0415 - pydantic is slow to import
    from routecast.streams.kafka import addressed  # noqa: PLC0415
    from routecast.streams.webhook import webhook_url  # noqa: PLC0415
    from routecast.streams.worker import run_worker, supervise  # noqa: PLC0415

    loaded = addressed(load_config(config, os.environ), kafka)
    webhook_url(loaded.alerts)  # one that cannot be used is told once, not by every process that is started again
    if workers == 1:
        raise typer.Exit(run_worker(loaded, level=log, ready_file=ready_file))
    options = [*(["--config", str(config)] if config else []), *(["--kafka", kafka] if kafka else []), "--log", log]
    raise typer.Exit(supervise([sys.executable, "-m", "routecast.cli", "worker", *options], workers, ready_file))
