"""`routecast record`: what is on the log, into a file that `routecast replay` reads."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast, get_args

import typer

from routecast.cli.bounds import BOUND, range_of
from routecast.cli.kafka import File, Json, Plain, Url, ask, configured
from routecast.cli.progress import Progress, moment
from routecast.cli.render import form, show, show_json, show_rows

if TYPE_CHECKING:
    from routecast.models.config import Kafka
    from routecast.models.manifest import Manifest
    from routecast.streams.brokers.reading import PartitionReader
    from routecast.streams.recordings.ranges import Range
    from routecast.streams.recordings.recorder import Recorder

Begin = Literal["newest", "oldest", "beginning"]
_LOOK_S = 0.2


def record(
    *,
    out: Annotated[Path, typer.Option(help="The file to write; it must not exist.")],
    begin: Annotated[
        str,
        typer.Option(
            "--from",
            metavar=f"newest|oldest|beginning|{BOUND}",
            help="The newest checkpoint, the oldest one that can be verified (nine minutes ago), the oldest event on the log; or a time or offsets.",
        ),
    ] = "newest",
    end: Annotated[
        str | None, typer.Option("--to", metavar=BOUND, help="With a time or offsets: only what was appended before, as far as it is there.")
    ] = None,
    seconds: Annotated[float | None, typer.Option("--for", min=0, help="Stop after so many seconds; at Ctrl-C or SIGTERM by default.")] = None,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop at what is on the log now.")] = False,
    config: File = None,
    kafka: Url = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Record events, ticks, operators' words, checkpoints and configurations until Ctrl-C; the file is complete whenever it is stopped."""
    loaded = configured(config, kafka)
    if begin in get_args(Begin) and end is None:
        work = _record(loaded.kafka, out, cast("Begin", begin), 0.0 if until_end else seconds, json=json)
    elif begin in {"newest", "oldest"} or seconds is not None or until_end:
        raise typer.BadParameter("--to and a time or offsets in --from take a stretch of what is on the log: not with newest, oldest, --for or --until-end")
    else:
        work = _record_range(loaded.kafka, out, range_of(None if begin == "beginning" else begin, end), json=json)
    manifest = ask(loaded.kafka, work, within_s=None)
    if json:
        show_json(manifest)
    else:
        _print(manifest, out, begin, plain=plain)


async def _record_range(settings: Kafka, out: Path, within: Range, *, json: bool) -> Manifest:
    from routecast.streams.brokers.reading import reader  # noqa: PLC0415
    from routecast.streams.recordings.range_recorder import record_range  # noqa: PLC0415 - slow to import
    from routecast.streams.recordings.recording import RecordingWriter  # noqa: PLC0415

    async with reader(settings) as read:
        await _check(read, settings)
        with RecordingWriter(out, settings.prefix) as writer, Progress("recording", json=json) as progress:
            await record_range(read, writer, within, progress.tell)
    return writer.close()


async def _check(read: PartitionReader, settings: Kafka) -> None:
    from routecast.models.errors import CheckFailed  # noqa: PLC0415 - slow to import
    from routecast.streams.topics import EVENTS  # noqa: PLC0415

    if not await read.partitions(EVENTS):
        raise CheckFailed(f"there is no topic {settings.prefix + EVENTS!r} at {settings.bootstrap}: check kafka.prefix, or `routecast topics create`")


async def _record(settings: Kafka, out: Path, begin: Begin, limit_s: float | None, *, json: bool) -> Manifest:
    from routecast.streams.brokers.reading import reader  # noqa: PLC0415 - slow to import
    from routecast.streams.recordings.recorder import Recorder  # noqa: PLC0415
    from routecast.streams.recordings.recording import RecordingWriter  # noqa: PLC0415

    async with reader(settings) as read:
        await _check(read, settings)
        with RecordingWriter(out, settings.prefix) as writer, Progress("recording", json=json) as progress:
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


def _print(manifest: Manifest, out: Path, begin: str, *, plain: bool) -> None:
    base = manifest.base
    begins = f"from checkpoint {base.term}/{base.seq}" if base else "from the beginning of the log" if begin in get_args(Begin) else f"from {begin} on"
    if not plain:
        show(f"{manifest.events:,} events {begins} in {str(out)!r}, {out.stat().st_size / 1e6:.1f} MB\n")
    rows = [
        (s.topic, str(s.partition), str(s.records), str(s.first_offset), str(s.last_offset), moment(s.first_ms), moment(s.last_ms)) for s in manifest.stretches
    ]
    show_rows(("topic", "partition", "records", "first offset", "last offset", "from (UTC)", "to"), rows, form(json=False, plain=plain))
