"""What a worker says of itself on the log, and how much memory a process has."""

from __future__ import annotations

import math
import resource
from pathlib import Path
from typing import Final

from routecast.models.vitals import Vitals
from routecast.streams.clock import Clock
from routecast.streams.measures import Timing

EVERY_MS: Final = 10_000
_PAGES: Final = Path("/proc/self/statm")


def memory_mb() -> float:
    """Resident memory of this process, MB; where the system does not tell, the most it ever was."""
    try:
        return int(_PAGES.read_text().split()[1]) * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


class WorkerVitals:
    """Figures of a worker since the last time.

    Args:
        instance: its name.
        clock: time of the records, which are at whole ten seconds.
        flushes, ticks: how long it took to write rows and to tick, each time.
    """

    def __init__(self, instance: str, clock: Clock, flushes: Timing, ticks: Timing) -> None:
        self._instance, self._clock = instance, clock
        self._flushes, self._ticks = _Since(flushes), _Since(ticks)
        self._told_s, self._folded = clock.monotonic_s(), 0

    def wait_s(self) -> float:
        """Time to the next record, s."""
        return (EVERY_MS - self._clock.now_ms() % EVERY_MS) / 1000.0

    def take(self, lag: int, folded: int, dead_letters: int) -> Vitals:
        """The record that is due now; `folded` events and `dead_letters` are those since the start."""
        now_s = self._clock.monotonic_s()
        seconds, events = now_s - self._told_s, folded - self._folded
        self._told_s, self._folded = now_s, folded
        return Vitals(
            at_ms=math.floor(self._clock.now_ms() / EVERY_MS) * EVERY_MS, instance=self._instance, lag=lag, dead_letters=dead_letters,
            events_per_s=events / seconds if seconds > 0 else 0.0, flush_ms=self._flushes.mean_ms(), memory_mb=memory_mb(), tick_ms=self._ticks.mean_ms(),
        )  # fmt: skip


class _Since:
    """Means of what was timed since the last look."""

    def __init__(self, timing: Timing) -> None:
        self._timing, self._known = timing, (0, 0.0)

    def mean_ms(self) -> float | None:
        """None where nothing was timed."""
        (n, seconds), bars = self._known, self._timing.bars
        self._known = sum(bars.counts), bars.sum_s
        times = self._known[0] - n
        return (self._known[1] - seconds) * 1000.0 / times if times else None
