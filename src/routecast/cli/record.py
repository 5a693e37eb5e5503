"""`routecast record`: what is on the log, into a file that `routecast replay` reads."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from routecast.cli.kafka import File, Json, Plain, Url, ask, configured
from routecast.cli.progress import Progress, moment
from routecast.cli.render import form, show, show_json, show_rows

if TYPE_CHECKING:
    from routecast.models.config import Kafka
    from routecast.models.manifest import Manifest
    from routecast.streams.recorder import Recorder

_LOOK_S = 0.2


def record(
    *,
    out: Annotated[Path, typer.Option(help="The file to write; it must not exist.")],
    begin: Annotated[
        Literal["newest", "oldest", "beginning"],
        typer.Option("--from", help="The newest checkpoint, the oldest one that can be verified (nine minutes ago), or the oldest event on the log."),
    ] = "newest",
    seconds: Annotated[float | None, typer.Option("--for", min=0, help="Stop after so many seconds; at Ctrl-C or SIGTERM by default.")] = None,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop at what is on the log now.")] = False,
    config: File = None,
    kafka: Url = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Record events, ticks, operators' words, checkpoints and configurations until Ctrl-C; the file is complete whenever it is stopped."""
    loaded = configured(config, kafka)
    limit_s = 0.0 if until_end else seconds
    manifest = ask(loaded.kafka, _record(loaded.kafka, out, begin, limit_s), within_s=None)
    if json:
        show_json(manifest)
    else:
        _print(manifest, out, plain=plain)


async def _record(settings: Kafka, out: Path, begin: Literal["newest", "oldest", "beginning"], limit_s: float | None) -> Manifest:
    from routecast.models.errors import CheckFailed  # noqa: PLC0415 - slow to import
    from routecast.streams.reading import reader  # noqa: PLC0415
    from routecast.streams.recorder import Recorder  # noqa: PLC0415
    from routecast.streams.recording import RecordingWriter  # noqa: PLC0415
    from routecast.streams.topics import EVENTS  # noqa: PLC0415

    async with reader(settings) as read:
        if not await read.partitions(EVENTS):
            raise CheckFailed(f"there is no topic {settings.prefix + EVENTS!r} at {settings.bootstrap}: check kafka.prefix, or `routecast topics create`")
        with RecordingWriter(out, settings.prefix) as writer, Progress("recording") as progress:
            recorder = Recorder(read, writer, begin)
            telling = asyncio.create_task(_tell(recorder, progress))
            await recorder.begin()
            if limit_s == 0:
                await recorder.copy()
            else:
                await recorder.follow(_stopped(limit_s))
            telling.cancel()
    return writer.close()


def _stopped(limit_s: float | None) -> asyncio.Event:
    """Set by Ctrl-C, SIGTERM, or when the time is over."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    if limit_s is not None:
        loop.call_later(limit_s, stop.set)
    return stop


async def _tell(recorder: Recorder, progress: Progress) -> None:
    while True:
        progress.tell(*recorder.progress)
        await asyncio.sleep(_LOOK_S)


def _print(manifest: Manifest, out: Path, *, plain: bool) -> None:
    base = manifest.base
    begins = f"from checkpoint {base.term}/{base.seq}" if base else "from the beginning of the log"
    if not plain:
        show(f"{manifest.events:,} events {begins} in {str(out)!r}, {out.stat().st_size / 1e6:.1f} MB\n")
    rows = [
        (s.topic, str(s.partition), str(s.records), str(s.first_offset), str(s.last_offset), moment(s.first_ms), moment(s.last_ms)) for s in manifest.stretches
    ]
    show_rows(("topic", "partition", "records", "first offset", "last offset", "from (UTC)", "to"), rows, form(json=False, plain=plain))
