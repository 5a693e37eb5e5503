"""Where values lie on a chart: axes with round ticks, and long series thinned to what pixels can show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

Point = tuple[float, float | None]
"""None: nothing is known there, and the line has a gap."""

_LEAST_STEP = 1e-300


class Axis(NamedTuple):
    """A range of values and where it lies on the page."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value is drawn; beyond the range, at its end."""
        low, high, at = (math.log(max(x, 1e-12)) if self.log else x for x in (self.low, self.high, min(max(value, self.low), self.high)))
        return self.begin if high <= low else self.begin + (at - low) / (high - low) * (self.end - self.begin)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values within the range."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high, most)


def _ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    if rough <= _LEAST_STEP:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(decades) <= 4 else (1,)
    return [factor * 10.0**decade for decade in decades for factor in factors if low <= factor * 10.0**decade <= high * (1 + 1e-9)]


def thinned(points: Sequence[Point], columns: int) -> list[Point]:
    """At most two points for each of so many columns: the least and the most of it, in their order; gaps stay."""
    if len(points) <= 2 * columns:
        return list(points)
    found: list[Point] = []
    low, high = points[0][0], points[-1][0]
    width = (high - low) / columns or 1.0
    column: list[Point] = []
    number = 0
    for point in points:
        mine = min(columns - 1, int((point[0] - low) / width))
        if mine != number:
            found += _extremes(column)
            column, number = [], mine
        column.append(point)
    return found + _extremes(column)


def _extremes(column: Sequence[Point]) -> list[Point]:
    known = [(x, y) for x, y in column if y is not None]
    if not known:
        return list(column[:1])
    least, most = min(known, key=lambda point: point[1]), max(known, key=lambda point: point[1])
    return [least] if least == most else sorted([least, most])
