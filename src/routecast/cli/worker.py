"""`routecast worker`: fold events, keep the tables, lead."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from routecast.cli.kafka import File, MetricsHost, MetricsPort, Url


def worker(
    *,
    config: File = None,
    kafka: Url = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; one that ends by itself is started again.")] = 1,
    ready_file: Annotated[Path | None, typer.Option(help="A file that exists while all processes are ready, for probes of orchestrators.")] = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True, help="Stop when the other end of the input is closed.")] = False,
    log: Annotated[Literal["INFO", "DEBUG", "WARNING"], typer.Option(help="How much to say on stderr.")] = "INFO",
) -> None:
    """Run workers until Ctrl-C or SIGTERM: they fold events into tables, and one of them publishes the snapshots."""
    from routecast.streams.brokers.kafka import addressed  # noqa: PLC0415
    from routecast.streams.configuration import load_config  # noqa: PLC0415 - pydantic is slow to import
    from routecast.streams.exposition import Address  # noqa: PLC0415
    from routecast.streams.notifications.webhook import webhook_url  # noqa: PLC0415
    from routecast.streams.worker import run_worker, supervise  # noqa: PLC0415

    loaded = addressed(load_config(config, os.environ), kafka)
    webhook_url(loaded.alerts)  # one that cannot be used is told once, not by every process that is started again
    addresses = [] if metrics_port is None else [Address(metrics_host, metrics_port + i) for i in range(workers)]
    if workers == 1:
        raise typer.Exit(run_worker(loaded, level=log, ready_file=ready_file, metrics=addresses[0] if addresses else None, supervised=supervised))
    for address in addresses:
        address.check()
    options = [*(["--config", str(config)] if config else []), *(["--kafka", kafka] if kafka else []), "--log", log, "--metrics-host", metrics_host]
    raise typer.Exit(supervise([sys.executable, "-m", "routecast.cli", "worker", *options], workers, ready_file, metrics_port))
