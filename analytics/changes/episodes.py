"""The life of a change: raised once, said again when it moves, over once: because the level returned, or because it has become the usual one."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.changes.cusum import Finding

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ACCEPTED_MS = 6 * 3_600_000.0
"""A level that has lasted for so long is the usual one."""
_BACK = 9.0
"""Log-likelihood ratio of the usual level against the new one, beyond which it has returned."""
_AFTER_TAU_S = 600.0
"""Time constant of the new level."""
_MOVED = 0.25
"""A deviation that differs from what was said by this part of it, on twice the evidence, is said again."""


class Episode(NamedTuple):
    """What is to be said of a change."""

    series: int
    number: int
    """Of the changes of this series, from 1."""
    version: int
    since_ms: float
    detected_ms: float
    before: float
    after: float
    statistic: float
    bound: float
    n: int
    ended_ms: float | None = None
    ended_by: Literal["returned", "accepted"] | None = None


class Episodes:
    """Changes of `n` series, at most one at a time of each."""

    STATE: ClassVar[tuple[str, ...]] = (
        "_number", "_version", "_since_ms", "_detected_ms", "_before", "_statistic", "_bound", "_n", "_after_n", "_after", "_said", "_said_n", "_back",
    )  # fmt: skip

    def __init__(self) -> None:
        self._number, self._version, self._since_ms, self._detected_ms, self._before, self._statistic, self._bound = (np.zeros(0) for _ in range(7))
        self._n, self._after_n, self._after, self._said, self._said_n, self._back = (np.zeros(0) for _ in range(6))
        self.news: list[Episode] = []
        """What was said since the last update began."""

    def grow(self, n: int) -> None:
        """Make room for `n` series."""
        for name in self.STATE:
            setattr(self, name, np.pad(getattr(self, name), (0, n - len(getattr(self, name)))))

    @property
    def lasting(self) -> NDArray[np.bool_]:
        """Which series are in one."""
        lasting: NDArray[np.bool_] = self._version > 0.0
        return lasting

    @property
    def deviation(self) -> Floats:
        """How far each series is off its usual level since its change."""
        return self._after / np.maximum(self._after_n, 1e-9)

    @property
    def said(self) -> Floats:
        """The deviation that was last said of each series."""
        return self._said

    def begin(self, at_ms: float, series: int, before: float, found: Finding) -> None:
        """A change was found."""
        self._number[series] += 1.0
        self._version[series] = 1.0
        self._since_ms[series], self._detected_ms[series], self._before[series] = found.since_ms, at_ms, before
        self._statistic[series], self._bound[series] = found.statistic, found.bound
        self._n[series] = self._after_n[series] = found.n
        self._after[series], self._back[series] = found.deviation, 0.0
        self._say(series)

    def follow(self, at_ms: float, elapsed_s: float, n: Floats, deviation: Floats, back: Floats) -> list[Episode]:
        """Take what was observed of the series that are in one; those that are over.

        `back` is the log-likelihood ratio of the usual level against the one that was said.
        """
        lasting = self.lasting
        decay = np.where(lasting, math.exp(-elapsed_s / _AFTER_TAU_S), 1.0)
        self._n += lasting * n
        self._after_n = self._after_n * decay + lasting * n
        self._after = self._after * decay + lasting * deviation
        self._back = np.where(lasting, np.maximum(0.0, self._back + back), 0.0)
        over = [self._end(int(i), at_ms) for i in np.flatnonzero(lasting & ((self._back > _BACK) | (at_ms - self._detected_ms >= ACCEPTED_MS)))]
        moved = np.abs(self.deviation - self._said) > _MOVED * np.abs(self._said)
        returning = self._back > _BACK / 3.0
        for i in np.flatnonzero(self.lasting & moved & ~returning & (self._n >= 2.0 * self._said_n)):
            self._version[i] += 1.0
            self._say(int(i))
        return over

    def _end(self, series: int, at_ms: float) -> Episode:
        self._version[series] += 1.0
        returned = self._back[series] > _BACK
        if not returned:
            self._said[series] = self.deviation[series]
        ended = self._episode(series)._replace(ended_ms=at_ms, ended_by="returned" if returned else "accepted")
        self._version[series] = 0.0
        self.news.append(ended)
        return ended

    def _say(self, series: int) -> None:
        self._said[series], self._said_n[series] = self.deviation[series], self._n[series]
        self.news.append(self._episode(series))

    def _episode(self, series: int) -> Episode:
        before = float(self._before[series])
        return Episode(
            series, int(self._number[series]), int(self._version[series]), float(self._since_ms[series]), float(self._detected_ms[series]), before,
            before + float(self._said[series]), float(self._statistic[series]), float(self._bound[series]), round(float(self._n[series])),
        )  # fmt: skip
