"""Records of every topic as people and programs read them: events one by one, everything else as compact JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from routecast.models.errors import RoutecastError
from routecast.models.events import decode_events
from routecast.models.rows import decode_row
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.operators.tailing import Tailed
from routecast.streams.topics import CONTROL, DEADLETTER, EVENTS, PANES, STATE, Topic

_EVENTFUL = frozenset({EVENTS, CONTROL, "trips"})
_UNREADABLE = (msgspec.DecodeError, RoutecastError, RecursionError, UnicodeDecodeError)
_MOST_SHOWN = 500
_WIDTHS = ("", "", "17", "24", "12", ">9", "")
"""Of the cells of an event."""


class Line(NamedTuple):
    """An event, or a record of a topic without events."""

    topic: str
    partition: int
    offset: int
    append_ms: float
    key: str
    value: Any
    """What JSON can hold; None is a tombstone."""
    problem: str = ""
    """Why the value is not what it should be; it is shown as text then."""


def lines_of(topic: Topic, tailed: Tailed) -> list[Line]:
    """The lines of one record."""
    record = tailed.record
    place = (topic, tailed.partition, record.offset, record.append_ms, record.key.decode(errors="replace"))
    if record.value is None:
        return [Line(*place, None)]
    if topic in _EVENTFUL:
        good, bad = decode_events(record.value)
        return [Line(*place, msgspec.to_builtins(event)) for event in good] + [Line(*place, _text(raw), reason) for raw, reason in bad]
    try:
        return [Line(*place, _value(topic, record.key, record.value))]
    except _UNREADABLE as error:
        return [Line(*place, _text(record.value), str(error))]


def _value(topic: Topic, key: bytes, value: bytes) -> Any:
    if topic == DEADLETTER:
        place, _, reason = key.decode(errors="replace").partition(": ")
        return {"place": place, "reason": reason, "value": _text(value)}
    if topic == PANES:
        return _readable(decode_row(key, value))
    if topic == STATE and key == b"checkpoint":
        checkpoint = Checkpoint.decode(value)
        return _readable(checkpoint) | {"services": sorted(checkpoint.services)}
    return msgspec.json.decode(value)


def _readable(value: Any) -> Any:
    """Structs as objects with the names of their fields; sketches by their size."""
    if isinstance(value, msgspec.Struct):
        return {name: _readable(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(name): _readable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(inner) for inner in value]
    return value if isinstance(value, str | int | float) or value is None else f"{len(value)} bytes" if isinstance(value, bytes) else "…"


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def meets(line: Line, filters: Mapping[str, str]) -> bool:
    """Whether every dotted key has its value; what could not be read has no keys."""
    return all(_is(_at(line.value, key), wanted) for key, wanted in filters.items())


def _at(value: Any, key: str) -> Any:
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, str):
        return value == wanted
    if value is None or isinstance(value, bool):
        return value is not None and wanted == str(value).lower()
    try:
        return float(value) == float(wanted)
    except (TypeError, ValueError):
        return False


def as_json(line: Line) -> str:
    """One JSON document without line breaks."""
    document = line._asdict()
    if not line.problem:
        del document["problem"]
    return msgspec.json.encode(document).decode()


def as_text(line: Line) -> str:
    """One line for people: time, place, and an event's type, target, outcome, duration; or key and compact JSON."""
    cells = _cells(line)
    if line.topic in _EVENTFUL and not line.problem:
        cells = [f"{cell:{width}}" for cell, width in zip(cells, _WIDTHS, strict=False)]
    return "  ".join(cells).rstrip()


def as_tabs(line: Line) -> str:
    """The same with tabs between the cells."""
    return "\t".join(_cells(line))


def _cells(line: Line) -> list[str]:
    cells = [_time(line.append_ms), f"{line.partition}@{line.offset}"]
    if line.problem:
        cells += ["unreadable", line.problem, line.value[:_MOST_SHOWN]]
    elif line.value is None:
        cells += [line.key, "tombstone"]
    elif line.topic in _EVENTFUL:
        cells = [_time(line.value["at_ms"]), cells[1], *_event(line.value)]
    else:
        cells += [line.key] * bool(line.key and line.topic != DEADLETTER) + [msgspec.json.encode(line.value).decode()]
    return [_visible(cell) for cell in cells]


def _event(event: Mapping[str, Any]) -> list[str]:
    subject = str(event.get("target") or event.get("title") or event.get("service") or event.get("emitter") or "")
    outcome = str(event.get("outcome") or event.get("action") or event.get("state") or "")
    duration = f"{event['duration_ms']:.0f} ms" if "duration_ms" in event else ""
    more = [f"{name} {event[name]:g}" for name in ("quality", "satisfaction", "cpu", "memory", "weight") if event.get(name) is not None]
    cause = [str(event[name]) for name in ("error_type", "http_status", "policy", "why") if event.get(name)]
    return [event["type"], subject, outcome, duration, ", ".join(cause + more)]


def _time(at_ms: float) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    except (OverflowError, ValueError, OSError):
        return f"{at_ms:.0f} ms"


def _visible(text: str) -> str:
    """Without anything that could steer a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
