"""What the sink tells of itself by HTTP."""

from __future__ import annotations

from collections.abc import Iterator

from routecast.dashboards.influx.writer import Writer
from routecast.dashboards.sink.sink import Sink
from routecast.models import telemetry as t
from routecast.models.telemetry import Sample


def sink_samples(sink: Sink, writer: Writer) -> Iterator[Sample]:
    """The figures of a sink and of what it writes with, since they were made."""
    yield Sample(t.DEAD_LETTERS, sink.dead_letters)
    yield Sample(t.POINTS, writer.stored)
    yield Sample(t.REJECTED, writer.rejected)
    yield Sample(t.BATCHES, writer.requests)
    yield Sample(t.RETRIES, writer.put_off)
    yield Sample(t.BUSY, writer.busy_s)
    yield Sample(t.INFLUX_UP, float(writer.up))
    for topic, records in sink.lag.items():
        yield Sample(t.SINK_LAG, records, (topic,))
