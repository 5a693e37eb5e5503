"""Running workers: one in this process, or several as processes of their own that are started again when they end by themselves."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from routecast.models.config import Config
from routecast.models.errors import ConfigError
from routecast.streams.brokers.access import NOTIFY, check_workers_group
from routecast.streams.brokers.admin import create_topics
from routecast.streams.clock import SystemClock
from routecast.streams.exposition import Address
from routecast.streams.lifeline import when_alone
from routecast.streams.ready_file import check_ready_file, mark_ready
from routecast.streams.topics import PANES

_RESTART_S = 1.0
_STOP_S = 20.0
_POLL_S = 0.1
_SELDOM_S = 10.0

_log = logging.getLogger(__name__)


class Seldom(logging.Filter):
    """Lets each kind of complaint through once in a while: while no broker answers, clients say so ten times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._next_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is time for this line again."""
        if record.levelno < logging.WARNING:
            return True
        kind = str(record.msg)
        if record.created < self._next_s.get(kind, 0.0):
            return False
        self._next_s[kind] = record.created + _SELDOM_S
        return True


class NotOfRows(logging.Filter):
    """Rows are written and never streamed: that nothing of their topic is processed is as it must be; Faust says it in 15 lines every ten seconds."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is about anything else."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        return not any(str(getattr(argument, "topic", "")).endswith(PANES) for argument in arguments)


def logging_configuration(level: str = "INFO") -> dict[str, Any]:
    """One line format for everything a worker says, on stderr; Faust and Kafka's client only when something is wrong, and not all the time."""
    seldom = {"level": level, "handlers": ["seldom"], "propagate": False}
    quiet = seldom | {"level": "ERROR" if level == "INFO" else level}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"}},
        "filters": {"seldom": {"()": Seldom}, "not of rows": {"()": NotOfRows}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"},
            "seldom": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr", "filters": ["not of rows", "seldom"]},
        },
        "root": {"level": "WARNING" if level == "INFO" else level, "handlers": ["stderr"]},
        "loggers": {
            "routecast": {"level": level},
            "routecast.streams.folding": seldom,
            "routecast.streams.leadership.leading": seldom,
            "routecast.streams.notifications.notifying": seldom,
            "faust": quiet,
            "mode": quiet,
            "aiokafka": quiet,
        },
    }


def run_worker(
    config: Config, *, level: str = "INFO", ready_file: Path | None = None, metrics: Address | None = None, supervised: bool = False
) -> int:  # fmt: skip
    """Be a worker until a signal comes, or, where it is `supervised`, its supervisor is gone; the exit code.

    Topics that are missing are made first; `ready_file` exists while it is ready.

    Raises ConfigError where Faust is not installed, a webhook has no usable address, `metrics` cannot be served or `ready_file` written,
    Unreachable, CheckFailed where topics are missing and cannot be made.
    """
    try:
        from routecast.streams.agents import Runner, Worker  # noqa: PLC0415 - needs Faust, an extra
    except ModuleNotFoundError as error:
        if error.name not in {"faust", "mode"}:
            raise
        raise ConfigError("a worker needs Faust, which is not installed: pip install 'routecast[streams]'") from None
    if supervised:
        when_alone(lambda: os.kill(os.getpid(), signal.SIGTERM))
    listening = metrics.listening() if metrics is not None else None
    settings = logging_configuration(level)
    logging.config.dictConfig(settings)
    check_ready_file(ready_file)
    mark_ready(ready_file, ready=False)
    made = asyncio.run(create_topics(config.kafka))
    asyncio.run(check_workers_group(config.kafka))
    if config.alerts.webhook_file is not None:
        asyncio.run(check_workers_group(config.kafka, NOTIFY))
    if made:
        _log.info("made topics %s", ", ".join(made))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = Worker(config, SystemClock(), lambda ready: mark_ready(ready_file, ready=ready), listening)
    runner = Runner(worker, loop=loop, logging_config=settings, loglevel=level, quiet=True, redirect_stdouts=False)
    runner.spinner = None  # it writes control codes for terminals to stdout
    try:
        runner.execute_from_commandline()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    return 0


def supervise(command: Sequence[str], workers: int, ready_file: Path | None = None, first_port: int | None = None) -> int:
    """Keep so many processes of this command running until a signal comes; then stop them in good order. The exit code.

    `ready_file` exists while all of them are ready; each has a file of its own beside it. Metrics of each are on a port of its own, from `first_port` on.
    They stop in good order too when this process is killed. Raises ConfigError where `ready_file` cannot be written.
    """
    check_ready_file(ready_file)
    logging.config.dictConfig(logging_configuration())
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)
    files = [ready_file.with_name(f"{ready_file.name}.{i}") for i in range(workers)] if ready_file is not None else []
    commands = [[*command, "--supervised", *(["--ready-file", str(files[i])] if files else []), *_port(first_port, i)] for i in range(workers)]
    for file in [*files, ready_file]:
        mark_ready(file, ready=False)  # a supervisor that was killed leaves them behind
    running = [_started(command) for command in commands]
    while not stopping:
        for i, process in enumerate(running):
            if process.poll() is not None and not stopping:
                _log.warning("worker %d ended with %s, starting another", process.pid, process.returncode)
                mark_ready(files[i] if files else None, ready=False)
                time.sleep(_RESTART_S)
                running[i] = _started(commands[i])
        mark_ready(ready_file, ready=all(file.exists() for file in files))
        time.sleep(_POLL_S)
    _stop(running)
    for file in [*files, ready_file]:
        mark_ready(file, ready=False)
    return 0


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """This program again, which ends with this process: only we hold the other end of its input."""
    return subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603 - this program again


def _port(first: int | None, number: int) -> list[str]:
    return [] if first is None else ["--metrics-port", str(first + number)]


def _stop(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """In good order, the hard way after 20 s."""
    for process in running:
        process.terminate()
    until_s = time.monotonic() + _STOP_S
    for process in running:
        try:
            process.wait(max(0.1, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
