"""Changes of the level of many series of one metric: sums of observations in, episodes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.changes.cusum import BOUNDS, Cusum, bounded, shift_steps
from routecast.analytics.changes.dispersion import Dispersion
from routecast.analytics.changes.episodes import Episode, Episodes
from routecast.analytics.changes.rhythm import Rhythm
from routecast.analytics.changes.usual import SCATTER_S, Usual
from routecast.analytics.checkpoint import Stateful

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_DOUBTED = 0.25
"""A series that is a quarter of the way to an alarm teaches nothing of what is usual."""
_LEAST_SHIFT, _MOST_SHIFT = 0.32, 4.0
"""Bounds of a shift, in standard deviations, of which a return is looked for."""


class Seen(NamedTuple):
    """What was observed of every series since the last look."""

    n: Floats
    sums: Floats
    """[series × readings] of the observations."""
    deviation: Floats
    """Σ of (observation − expected)."""
    squares: Floats
    """Σ of squared deviations."""
    spread: Floats
    """Scatter within the group ÷ the usual one; 1 where that is not known."""


class Levels:
    """Detector of `n` series. All state is bounded; advanced only by `update`.

    Args:
        readings: of the same observations, one of which counts at a time: another choice is no change of the level.
        sd: scatter of single observations to begin with.
        least_sd: and the least that is believed.
        least_n: observations without which nothing is detected.
        block_s: over how long observations may hang together, seconds.
        scatter_s: time constant of the scatter.
        rhythm_n: observations without which an hour teaches nothing of the rhythm of the week.
    """

    def __init__(
        self,
        *,
        readings: int = 1,
        sd: float,
        least_sd: float,
        least_n: float = 30.0,
        block_s: float = 60.0,
        rhythm_n: float = 8.0,
        scatter_s: float = SCATTER_S,
    ) -> None:
        self._least_n = least_n
        self._usual = Usual(readings, sd=sd, least_sd=least_sd, scatter_s=scatter_s)
        self._rhythm, self._dispersion, self.cusum, self._episodes = Rhythm(rhythm_n), Dispersion(block_s), Cusum(BOUNDS * 2), Episodes()
        self._reading = np.zeros(0, np.int64)

    @property
    def parts(self) -> Mapping[str, Stateful]:
        """What makes up its state."""
        return {"usual": self._usual, "rhythm": self._rhythm, "dispersion": self._dispersion, "cusum": self.cusum, "episodes": self._episodes}

    def grow(self, n: int) -> None:
        """Make room for `n` series."""
        for part in (self._usual, self._rhythm, self._dispersion, self.cusum, self._episodes):
            part.grow(n)
        self._reading = np.zeros(n, np.int64)

    def expected(self, at_ms: float, reading: Ints | None = None) -> Floats:
        """The usual level of each series at this time, in the reading that counts from now on."""
        if reading is not None:
            self._reading = reading
        return self._usual.level(self._reading) + self._rhythm.offset(at_ms)

    @property
    def sd(self) -> Floats:
        """Usual scatter of single observations."""
        return self._usual.sd

    @property
    def lasting(self) -> NDArray[np.bool_]:
        """Which series are not at their usual level."""
        return self._episodes.lasting

    def update(self, at_ms: float, elapsed_s: float, seen: Seen) -> list[Episode]:
        """Take what was observed since `elapsed_s` ago; what is to be said of it."""
        expected, lasting, seen = self.expected(at_ms), self.lasting, self._usual_of(seen)
        z = bounded(seen.n, seen.deviation / self.sd, seen.spread)
        self._detect(at_ms - elapsed_s * 1000.0, np.where(lasting | (self._usual.n < self._least_n), 0.0, seen.n), z, seen.deviation)
        self._learn(at_ms, elapsed_s, ~lasting, z, seen)
        self._episodes.news.clear()
        self._follow(at_ms, elapsed_s, z, seen)
        for i in np.flatnonzero((self.cusum.doubt > 1.0) & ~lasting):
            self._episodes.begin(at_ms, int(i), float(expected[i]), self.cusum.finding(int(i)))
            self.cusum.forget(np.array([i]))
        return list(self._episodes.news)

    def _usual_of(self, seen: Seen) -> Seen:
        """Without anything to compare with there is no deviation, and nothing to learn of the scatter."""
        fresh = self._usual.n <= 0.0
        return seen._replace(deviation=np.where(fresh, 0.0, seen.deviation), squares=np.where(fresh, seen.n * self.sd**2, seen.squares))

    def _detect(self, since_ms: float, n: Floats, z: Floats, deviation: Floats) -> None:
        looked = n > 0.0
        steps = shift_steps(n, np.where(looked, z, 0.0), self._usual.unsure) / self._dispersion.factor[:, None]
        self.cusum.update(since_ms, steps, n, np.where(looked, deviation, 0.0))

    def _learn(self, at_ms: float, elapsed_s: float, quiet: NDArray[np.bool_], z: Floats, seen: Seen) -> None:
        learns = quiet & (self.cusum.doubt <= _DOUBTED)
        total = seen.sums[np.arange(len(seen.n)), self._reading] if len(seen.n) else seen.n
        # What is usual is learned without the rhythm, which is added again where something is expected.
        offset = self._rhythm.offset(at_ms)
        self._usual.update(elapsed_s, learns, seen.n, seen.sums - (offset * seen.n)[:, None], seen.squares)
        learns = quiet | ~self._rhythm.known(at_ms)  # before it is known, the rhythm itself raises alarms
        self._rhythm.update(at_ms, learns * seen.n, learns * total)
        self._dispersion.update(at_ms, quiet * seen.n, quiet * z)

    def _follow(self, at_ms: float, elapsed_s: float, z: Floats, seen: Seen) -> None:
        shift = self._episodes.said / self.sd
        shift = np.copysign(np.clip(np.abs(shift), _LEAST_SHIFT, _MOST_SHIFT), shift)
        back = (seen.n * shift**2 / 2.0 - shift * z) / self._dispersion.factor
        for over in self._episodes.follow(at_ms, elapsed_s, seen.n, seen.deviation, back):
            self.cusum.forget(np.array([over.series]))
            if over.ended_by == "accepted":
                self._usual.shift(over.series, over.after - over.before)
                if self._rhythm.known(at_ms)[over.series]:
                    self._rhythm.shift(over.series, over.after - over.before)
