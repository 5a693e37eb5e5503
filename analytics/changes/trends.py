"""Trends of every subject: the last sixty minutes of each metric, and where they go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.changes.trend import QUANTUM, Fit, fit
from routecast.analytics.digits import six_digits
from routecast.analytics.windows.period import Period
from routecast.models.insights import LESS_IS_BETTER, Direction, Metric, Subject, Trend

Floats = NDArray[np.float64]

METRICS: Final[tuple[Metric, ...]] = ("response_time", "ttft", "tpot", "error_ratio", "throughput", "quality", "cost")
WINDOWS: Final = 60
WINDOW_MS: Final = 60_000

_STARTED: Final = np.array([0.0, 0.0, 0.0, 0.02, 1.0, 0.02, 0.0])
"""Where not 0, the level is ln(1 + value ÷ this) and not ln(value): what may be 0 has no logarithm, and near 0 shows trends that concern
nobody. With 2 %, an error ratio near 0 must change by 0.1 percentage points to matter, one of 10 % by 0.6."""
_SCALES: Final = np.where(_STARTED > 0.0, _STARTED, 1.0)
_ONES: Final = (_STARTED > 0.0).astype(float)
_THROUGHPUT = METRICS.index("throughput")
_LEAST_N = 3.0
"""A mean of fewer observations is none."""
_SETTLED_N = 100.0
"""Observations whose mean is as uncertain as minutes differ anyway: a window of half as many weighs two thirds as much."""
_LEAST_MINUTES = 0.5


class TrendTracker:
    """Windows of subjects, a row each; advanced only by periods.

    A minute counts with the observations behind it: a mean of n weighs n ÷ (n + 100), one of fewer than three is none. A period that
    is longer than a minute counts for the minute in which it ends. 1.4 kB a subject, for ever.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_levels", "_weights", "_sums", "_minute", "_end_ms")

    def __init__(self) -> None:
        self._levels: NDArray[np.int16] = np.zeros((0, len(METRICS), WINDOWS), np.int16)
        """Logarithms in thousandths; the place of a window is its minute modulo 60."""
        self._weights: NDArray[np.uint8] = np.zeros((0, len(METRICS), WINDOWS), np.uint8)
        """255 for windows without doubt, 0 for those without a value."""
        self._sums: Floats = np.zeros((0, len(METRICS), 2))
        """Of the minute that runs: what is summed, and over how many."""
        self._minute = -1
        """Minute since the epoch that runs."""
        self._end_ms = 0.0

    def grow(self, n: int) -> None:
        """Make room for `n` subjects."""
        more = ((0, n - len(self._sums)), (0, 0), (0, 0))
        self._levels, self._weights, self._sums = np.pad(self._levels, more), np.pad(self._weights, more), np.pad(self._sums, more)

    def update(self, period: Period) -> None:
        """Take what happened; a period that does not end after the last one is known already."""
        if period.end_ms <= self._end_ms:
            return
        if len(period.subjects) > len(self._sums):
            self.grow(len(period.subjects))
        self._advance(int((period.end_ms - 1.0) // WINDOW_MS))
        self._sums[: len(period.subjects)] += _amounts(period)
        self._end_ms = period.end_ms
        if period.end_ms >= (self._minute + 1) * WINDOW_MS:
            self._advance(self._minute + 1)

    def closes(self, period: Period) -> bool:
        """Whether this one ends the minute that runs, so that windows will be others."""
        return int(period.end_ms // WINDOW_MS) > self._minute

    def fitted(self, places: Sequence[int]) -> Fit:
        """Trends of [subjects at these places × metrics], one after the other, over the windows that are over."""
        order = np.arange(self._minute, self._minute + WINDOWS) % WINDOWS
        levels, weights = (ring[places].reshape(-1, WINDOWS)[:, order].T.astype(np.float32) for ring in (self._levels, self._weights))
        return fit(levels * QUANTUM, weights / 255.0)

    def trends(self, found: Fit, subjects: Sequence[Subject]) -> list[Trend]:
        """What was found of these subjects, as people read it; a metric of which no window has a value is left out.

        A trend takes 5 µs.
        """
        scales, ones = (np.tile(numbers, len(subjects)) for numbers in (_SCALES, _ONES))
        previous, current = (np.maximum(0.0, scales * (np.exp(ends) - ones)) for ends in (found.first, found.last))
        columns = (column.tolist() for column in (found.n, found.direction, previous, current, found.p))
        rows = zip(((subject, metric) for subject in subjects for metric in METRICS), *columns, strict=True)
        return [self._trend(subject, metric, *row) for (subject, metric), *row in rows if row[0]]

    def _trend(self, subject: Subject, metric: Metric, n: float, direction: float, previous: float, current: float, p: float) -> Trend:
        known = n >= 2
        return Trend.model_construct(
            subject=subject,
            metric=metric,
            trend=_named(metric, direction),
            current=six_digits(current),
            previous=six_digits(previous),
            change=six_digits(current - previous) if known else None,
            change_ratio=six_digits(current / previous - 1.0) if known and previous > 0.0 else None,
            confidence=round(1.0 - p, 4) if known and p == p else None,  # noqa: PLR0124 - not a number is no confidence
            windows=int(n),
            window_ms=float(WINDOW_MS),
            end_ms=float(self._minute * WINDOW_MS),
        )

    def _advance(self, minute: int) -> None:
        if minute == self._minute:
            return
        if self._minute >= 0:
            self._close()
        for skipped in range(max(self._minute + 1, minute - WINDOWS), minute):
            self._weights[:, :, skipped % WINDOWS] = 0
        self._minute = minute

    def _close(self) -> None:
        total, n = self._sums[:, :, 0], self._sums[:, :, 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            levels = np.log(total / n / _SCALES + _ONES)
        enough = n >= _LEAST_N
        enough[:, _THROUGHPUT] = n[:, _THROUGHPUT] >= _LEAST_MINUTES
        weights = np.maximum(1.0, np.rint(255.0 * n / (n + _SETTLED_N)))
        weights[:, _THROUGHPUT] = 255.0
        there = enough & np.isfinite(levels)
        place = self._minute % WINDOWS
        self._levels[:, :, place] = np.rint(np.where(there, levels, 0.0) / QUANTUM)
        self._weights[:, :, place] = np.where(there, weights, 0.0)
        self._sums = np.zeros_like(self._sums)


def _amounts(period: Period) -> Floats:
    """[subjects × metrics × (sum, n)]."""
    minutes = np.full(len(period.subjects), (period.end_ms - period.start_ms) / WINDOW_MS)
    pairs = (
        (period.duration_ms, period.duration_n),
        (period.ttft_ms, period.ttft_n),
        (period.tpot_ms, period.tpot_n),
        (period.failed, period.judged),
        (period.requests, minutes),
        (period.quality_sum, period.quality_n),
        (period.cost_usd, period.requests),
    )
    return np.stack([np.stack(pair, axis=1) for pair in pairs], axis=1)


def _named(metric: Metric, direction: float) -> Direction:
    if direction not in {1, -1}:
        return "unknown" if direction else "stable"
    return "improving" if (direction < 0) == (metric in LESS_IS_BETTER) else "declining"
