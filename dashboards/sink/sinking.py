"""Running a sink in this process until a signal comes."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import random
import signal
import socket
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from routecast.dashboards.influx.connection import Connection, token_of
from routecast.dashboards.influx.writer import Writer
from routecast.dashboards.points.vitals import SinkVitals
from routecast.dashboards.sink.measures import sink_samples
from routecast.dashboards.sink.sink import Sink
from routecast.models.config import Config
from routecast.streams.clock import SystemClock
from routecast.streams.exposition import Address, serving
from routecast.streams.ready_file import check_ready_file, mark_ready
from routecast.streams.worker import Seldom


def logging_configuration(level: str) -> dict[str, Any]:
    """One line a message on stderr; Kafka's client and repeated complaints seldom."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"}},
        "filters": {"seldom": {"()": Seldom}},
        "handlers": {"seldom": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr", "filters": ["seldom"]}},
        "root": {"level": "WARNING", "handlers": ["seldom"]},
        "loggers": {"routecast": {"level": level}, "aiokafka": {"level": "ERROR"}},
    }


def run_sink(config: Config, *, level: str = "INFO", ready_file: Path | None = None, metrics: Address | None = None) -> None:
    """Be a sink until Ctrl-C or SIGTERM; `ready_file` exists while the log can be read and InfluxDB stores.

    Raises ConfigError without a token or where `metrics` cannot be served or `ready_file` written, Unreachable where InfluxDB refuses or Kafka never answers,
    CheckFailed without topics.
    """
    logging.config.dictConfig(logging_configuration(level))
    connection = Connection(config.influx, token_of(config.influx.token_file, "token_file"))
    asyncio.run(_run(config, connection, _Mark(ready_file), metrics.listening() if metrics is not None else None))


async def _run(config: Config, connection: Connection, mark: _Mark, listening: socket.socket | None) -> None:
    stop, loop, clock = asyncio.Event(), asyncio.get_running_loop(), SystemClock()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    writer = Writer(connection, clock, random.Random())
    sink = Sink(config, writer, SinkVitals(writer, socket.gethostname(), clock), clock, mark.tell)
    try:
        await writer.check()
        async with serving(listening, lambda: sink_samples(sink, writer), lambda: bool(mark.ready)) if listening is not None else nullcontext():
            await sink.run(stop)
    finally:
        connection.interrupt()  # the thread of a write that goes on would be waited for
        mark.tell(ready=False)


class _Mark:
    """A file that exists while everything is well. Raises ConfigError where it cannot."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.ready: bool | None = None
        check_ready_file(file)
        self.tell(ready=False)

    def tell(self, ready: bool) -> None:  # noqa: FBT001 - what it is told is all there is
        if ready == self.ready:
            return
        self.ready = ready
        mark_ready(self._file, ready=ready)
