"""How surprising each value of any series is, whatever its unit, level, rhythm and tail: minus the logarithm of the chance of one so far off.

A value is compared with the usual level of the series at this hour of the week (`levels.py`), in usual deviations. What lies beyond 95 % of them on its
side is an excess; excesses are taken as exponential with their own mean, so that a series with a heavy tail must go further to surprise.

Source: A. Siffer et al., "Anomaly Detection in Streams with Extreme Value Theory" (SPOT), KDD 2017, with the exponential member of its family.
"""

from __future__ import annotations

import math

import numpy as np

from routecast.analytics.changes.levels import Levels, Seen

_BEYOND = 0.05
"""Part of the values that counts as tail, on each side."""
_LEAST_N = 50
"""Values that must be known before anything surprises."""
_PRIOR_EXCESS = 1.0
"""One excess of one deviation is taken for granted."""
_MOST_Z = 20.0
"""The tail learns no more than this of one value."""
_HANGS_TOGETHER_S, _WEEK_S = 3_600.0, 604_800.0


class _Tail:
    """One side of the distribution."""

    __slots__ = ("_edge", "_excess", "_excesses", "_n")

    def __init__(self) -> None:
        self._edge, self._excess, self._excesses, self._n = 0.0, 0.0, 0, 0

    def surprise(self, z: float) -> float:
        """Nats; 0 for what is no excess."""
        if self._n < _LEAST_N or z <= self._edge:
            return 0.0
        mean = (self._excess + _PRIOR_EXCESS) / (self._excesses + 1)
        return -math.log(_BEYOND) + (z - self._edge) / mean

    def learn(self, z: float) -> None:
        """Take a value. The edge follows the quantile (Robbins and Monro 1951)."""
        self._n += 1
        z = min(z, _MOST_Z)
        beyond = z > self._edge
        if beyond:
            self._excess += z - self._edge
            self._excesses += 1
        self._edge += max(_BEYOND, 1.0 / self._n) * (beyond - _BEYOND)


class Anomaly:
    """Surprise of the values of one series, in constant memory. It learns from 50 values before anything surprises, of the hour of the week from two weeks.

    Args:
        sd: scatter of the values to begin with; it is forgotten after a few.
    """

    def __init__(self, sd: float = 1.0) -> None:
        self._levels = Levels(sd=sd, least_sd=1e-9 * sd, least_n=_LEAST_N, block_s=_HANGS_TOGETHER_S, rhythm_n=1.0, scatter_s=_WEEK_S)
        self._levels.grow(1)
        self._above, self._below = _Tail(), _Tail()
        self._at_ms = math.nan
        self.surprise = 0.0
        """Of the last value, nats: 7 is one value in a thousand that are usual."""

    @property
    def score(self) -> float:
        """The same as 0..1: one minus the chance of a value so far off, under what is usual."""
        return 1.0 - math.exp(-self.surprise)

    def update(self, at_ms: float, x: float) -> Anomaly:
        """Take the value at this time, epoch ms; times rise."""
        elapsed_s = 0.0 if math.isnan(self._at_ms) else (at_ms - self._at_ms) / 1000.0
        self._at_ms = at_ms
        deviation, one = x - self._levels.expected(at_ms), np.ones(1)
        z = float((deviation / self._levels.sd)[0])
        self.surprise = max(self._above.surprise(z), self._below.surprise(-z))
        self._above.learn(z)
        self._below.learn(-z)
        self._levels.update(at_ms, elapsed_s, Seen(one, np.array([[x]]), deviation, deviation**2, one))
        return self
