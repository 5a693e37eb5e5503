"""Points as lines of InfluxDB's line protocol, with the types of the registry and no others.

The server would take the first type it sees for granted, split a line at a raw newline, and refuse a whole batch for an empty tag; so names
are made safe and types are checked here. A line of 30 figures takes about 6 µs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from routecast.dashboards.influx.schema import FORBIDDEN, UNKNOWN, Bucket, Field, Measurement, Precision
from routecast.models.errors import RoutecastError

Value: TypeAlias = int | float | str | None

MOST_TAG: Final = 128
"""Characters of a tag's value; the rest is cut off."""
MOST_TEXT: Final = 4096
"""Characters of a text field; the server takes 64 kB."""
_MOST_INT: Final = 2**63 - 1
_MOST_MS: Final = 9_223_372_036_854
"""The last millisecond that fits the server's nanoseconds, in the year 2262."""
_NS: Final = 1_000_000
_CACHED: Final = 10_000
_SPACES: Final = dict.fromkeys((*range(32), 127, *range(128, 160), 0x2028, 0x2029), " ")
_NAME: Final = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_TEXT: Final = str.maketrans({"\\": "\\\\", '"': '\\"'})
_TYPES: Final[dict[str, type]] = {"int": int, "float": float, "string": str}


class BadPoint(RoutecastError):  # noqa: N818 - names the thing that is bad
    """A point that cannot be stored; the text says which field and what was expected."""


class Point(NamedTuple):
    """What is to be stored, tags and fields in the order of the registry. A field that is None is left out: nothing is known of it."""

    measurement: Measurement
    tags: tuple[str, ...]
    at_ms: float
    """Epoch milliseconds."""
    values: tuple[Value, ...]
    below_ms: int = 0
    """Nanoseconds after that millisecond, 0..999,999; only where the measurement has them."""


class Destination(NamedTuple):
    """Where a line is written: one request goes to one of them."""

    bucket: Bucket
    precision: Precision


class Line(NamedTuple):
    """A point on the wire."""

    text: bytes
    destination: Destination
    measurement: str
    at_ms: int


def safe_tag(text: str) -> str:
    """What may stand as the value of a tag: no control characters, no surrogates, no backslash or blank at its end, 1 to 128 characters."""
    plain = text.translate(_SPACES).encode("utf-8", "replace").decode()
    return plain[:MOST_TAG].strip().rstrip("\\ ") or UNKNOWN


class Encoder:
    """Lines of one measurement.

    `line` raises BadPoint for a point that does not follow the registry.
    """

    def __init__(self, measurement: Measurement) -> None:
        wrong = [name for name in (*measurement.tag_names, *measurement.field_names) if name in FORBIDDEN]
        if wrong:
            raise ValueError(f"{measurement.name}: names {wrong} mean something else to Flux or Grafana")
        self._measurement = measurement
        self._names = measurement.tag_names
        self._window = self._names.index("window") if "window" in self._names else None
        self._sorted = sorted(range(len(self._names)), key=self._names.__getitem__)
        ints = [place for place, field in enumerate(measurement.fields) if field.kind == "int"]
        self._ints: Callable[[Sequence[Any]], Sequence[Any]] = itemgetter(*ints) if len(ints) > 1 else lambda values: [values[place] for place in ints]
        self._heads: dict[tuple[str, ...], tuple[bytes, Destination]] = {}
        self._templates: dict[tuple[type, ...], bytes] = {}
        self._numbers = msgspec.json.Encoder().encode

    def line(self, point: Point) -> Line:
        """The point on the wire."""
        head = self._heads.get(point.tags) or self._head(point.tags)
        if not 0 <= point.at_ms < _MOST_MS:
            raise self._bad("time", f"{point.at_ms!r} is no time in epoch milliseconds")
        at_ms = int(point.at_ms)
        time = at_ms if self._measurement.precision == "ms" else at_ms * _NS + point.below_ms
        return Line(b"%b %b %d" % (head[0], self._fields(point.values), time), head[1], self._measurement.name, at_ms)

    def _fields(self, values: tuple[Value, ...]) -> bytes:
        template = self._templates.get(tuple(map(type, values)))
        if template is None:
            return self._slow(values)
        known = [value for value in values if value is not None] if None in values else values
        numbers = self._numbers(known)
        if b"n" in numbers or max(map(abs, filter(None, self._ints(values))), default=0) > _MOST_INT:  # `null`: not finite
            return self._slow(values)
        return template % tuple(numbers[1:-1].split(b","))

    def _slow(self, values: tuple[Value, ...]) -> bytes:
        """With every check; numbers of the same types go the short way from then on."""
        fields = self._measurement.fields
        if len(values) != len(fields):
            raise self._bad("fields", f"{len(values)} values for {len(fields)} fields")
        texts = [(field.name, self._text(field, value)) for field, value in zip(fields, values, strict=True) if value is not None]
        if not texts:
            raise self._bad("fields", "nothing is known")
        if not any(isinstance(value, str) for value in values) and len(self._templates) < _CACHED:
            self._remember(values)
        return ",".join(f"{name}={text}" for name, text in texts).encode()

    def _remember(self, values: tuple[Value, ...]) -> None:
        fields = [field for field, value in zip(self._measurement.fields, values, strict=True) if value is not None]
        exact = all(type(value) is _TYPES[field.kind] for field, value in zip(self._measurement.fields, values, strict=True) if value is not None)
        if exact:
            self._templates[tuple(map(type, values))] = b",".join(field.name.encode() + (b"=%bi" if field.kind == "int" else b"=%b") for field in fields)

    def _text(self, field: Field, value: Value) -> str:
        if field.kind == "int" and type(value) is int and abs(value) <= _MOST_INT:
            return f"{value}i"
        if field.kind == "float" and ((type(value) is float and isfinite(value)) or (type(value) is int and abs(value) <= _MOST_INT)):
            return repr(float(value))
        if field.kind == "string" and isinstance(value, str):
            plain = value.translate(_SPACES).encode("utf-8", "replace").decode()[:MOST_TEXT]
            return f'"{plain.translate(_TEXT)}"'
        raise self._bad(field.name, f"{value!r} ({type(value).__name__}) is no finite {field.kind}")

    def _head(self, tags: tuple[str, ...]) -> tuple[bytes, Destination]:
        if len(tags) != len(self._names):
            raise self._bad("tags", f"{len(tags)} values for {len(self._names)} tags")
        buckets = self._measurement.buckets
        window = "" if self._window is None else tags[self._window]
        if window not in buckets:
            raise self._bad("window", f"{window!r} is none of {', '.join(buckets)}")
        pairs = [f",{self._names[place]}={safe_tag(tags[place]).translate(_NAME)}" for place in self._sorted]
        if len(self._heads) >= _CACHED:
            self._heads.clear()
        head = (f"{self._measurement.name}{''.join(pairs)}".encode(), Destination(buckets[window], self._measurement.precision))
        self._heads[tags] = head
        return head

    def _bad(self, name: str, reason: str) -> BadPoint:
        return BadPoint(f"{self._measurement.name}.{name}: {reason}")
