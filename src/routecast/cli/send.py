"""`routecast send`: append events that were made by hand."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routecast.cli.kafka import File, Json, Plain, Url, ask, configured
from routecast.cli.render import complain, form, show_json, show_rows

if TYPE_CHECKING:
    from routecast.models.config import Config


def send(
    events: Annotated[list[str] | None, typer.Argument(help="Events as JSON, an object or an array each; from stdin without any.", show_default=False)] = None,
    *,
    file: Annotated[Path | None, typer.Option(help="A file with an object, an array, or an object a line; - is stdin.")] = None,
    target: Annotated[str, typer.Option(help="`target` of events that have none.")] = "",
    service: Annotated[str, typer.Option(help="`service` of events that have none.")] = "",
    partition: Annotated[int, typer.Option(min=0, help="Partition of the events topic; starts and ends of a request belong together.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Send each text as it is, unchecked: for testing.")] = False,
    config: File = None,
    kafka: Url = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Append events; exit code 1 with every reason, and nothing appended, where one of them is wrong.

    Filled in where missing: at_ms (now), request_id, started_at_ms. target.control goes to the control topic, target.tripped to trips.
    """
    from routecast.models.sent import Sent  # noqa: PLC0415 - pydantic is slow to import
    from routecast.streams.clock import SystemClock  # noqa: PLC0415
    from routecast.streams.operators.sending import RawRecord, append, checked, completed, parse  # noqa: PLC0415

    loaded = configured(config, kafka)
    texts = _texts(events, file)
    if force:
        records = [RawRecord("events", b"", text) for text in texts]
    else:
        now_ms, rng, common = SystemClock().now_ms(), random.Random(), {"target": target, "service": service}
        values = [completed(value, now_ms, rng, common) for text in texts for value in parse(text)]
        records = checked(values)
        _warn_of_strangers(loaded, values)
    sent = Sent(records=tuple(ask(loaded.kafka, append(loaded, records, partition), within_s=None)))
    if json:
        show_json(sent)
    else:
        rows = [(record.topic, str(record.partition), str(record.offset), str(record.events)) for record in sent.records]
        show_rows(("topic", "partition", "offset", "events"), rows, form(json=json, plain=plain))


def _texts(events: Sequence[str] | None, file: Path | None) -> list[bytes]:
    if events and file is not None:
        raise typer.BadParameter("give events as arguments or in a file, not both")
    if events:
        return [event.encode() for event in events]
    if file is not None and str(file) != "-":
        try:
            return [file.read_bytes()]
        except OSError as error:
            raise typer.BadParameter(f"--file {str(file)!r} cannot be read: {error.strerror}") from None
    if sys.stdin.isatty():
        raise typer.BadParameter("no events: give them as arguments, with --file, or on stdin")
    return [sys.stdin.buffer.read()]


def _warn_of_strangers(config: Config, values: Sequence[object]) -> None:
    """A slip of the pen in a target would stay in the totals for ever."""
    known = {target.id for target in config.target}
    named = {str(value["target"]) for value in values if isinstance(value, dict) and "target" in value}
    if strangers := sorted(named - known):
        complain(f"not in the configuration: {', '.join(map(repr, strangers))}; the events count all the same")
