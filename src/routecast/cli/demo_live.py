"""`routecast demo --kafka`: start what is needed, play, take everything down again, also when it is interrupted."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from routecast.cli.render import complain

if TYPE_CHECKING:
    from routecast.demo.pipeline import LivePipeline
    from routecast.models.report import LiveReport

SPEED, WORKERS, ROUTERS = 4.0, 2, 8


@dataclass(frozen=True, kw_only=True)
class Play:
    """What to play, where."""

    where: str
    workers: int
    file: Path | None
    routers: int
    policy: str | None
    seed: int
    duration_s: float
    speed: float
    forever: bool


def play(asked: Play) -> LiveReport | None:
    """Play it; the report, or none where it had no end but an interruption."""
    import logging.config  # noqa: PLC0415 - not for --help

    from routecast.demo.demonstration import scene  # noqa: PLC0415 - numpy is slow to import
    from routecast.demo.pipeline import LivePipeline  # noqa: PLC0415
    from routecast.streams.worker import logging_configuration  # noqa: PLC0415

    logging.config.dictConfig(logging_configuration())
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)
    targets = scene(asked.seed, asked.duration_s).config()
    try:
        with LivePipeline(asked.where, targets, asked.workers, file=asked.file, environ=os.environ, say=complain) as pipeline:
            return _perform(asked, pipeline)
    except KeyboardInterrupt:
        complain("ended, with everything that was started")
        if not asked.forever:
            raise
        return None


def _perform(asked: Play, pipeline: LivePipeline) -> LiveReport:
    from routecast.cli.demo_table import DemoTable  # noqa: PLC0415 - slow to import
    from routecast.demo.live import Time, perform, perform_forever  # noqa: PLC0415
    from routecast.streams.clock import SystemClock  # noqa: PLC0415

    pace = Time(SystemClock(), time.sleep, asked.speed)
    duration = "again and again" if asked.forever else f"{asked.duration_s / asked.speed:.0f} real seconds"
    complain(f"playing {asked.duration_s:.0f} virtual seconds, {asked.speed:g} × as fast: {duration}; Ctrl-C ends it")
    with DemoTable(asked.policy or "performance", None if asked.forever else asked.duration_s) as table:
        begin = perform_forever if asked.forever else perform
        report = begin(pipeline, asked.seed, asked.duration_s, pace, routers=asked.routers, policy=asked.policy, watcher=table.show)
    pipeline.failed = not all(check.agrees for check in report.checks)
    return report
