"""Arrival rate of a service and time-averaged in-flight, as the planned shares want them: quick, but not jumpy."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LONG_PERIOD_S = 5.0
_LONG_PERIOD_WEIGHT = 0.7
_LEAST_RATE = 1.0
_MINUTE_S = 60.0
SURGE = 0.2
"""Relative change of the arrival rate that is published at once."""
_SURGE_SIGMAS = 3.0


class ArrivalRate:
    """First attempts per second."""

    STATE: ClassVar[tuple[str, ...]] = ("_rate",)

    def __init__(self) -> None:
        self._rate = 0.0

    def update(self, elapsed_s: float, period_s: float, arrived: int) -> float:
        """Take the arrivals of the last `elapsed_s`; the rate, at least 1/s."""
        keeps = 1.0 - _LONG_PERIOD_WEIGHT if elapsed_s >= _LONG_PERIOD_S else 0.5 ** (elapsed_s / min(period_s, _LONG_PERIOD_S))
        new = arrived / elapsed_s
        self._rate = new if self._rate == 0.0 else keeps * self._rate + (1.0 - keeps) * new
        return self.per_s

    def jump(self, rate_per_s: float) -> None:
        """Take this rate as it is: a surge."""
        self._rate = rate_per_s

    @property
    def per_s(self) -> float:
        """The rate, at least 1/s."""
        return max(_LEAST_RATE, self._rate)

    def surging(self, arrived: int, seconds: float) -> bool:
        """Whether these newest arrivals are 20 % off the rate, and more than chance would make them."""
        expected = self.per_s * seconds
        return abs(arrived - expected) > max(SURGE * expected, _SURGE_SIGMAS * math.sqrt(expected))


class MeanInFlight:
    """Exponential average of the in-flight of every target."""

    STATE: ClassVar[tuple[str, ...]] = ("values",)

    def __init__(self) -> None:
        self.values: Floats = np.zeros(0)

    def update(self, elapsed_s: float, mean: Floats) -> Floats:
        """Take the time-average over the last `elapsed_s`."""
        if len(mean) > len(self.values):
            self.values = np.concatenate([self.values, mean[len(self.values) :]])
        weight = _LONG_PERIOD_WEIGHT if elapsed_s >= _LONG_PERIOD_S else 1.0 - math.exp(-elapsed_s / _LONG_PERIOD_S)
        self.values = self.values + weight * (mean - self.values)
        return self.values


class MinuteUse:
    """Requests that were started at every target in about the last minute: what rate limits are measured by."""

    STATE: ClassVar[tuple[str, ...]] = ("values",)

    def __init__(self) -> None:
        self.values: Floats = np.zeros(0)

    def update(self, elapsed_s: float, started: Floats) -> Floats:
        """Take the starts of the last `elapsed_s`; per second, fading with a time constant of a minute."""
        faded = np.pad(self.values * math.exp(-elapsed_s / _MINUTE_S), (0, len(started) - len(self.values)))
        self.values = faded + started / _MINUTE_S
        return self.values
