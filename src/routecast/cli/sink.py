"""`routecast sink`: what is on the log, into InfluxDB."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from routecast.cli.kafka import File, MetricsHost, MetricsPort, Url, configured


def sink(
    *,
    config: File = None,
    kafka: Url = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="A file that exists while Kafka can be read and InfluxDB stores, for probes of orchestrators.")
    ] = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
    log: Annotated[Literal["INFO", "DEBUG", "WARNING"], typer.Option(help="How much to say on stderr.")] = "INFO",
) -> None:
    """Store windows, scores, insights and reports in InfluxDB until Ctrl-C or SIGTERM; an outage is waited for."""
    from routecast.dashboards.sink.sinking import run_sink  # noqa: PLC0415 - slow to import
    from routecast.streams.exposition import Address  # noqa: PLC0415

    metrics = Address(metrics_host, metrics_port) if metrics_port is not None else None
    run_sink(configured(config, kafka), level=log, ready_file=ready_file, metrics=metrics)
