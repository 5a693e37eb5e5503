"""`routecast replay --influx`, `--lines`, `--print`: a recording at a speed, to where others look."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from routecast.cli.progress import Progress
from routecast.cli.render import complain, show, show_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from routecast.dashboards.points.replaying import InfluxBucket, LineFile, Told
    from routecast.models.config import Config
    from routecast.streams.recordings.ranges import Range
    from routecast.streams.recordings.recording import Recording


_SHOWN = 5
"""Reasons that are told on the terminal; all of them are in the JSON."""


class Asked(NamedTuple):
    """What was asked for."""

    file: Path
    within: Range
    lines: Path | None
    """Where to write; None: InfluxDB."""
    run: str
    speed: float | None
    checkpoint: Path | None
    config: Path | None


def play(asked: Asked, *, json: bool) -> None:
    """Play it, and say how far it came."""
    from routecast.models.replayed import Played  # noqa: PLC0415 - pydantic is slow to import
    from routecast.streams.recordings.recording import Recording  # noqa: PLC0415

    began_s = time.perf_counter()
    reached = [0, 0.0]
    with Recording(asked.file) as recording, Progress("replaying", recording.manifest.events, json=json) as progress:

        def tell(events: int, at_ms: float) -> None:
            reached[:] = events, at_ms
            progress.tell(events, at_ms)

        told = asyncio.run(_played(asked, recording, tell))
    for reason in told.bad[:_SHOWN]:
        complain(f"cannot be stored: {reason}")
    found = Played(
        file=str(asked.file), run=asked.run, finished=told.finished, events=int(reached[0]), at_ms=reached[1], lines=told.lines, bad=told.bad,
        took_s=round(time.perf_counter() - began_s, 3),
    )  # fmt: skip
    if json:
        show_json(found)
    else:
        show(f"{found.lines:,} points of run {found.run!r} stored, {found.events:,} events in {found.took_s:.1f} s; {len(found.bad):,} could not be")
    if not found.finished:
        onward = f"--checkpoint {str(asked.checkpoint)!r} goes on there" if asked.checkpoint else "without --checkpoint the next one begins anew"
        complain(f"stopped before the end: {onward}")


async def _played(asked: Asked, recording: Recording, tell: Callable[[int, float], None]) -> Told:
    from routecast.dashboards.points.replaying import Checkpoints, Pace, RunLines  # noqa: PLC0415 - slow to import
    from routecast.dashboards.points.replaying import play as store_all  # noqa: PLC0415
    from routecast.streams.clock import SystemClock  # noqa: PLC0415
    from routecast.streams.configuration import load_config  # noqa: PLC0415
    from routecast.streams.recordings.attempts import recorded_config  # noqa: PLC0415
    from routecast.streams.recordings.rerun import Rerun  # noqa: PLC0415

    known = recorded_config(recording)
    given = load_config(asked.config, os.environ) if known is None or asked.lines is None else known
    config = known or given
    whose = {"recording": recording.seal, "range": str(asked.within), "configuration": config.version, "run": asked.run}
    checkpoints = Checkpoints(asked.checkpoint, whose)
    stop, clock = _stopped(), SystemClock()
    lines = RunLines(Rerun(recording, config, asked.within, tell), config, asked.run)
    with _store(asked, given, checkpoints.last().size) as store:
        return await store_all(lines, store, Pace(clock, asked.speed, stop), checkpoints, clock)


def _store(asked: Asked, config: Config, size: int) -> LineFile | InfluxBucket:
    from routecast.dashboards.influx.connection import Connection, token_of  # noqa: PLC0415 - slow to import
    from routecast.dashboards.points.replaying import InfluxBucket, LineFile  # noqa: PLC0415
    from routecast.streams.clock import SystemClock  # noqa: PLC0415

    if asked.lines is not None:
        return LineFile(asked.lines, size)
    return InfluxBucket(Connection(config.influx, token_of(config.influx.token_file, "token_file")), SystemClock(), random.Random())


def _stopped() -> asyncio.Event:
    """Set by Ctrl-C or SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    return stop


def print_all(file: Path, within: Range, speed: float | None) -> None:
    """Print the events at their pace until the end, Ctrl-C, or until nobody reads on."""
    from routecast.streams.recordings.recording import Recording  # noqa: PLC0415 - slow to import

    with Recording(file) as recording:
        asyncio.run(_printed(recording, within, speed))


async def _printed(recording: Recording, within: Range, speed: float | None) -> None:
    from msgspec.json import encode  # noqa: PLC0415 - slow to import

    from routecast.dashboards.points.replaying import Pace  # noqa: PLC0415
    from routecast.streams.clock import SystemClock  # noqa: PLC0415
    from routecast.streams.recordings.ranges import in_time  # noqa: PLC0415
    from routecast.streams.recordings.replay import readable  # noqa: PLC0415
    from routecast.streams.topics import EVENTS  # noqa: PLC0415

    pace = Pace(SystemClock(), speed, _stopped())
    for placed in in_time(recording, EVENTS, within):
        await asyncio.sleep(0)
        await pace.until(placed.append_ms)
        if pace.stop.is_set():
            return
        for event in readable(placed.record.value)[0]:
            print(encode(event).decode())
