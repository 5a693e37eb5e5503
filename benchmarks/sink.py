"""What the sink costs: CPU of a line, of a record of closed windows, of a report among events; and what the server itself can take."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from core import Row, configuration
from study_sink import limit, windows

from routecast.dashboards.influx.administration import Administration
from routecast.dashboards.influx.line_protocol import Encoder, Line, Point
from routecast.dashboards.influx.schema import PROVIDER_WINDOW
from routecast.dashboards.points.translation import Translator
from routecast.dashboards.sink.cardinality import CardinalityGuard
from routecast.models.config import Influx
from routecast.models.events import Completed, encode_events
from routecast.servers.influxd import LocalInflux, built

_LIMIT_LINES = 60_000


def rows() -> list[Row]:
    """Encoding, translating, and the server's own limit."""
    return [*encoding(), *translating(), *server()]


def encoding() -> list[Row]:
    """A line of 30 figures, all known, its names looked up and guarded."""
    luck = random.Random(1)
    values = tuple(luck.randrange(1000) if field.kind == "int" else float(f"{luck.random() * 10:.6g}") for field in PROVIDER_WINDOW.fields)
    encoder, guard = Encoder(PROVIDER_WINDOW), CardinalityGuard()
    points = [Point(PROVIDER_WINDOW, (f"target-{i}", "openai", "gpt-4o", "chat", "eastus", "10s"), 1.7e12 + i, values) for i in range(100)]
    us = _cpu_us(lambda: [encoder.line(guard.guarded(point)) for point in points]) / len(points)
    return [Row("encode a line of 30 fields, CPU", f"{us:.1f} µs", "≤ 12 µs")]


def translating() -> list[Row]:
    """Whole records, from bytes to lines."""
    translator, luck = Translator(configuration(20)), random.Random(1)
    records = [record.encode() for record in windows(100, luck, 1_700_000_000_000)]
    us = _cpu_us(lambda: [translator.record("metrics", "metrics/0/1", record) for record in records]) / len(records)
    events = encode_events([Completed(at_ms=1.7e12, request_id=f"r{i}", target="t", started_at_ms=1.7e12, duration_ms=5.0, outcome="ok") for i in range(100)])
    passed_us = _cpu_us(lambda: [translator.record("events", "events/0/1", events) for _ in range(100)]) / 10_000
    return [
        Row("a closed window (two lines) from the log, CPU", f"{us:.0f} µs"),
        Row("an event of a request passed over, 100 a record, CPU", f"{passed_us:.3f} µs"),
    ]


def server() -> list[Row]:
    """Lines a second that InfluxDB takes on one connection from lines that are ready."""
    if not built():
        return [Row("InfluxDB, one connection, 30 fields", "not measured: no server was built here; its tests build one")]
    encoder, luck = Encoder(PROVIDER_WINDOW), random.Random(1)
    values = tuple(luck.randrange(1000) if field.kind == "int" else luck.random() for field in PROVIDER_WINDOW.fields)
    first_ms = time.time() * 1000 - 3_600_000
    tags = [(f"target-{i:02}", "p", "m", "chat", "r", "10s") for i in range(20)]
    lines: Sequence[Line] = [encoder.line(Point(PROVIDER_WINDOW, tags[i % 20], first_ms + i // 20, values)) for i in range(_LIMIT_LINES)]
    with tempfile.TemporaryDirectory() as folder, LocalInflux(Path(folder)) as started:
        settings = Influx(url=started.url)
        Administration(settings, started.token).make()
        found = limit(started, lines, settings)
    return [Row("InfluxDB, one connection, lines of 30 fields a second", f"{found:,.0f}")]


def _cpu_us(work: Callable[[], object]) -> float:
    """The least of five."""
    found: list[float] = []
    for _ in range(5):
        began = time.process_time_ns()
        work()
        found.append((time.process_time_ns() - began) / 1000)
    return min(found)
