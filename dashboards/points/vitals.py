"""What the sink says of itself every ten seconds: a point of `pipeline`."""

from __future__ import annotations

import math
import resource
from pathlib import Path
from typing import Final

from routecast.dashboards.influx.line_protocol import Point
from routecast.dashboards.influx.schema import PIPELINE
from routecast.dashboards.influx.writer import Writer
from routecast.streams.clock import Clock

EVERY_MS: Final = 10_000
_PAGES: Final = Path("/proc/self/statm")


class Vitals:
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


def memory_mb() -> float:
    """Resident memory of this process, MB; where the system does not tell, the most it ever was."""
    try:
        return int(_PAGES.read_text().split()[1]) * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
