"""How programs are doing, as points of `pipeline`: the sink by itself, workers and the leader by what they say on the log."""

from __future__ import annotations

import math

from routecast.dashboards.influx.line_protocol import Point
from routecast.dashboards.influx.schema import PIPELINE
from routecast.dashboards.influx.writer import Writer
from routecast.models.vitals import Vitals
from routecast.streams.clock import Clock
from routecast.streams.vitals import EVERY_MS, memory_mb


class SinkVitals:
    """Figures of a sink since the last time.

    Args:
        writer: what it has stored and rejected.
        instance: host it runs on.
        clock: time of the points, which are at whole ten seconds.
    """

    def __init__(self, writer: Writer, instance: str, clock: Clock) -> None:
        self._writer = writer
        self._instance = instance
        self._clock = clock
        self._due_ms = 0.0
        self._told_s = clock.monotonic_s()
        self._told = (0, 0, 0.0)

    def point(self, lag: int, dead_letters: int) -> Point | None:
        """The next point, where it is time; `lag` is in records, `dead_letters` those since the start."""
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        if now_ms < self._due_ms:
            return None
        at_ms = math.floor(now_ms / EVERY_MS) * EVERY_MS
        self._due_ms = at_ms + EVERY_MS
        writer, (stored, requests, busy_s) = self._writer, self._told
        new, cycles, seconds = writer.stored - stored, writer.requests - requests, now_s - self._told_s
        cycle_ms = (writer.busy_s - busy_s) * 1000 / cycles if cycles else None
        self._told, self._told_s = (writer.stored, writer.requests, writer.busy_s), now_s
        values = (lag, dead_letters, new / seconds if seconds else 0.0, cycle_ms, memory_mb(), int(writer.up))
        return Point(PIPELINE, ("sink", self._instance), at_ms, values)


def worker_points(vitals: Vitals) -> list[Point]:
    """Of a worker, and where it leads, of the leader it is."""
    at_ms = round(vitals.at_ms)
    figures = (vitals.lag, vitals.dead_letters, vitals.events_per_s, vitals.flush_ms, vitals.memory_mb, None)
    worker = Point(PIPELINE, ("worker", vitals.instance), at_ms, figures)
    if vitals.tick_ms is None:
        return [worker]
    return [worker, Point(PIPELINE, ("leader", vitals.instance), at_ms, (None, None, None, vitals.tick_ms, None, None))]
