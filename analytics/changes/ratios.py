"""Changes of a ratio of many series, of failures for instance: counts in, episodes out.

The mathematics is the breaker's (`analytics/routing/breaker.py`), both ways and for smaller ratios: what a breaker must not mind, people may want to know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.changes.cusum import Cusum
from routecast.analytics.changes.dispersion import Dispersion
from routecast.analytics.changes.episodes import Episode, Episodes
from routecast.analytics.changes.usual import TAU_S
from routecast.analytics.checkpoint import Stateful

Floats = NDArray[np.float64]

RATIOS: Floats = np.array([0.03, 0.1, 0.3, 0.8])
"""What the ratio may have risen to, where it is at least twice the usual one."""
FALL = 0.25
"""The part of the usual ratio that it may have fallen to, where it is at least `LEAST_FALLING`."""
LEAST_FALLING = 0.02
BOUNDS = (12.0,) * (len(RATIOS) + 1)
"""Together less than one false alarm in two million observations at any usual ratio."""
LEAST_USUAL, MOST_USUAL = 0.005, 0.6
_PRIOR_BAD, _PRIOR_N = 1.0, 20.0
"""What is taken for usual before anything is known, and so much evidence for it."""
_MOST = 0.95
"""A ratio that has not everything against it."""
_DOUBTED = 0.5
_ERRORS = 1.5
"""What is usual is trusted to so many standard errors."""


class Ratios:
    """Detector of `n` series.

    Args:
        block_s: over how long outcomes may hang together, seconds.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_n", "_bad")

    def __init__(self, *, block_s: float = 60.0) -> None:
        self._n, self._bad = np.zeros(0), np.zeros(0)
        self.cusum, self._dispersion, self._episodes = Cusum(BOUNDS), Dispersion(block_s), Episodes()

    @property
    def parts(self) -> Mapping[str, Stateful]:
        """What makes up its state."""
        return {"usual": self, "dispersion": self._dispersion, "cusum": self.cusum, "episodes": self._episodes}

    def grow(self, n: int) -> None:
        """Make room for `n` series."""
        self._n, self._bad = np.pad(self._n, (0, n - len(self._n))), np.pad(self._bad, (0, n - len(self._bad)))
        for part in (self.cusum, self._dispersion, self._episodes):
            part.grow(n)

    @property
    def expected(self) -> Floats:
        """The usual ratio of each series, 0.005 to 0.6."""
        expected: Floats = np.clip((self._bad + _PRIOR_BAD) / (self._n + _PRIOR_N), LEAST_USUAL, MOST_USUAL)
        return expected

    @property
    def lasting(self) -> NDArray[np.bool_]:
        """Which series are not at their usual ratio."""
        return self._episodes.lasting

    def update(self, at_ms: float, elapsed_s: float, n: Floats, bad: Floats) -> list[Episode]:
        """Take how many were observed since `elapsed_s` ago, and how many of them were bad; what is to be said of it."""
        usual, lasting = self.expected, self.lasting
        deviation = bad - n * usual
        steps = _steps(n, bad, usual, _ERRORS * np.sqrt(usual * (1.0 - usual) / (self._n + _PRIOR_N))) / self._dispersion.factor[:, None]
        quiet = np.where(lasting, 0.0, 1.0)
        self.cusum.update(at_ms - elapsed_s * 1000.0, np.where(lasting[:, None], 0.0, steps), quiet * n, quiet * deviation)
        decay = np.where(~lasting & (self.cusum.doubt <= _DOUBTED), math.exp(-elapsed_s / TAU_S), 1.0)
        learns = decay < 1.0
        self._n, self._bad = self._n * decay + learns * n, self._bad * decay + learns * bad
        self._dispersion.update(at_ms, quiet * n, quiet * deviation / np.sqrt(usual * (1.0 - usual)))
        self._episodes.news.clear()
        self._follow(at_ms, elapsed_s, n, bad)
        for i in np.flatnonzero((self.cusum.doubt > 1.0) & ~lasting):
            self._episodes.begin(at_ms, int(i), float(usual[i]), self.cusum.finding(int(i)))
            self.cusum.forget(np.array([i]))
        return list(self._episodes.news)

    def _follow(self, at_ms: float, elapsed_s: float, n: Floats, bad: Floats) -> None:
        before = self.expected
        after = np.clip(before + self._episodes.said, before * FALL, _MOST)
        near = (after > before * FALL * 2.0) & (after < before * 2.0)
        after = np.where(near, np.minimum(_MOST, before * 2.0), after)
        back = (bad * np.log(before / after) + (n - bad) * np.log((1.0 - before) / (1.0 - after))) / self._dispersion.factor
        for over in self._episodes.follow(at_ms, elapsed_s, n, bad - n * before, back):
            self.cusum.forget(np.array([over.series]))
            if over.ended_by == "accepted":
                self._bad[over.series] = over.after * self._n[over.series]


def _steps(n: Floats, bad: Floats, usual: Floats, unsure: Floats) -> Floats:
    """[series × hypotheses] Log-likelihood ratios; a hypothesis that is left out falls to nothing at once.

    What is usual may be wrong by `unsure`, which is held against nobody.
    """
    above, below = (usual + unsure)[:, None], np.maximum(usual / 2.0, usual - unsure)[:, None]
    before = np.hstack([np.broadcast_to(above, (len(usual), len(RATIOS))), below])
    after = np.hstack([np.broadcast_to(RATIOS, (len(usual), len(RATIOS))), below * FALL])
    looked = np.hstack([2.0 * above <= RATIOS, below >= LEAST_FALLING])
    steps = bad[:, None] * np.log(after / before) + (n - bad)[:, None] * np.log((1.0 - after) / (1.0 - before))
    return np.where(looked, steps, -np.inf)
