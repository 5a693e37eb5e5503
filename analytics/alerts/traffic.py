"""Whether somebody should have traffic now: who sleeps at night, or ends the day slowly, is not missed.

A subject usually has traffic while its own recent rate, and its rates in this and the next hour of the day before where they are known, are
all at least twice the minimum. The recent rate is a mean that fades over ten minutes and stands still in quiet minutes, so that a sudden silence is
missed until the day before was silent at this hour too, and a dusk takes the expectation with it.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.alerts.rules import HOUR_MS, MINUTE_MS
from routecast.analytics.windows.period import Period

Floats = NDArray[np.float64]

_HOURS = 25
_FADES_MIN = 10.0
_USUAL = 2.0
"""Multiple of the minimum that is usual traffic."""


class UsualTraffic:
    """Rates of subjects, a row each; advanced only by periods, judged by the minute. 230 bytes a subject.

    Args:
        minimum_per_min: below it a minute is quiet.
    """

    STATE: ClassVar[tuple[str, ...]] = ("rate", "_level", "_hours", "_hour_minutes", "_requests", "_covered_min", "_end_ms")

    def __init__(self, minimum_per_min: float) -> None:
        self._minimum = minimum_per_min
        self.rate: Floats = np.zeros(0)
        """Requests per minute in the last minute that was over."""
        self._level: Floats = np.zeros(0)
        self._hours: Floats = np.zeros((0, _HOURS))
        self._hour_minutes: Floats = np.zeros(_HOURS)
        """How much of each hour was seen."""
        self._requests: Floats = np.zeros(0)
        self._covered_min = 0.0
        self._end_ms = 0.0

    def grow(self, n: int) -> None:
        """Make room for `n` subjects."""
        more = n - len(self.rate)
        if more <= 0:
            return
        self.rate, self._level, self._requests = (np.pad(row, (0, more)) for row in (self.rate, self._level, self._requests))
        self._hours = np.pad(self._hours, ((0, more), (0, 0)))

    def update(self, period: Period, expected: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Take a period that ends after the last one; minutes that usually have traffic, and those of them that were quiet.

        `expected` excludes who must have none, as drained targets do.
        """
        n = len(period.subjects)
        none: tuple[Floats, Floats] = np.zeros(n), np.zeros(n)
        hour = self._at(period.end_ms)
        minutes = (period.end_ms - period.start_ms) / MINUTE_MS
        self._hours[:n, hour % _HOURS] += period.requests
        self._hour_minutes[hour % _HOURS] += minutes
        self._requests[:n] += period.requests
        self._covered_min += minutes
        over = int(period.end_ms // MINUTE_MS) > int(self._end_ms // MINUTE_MS)
        self._end_ms = period.end_ms
        return self._judged(hour, expected) if over else none

    def _judged(self, hour: int, expected: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        minutes, self._covered_min = self._covered_min, 0.0
        self.rate, self._requests = self._requests / minutes, np.zeros_like(self._requests)
        usual = expected & (self._level >= _USUAL * self._minimum)
        for before in ((hour - 24) % _HOURS, (hour - 23) % _HOURS):
            if self._hour_minutes[before] > 0.0:
                usual &= self._hours[:, before] / self._hour_minutes[before] >= _USUAL * self._minimum
        quiet = usual & (self.rate < self._minimum)
        self._level = np.where(quiet, self._level, self._level + (self.rate - self._level) * -math.expm1(-minutes / _FADES_MIN))
        return np.where(usual, minutes, 0.0), np.where(quiet, minutes, 0.0)

    def _at(self, end_ms: float) -> int:
        """The hour that a period belongs to, emptied if it begins."""
        hour, last = (int((at_ms - 1.0) // HOUR_MS) for at_ms in (end_ms, self._end_ms))
        for begun in range(max(last + 1, hour - _HOURS + 1), hour + 1):
            self._hours[:, begun % _HOURS] = 0.0
            self._hour_minutes[begun % _HOURS] = 0.0
        return hour
