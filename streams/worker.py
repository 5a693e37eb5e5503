"""Running workers: one in this process, or several as processes of their own that are started again when they end by themselves."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from routecast.models.config import Config
from routecast.models.errors import ConfigError
from routecast.streams.admin import create_topics
from routecast.streams.clock import SystemClock

_RESTART_S = 1.0
_STOP_S = 20.0
_POLL_S = 0.1

_log = logging.getLogger(__name__)


def logging_configuration(level: str = "INFO") -> dict[str, Any]:
    """One line format for everything a worker says, on stderr; Faust and Kafka's client only when something is wrong."""
    quiet = {"level": "ERROR" if level == "INFO" else level}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "root": {"level": "WARNING" if level == "INFO" else level, "handlers": ["stderr"]},
        "loggers": {"routecast": {"level": level}, "faust": quiet, "mode": quiet, "aiokafka": quiet},
    }


def run_worker(config: Config, *, level: str = "INFO") -> int:
    """Be a worker until a signal comes; the exit code. Topics that are missing are made first.

    Raises ConfigError where Faust is not installed, Unreachable, CheckFailed where topics are missing and cannot be made.
    """
    try:
        import faust  # noqa: PLC0415 - an extra

        from routecast.streams.agents import Worker  # noqa: PLC0415 - needs it
    except ModuleNotFoundError as error:
        if error.name not in {"faust", "mode"}:
            raise
        raise ConfigError("a worker needs Faust, which is not installed: pip install 'routecast[streams]'") from None
    settings = logging_configuration(level)
    logging.config.dictConfig(settings)
    made = asyncio.run(create_topics(config.kafka))
    if made:
        _log.info("made topics %s", ", ".join(made))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = Worker(config, SystemClock())
    runner = faust.Worker(worker.app, loop=loop, logging_config=settings, loglevel=level, quiet=True, redirect_stdouts=False)
    try:
        runner.execute_from_commandline()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    return 0


def supervise(command: Sequence[str], workers: int) -> int:
    """Keep so many processes of this command running until a signal comes; then stop them in good order. The exit code."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)
    running: list[subprocess.Popen[bytes]] = []
    while not stopping:
        for process in [process for process in running if process.poll() is not None]:
            running.remove(process)
            _log.warning("worker %d ended with %s, starting another", process.pid, process.returncode)
            time.sleep(_RESTART_S)
        while len(running) < workers and not stopping:
            running.append(subprocess.Popen(command))  # noqa: S603 - this program again
        time.sleep(_POLL_S)
    for process in running:
        process.terminate()
    until_s = time.monotonic() + _STOP_S
    for process in running:
        try:
            process.wait(max(0.1, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return 0
