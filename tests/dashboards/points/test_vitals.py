from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from routecast.dashboards.influx.delivery import Answer
from routecast.dashboards.influx.line_protocol import Destination, Encoder, Line
from routecast.dashboards.influx.schema import PIPELINE
from routecast.dashboards.influx.writer import Writer
from routecast.dashboards.points.vitals import SinkVitals, worker_points
from routecast.models.vitals import Vitals
from routecast.streams.clock import FixedClock

AT_MS = 1_700_000_003_000.0


class Nowhere:
    """A target that is never written to."""

    def write(self, destination: Destination, lines: Sequence[Line]) -> Answer:
        """Refuse."""
        raise AssertionError(destination, lines)


def test_a_point_is_due_every_ten_seconds_at_whole_ones() -> None:
    """With what went on since the last one."""
    clock = FixedClock(AT_MS)
    writer = Writer(Nowhere(), clock, random.Random(1))
    vitals = SinkVitals(writer, "host", clock)
    first = vitals.point(5, 0)
    assert first is not None
    assert vitals.point(5, 0) is None
    writer.stored, writer.requests, writer.busy_s, writer.up = 700, 4, 0.2, False
    clock.at_ms = AT_MS + 7000
    second = vitals.point(9, 3)
    assert second is not None
    assert (first.at_ms, second.at_ms) == (1_700_000_000_000, 1_700_000_010_000)
    lag, dead_letters, events_s, cycle_ms, memory_mb, up = second.values
    assert (second.tags, lag, dead_letters, events_s, cycle_ms, up) == (("sink", "host"), 9, 3, 100.0, 50.0, 0)
    assert isinstance(memory_mb, float)
    assert 10 < memory_mb < 2000
    assert Encoder(PIPELINE).line(second).text.startswith(b"pipeline,component=sink,instance=host lag=9i,")


def test_a_worker_that_leads_is_two_points() -> None:
    """Its own figures, and the time of its ticks."""
    figures: dict[str, Any] = {"at_ms": AT_MS, "instance": "w", "lag": 3, "dead_letters": 1, "events_per_s": 40.0, "flush_ms": 2.0, "memory_mb": 90.0}
    follows, leads = worker_points(Vitals(**figures)), worker_points(Vitals(**figures, tick_ms=8.0))
    assert follows == leads[:1]
    lines = [Encoder(PIPELINE).line(point).text.split(b" ")[:2] for point in leads]
    assert lines == [
        [b"pipeline,component=worker,instance=w", b"lag=3i,dead_letters=1i,events_s=40.0,cycle_ms=2.0,memory_mb=90.0"],
        [b"pipeline,component=leader,instance=w", b"cycle_ms=8.0"],
    ]
