"""The registry as people read it: the tables of docs/influxdb.md."""

from __future__ import annotations

from collections.abc import Sequence

from routecast.dashboards.influx.schema import MEASUREMENTS, RETENTION_S, Bucket, Measurement

_DAY_S = 86_400


def kept(bucket: Bucket) -> str:
    """How long a bucket keeps what it is given."""
    seconds = RETENTION_S[bucket]
    return f"{seconds // _DAY_S} d" if seconds else "for ever"


def schema_tables() -> str:
    """Markdown: the buckets, then a section for each measurement."""
    return "\n\n".join([_buckets(), *(_section(measurement) for measurement in MEASUREMENTS)])


def _buckets() -> str:
    held = {bucket: [_held(m, bucket) for m in MEASUREMENTS if bucket in m.buckets.values()] for bucket in RETENTION_S}
    rows = [(f"`{bucket}`", kept(bucket), ", ".join(held[bucket]) or "what is replayed or backtested") for bucket in RETENTION_S]
    return "## Buckets\n\n" + _table(("bucket", "kept", "holds"), rows)


def _held(measurement: Measurement, bucket: Bucket) -> str:
    windows = [window for window, place in measurement.buckets.items() if place == bucket and window]
    return f"`{measurement.name}` ({', '.join(windows)})" if windows else f"`{measurement.name}`"


def _section(measurement: Measurement) -> str:
    tags = _table(("tag", "meaning"), [(f"`{tag.name}`", tag.description) for tag in measurement.tags])
    fields = _table(("field", "type", "unit", "meaning"), [(f"`{field.name}`", field.kind, field.unit, field.description) for field in measurement.fields])
    return f"## `{measurement.name}`\n\n{measurement.description}\n\n{tags}\n\n{fields}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in (heads, *rows)]
    return "\n".join([lines[0], f"|{'---|' * len(heads)}", *lines[1:]])
