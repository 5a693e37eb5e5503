"""Cells of a request log as values of events: one function for each field of a mapping, which raises ValueError with the reason.

A reason never holds the value itself, so that equal troubles can be counted together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any, Final, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from routecast.models.errors import ConfigError
from routecast.models.events import Completed, Outcome, Started, Urgency
from routecast.models.mapping import DURATIONS, TIMES, UNITS_MS, FieldMapping, FieldName, LogMapping
from routecast.models.wire import Count, DurationMs, EpochMs, Label, Ratio, Text, Usd

Row = Mapping[str, Any]
Read = Callable[[Row], Any]
"""The value of a field in a line; None where the line says nothing. Raises ValueError."""

_BOUND: Final = re.compile(r"Expected `(float|int)`")
_EPOCHS: Final = {"epoch_s": 1e3, "epoch_ms": 1.0, "epoch_us": 1e-3, "epoch_ns": 1e-6}
_ATTEMPT: Final = next(field.type for field in msgspec.structs.fields(Started) if field.name == "attempt")
_STATUS: Final = next(field.type for field in msgspec.structs.fields(Completed) if field.name == "http_status")
_WHOLE: Final[dict[FieldName, Any]] = {
    "attempt": _ATTEMPT, "http_status": _STATUS, "input_tokens": Count, "output_tokens": Count, "max_output_tokens": Count,
}  # fmt: skip
_BROKEN: Final[dict[FieldName, Any]] = {"cost_usd": Usd, "quality": Ratio, "satisfaction": Ratio}
_TEXTS: Final[dict[FieldName, Any]] = {"target": Text, "request_id": Text, "outcome": Outcome, "urgency": Urgency}


def readers(mapping: LogMapping) -> dict[FieldName, Read]:
    """How each field of the mapping is read. Raises ConfigError where it names a time zone that does not exist."""
    missing = frozenset(mapping.missing)
    return {name: _reader(said, _parser(name, said), missing) for name, said in mapping.fields.items()}


def at(row: Row, column: str) -> Any:
    """What stands in a column; of JSON also behind a dotted name. None where there is nothing."""
    if column in row:
        return row[column]
    found: Any = row
    for part in column.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _reader(said: FieldMapping, parse: Callable[[Any], Any], missing: frozenset[str]) -> Read:
    column = said.column

    def read(row: Row) -> Any:
        cell = at(row, column) if column is not None else said.value
        if isinstance(cell, str):
            cell = cell.strip()
            if cell in missing:
                return None
        if cell is None:
            return None
        if said.values:
            cell = _meant(said, cell)
        return parse(cell)

    return read


def _meant(said: FieldMapping, cell: Any) -> Any:
    meant = said.values.get(str(cell).lower() if isinstance(cell, bool) else str(cell), said.otherwise)
    if meant is None:
        raise ValueError("stands for nothing: add it to `values`, or give `otherwise`")
    return meant


def _parser(name: FieldName, said: FieldMapping) -> Callable[[Any], Any]:
    if name in TIMES:
        return partial(_time, said.time or "", _zone(said.zone))
    if name in DURATIONS:
        return partial(_number, UNITS_MS[said.unit or "ms"] * said.scale, DurationMs)
    if name in _WHOLE:
        return partial(_whole, said.scale, _WHOLE[name])
    if name in _BROKEN:
        return partial(_number, said.scale, _BROKEN[name])
    return partial(_text, _TEXTS.get(name, Label))


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"there is no time zone {name!r}: give one such as Europe/Berlin") from None


def _time(form: str, zone: tzinfo, cell: Any) -> float:
    if form in _EPOCHS:
        return float(_number(_EPOCHS[form], EpochMs, cell))
    try:
        found = datetime.fromisoformat(str(cell)) if form == "iso8601" else datetime.strptime(str(cell), form)  # noqa: DTZ007 - the zone follows
    except ValueError:
        raise ValueError(f"is no time of the form {form}") from None
    return float(_checked(found.replace(tzinfo=found.tzinfo or zone).timestamp() * 1000.0, EpochMs))


def _number(scale: float, kind: Any, cell: Any) -> Any:
    try:
        found = float(cell) if not isinstance(cell, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError("is no number")
    return _checked(found * scale, kind)


def _whole(scale: float, kind: Any, cell: Any) -> Any:
    found = _number(scale, float, cell)
    if abs(found - round(found)) > 1e-6:
        raise ValueError("is no whole number")
    return _checked(round(found), kind)


def _text(kind: Any, cell: Any) -> Any:
    if not isinstance(cell, str | int | float):
        raise ValueError("is neither a text nor a number")  # noqa: TRY004 - a value of the log is wrong, not the program
    return _checked(str(cell), kind)


def _checked(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if str(error).startswith("Invalid enum value"):
            raise ValueError(f"is none of {', '.join(get_args(kind))}: say what it means with `values`") from None
        raise ValueError(_BOUND.sub("must be", str(error))) from None
