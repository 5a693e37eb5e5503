"""State of every target of a service as the fleet sees it: ok, degraded, open, recovering, unknown.

A target opens when its breaker trips or when even the upper bound of its recent success ratio, 429 apart, is below the failover
threshold. It stays open 5 s, doubled with every further failure up to the configured longest wait, then is probed with a tenth of its share. A
sequential probability ratio test (Wald 1945; good 98 %, bad 50 %, α = β = 1 %) closes it after seven clean successes, and its
share ramps up over 30 s.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.fleet.fleet_breaker import MultiCusum
from routecast.analytics.fleet.horizon import Evidence, Horizon
from routecast.analytics.interval import jeffreys_upper
from routecast.models.snapshot import State

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FIRST_OPEN_MS = 5_000.0
_PROBE_RAMP = 0.1
_RAMP_MS = 30_000.0
_CLOSES_AT = math.log(0.99 / 0.01)
_SUCCESS_STEP, _FAILURE_STEP = math.log(0.98 / 0.5), math.log(0.02 / 0.5)
_LEAST_N = 4
_UPPER_LEVEL = 0.95
_MOST_DOUBLINGS = 10


class Health:
    """States of `n` targets; advanced only at ticks."""

    STATE: ClassVar[tuple[str, ...]] = ("_open_until", "_times_open", "_evidence", "_ramp_from", "states")

    def __init__(self, threshold: float, longest_open_ms: float, degraded_below: float) -> None:
        self._threshold = threshold
        self._longest_open_ms = longest_open_ms
        self._degraded_below = degraded_below
        self.cusum = MultiCusum()
        self._open_until: list[float] = []
        self._times_open: list[int] = []
        self._evidence: list[float] = []
        self._ramp_from: list[float] = []
        self.states: list[State] = []

    def grow(self, n: int) -> None:
        """Make room for `n` targets."""
        more = n - len(self.states)
        self.cusum.grow(n)
        self._open_until += [0.0] * more
        self._times_open += [0] * more
        self._evidence += [0.0] * more
        self._ramp_from += [-math.inf] * more
        self.states += ["unknown"] * more

    def update(self, now_ms: float, news: Evidence, minute: Horizon, usual: Floats, doubtful: NDArray[np.bool_] | None = None) -> Ints:
        """Take new outcomes at a tick; which targets begin to be probed: their estimates restart, free of the outage.

        `minute` is the evidence of the last minute, `news` included; `usual` the long-run ratio of failures that a breaker counts;
        `doubtful` are targets whose failures may be those of one router alone: they do not open.
        """
        recent, broken = minute.evidence, news.broken
        tripped = self.cusum.update(news.ok, broken, usual)
        below = (jeffreys_upper(recent.ok, recent.broken, _UPPER_LEVEL) < self._threshold) & (recent.ok + recent.broken >= _LEAST_N)
        degraded = (jeffreys_upper(recent.ok, recent.failed, _UPPER_LEVEL) < self._degraded_below) & (minute.n >= _LEAST_N)
        probed: list[int] = []
        for i, state in enumerate(self.states):
            if state in {"open", "recovering"}:
                if self._probe(i, now_ms, float(news.ok[i]), float(broken[i])):
                    probed.append(i)
            elif (tripped[i] or below[i]) and (doubtful is None or not doubtful[i]):
                self._open(i, now_ms)
            else:
                self.states[i] = "unknown" if minute.n[i] <= 0 and state == "unknown" else "degraded" if degraded[i] else "ok"
        self.cusum.forget(np.array([i for i, state in enumerate(self.states) if state in {"open", "recovering"}], np.int64))
        return np.array(probed, np.int64)

    def ramp(self, now_ms: float) -> Floats:
        """How much of its planned share each target may take, 0..1."""
        since = np.maximum(0.0, now_ms - np.array(self._ramp_from))
        ramp = np.minimum(1.0, _PROBE_RAMP + (1.0 - _PROBE_RAMP) * since / _RAMP_MS)
        probing = np.array([state == "recovering" for state in self.states], bool)
        return np.where(probing, _PROBE_RAMP, ramp)

    def _open(self, i: int, now_ms: float) -> None:
        wait_ms = min(self._longest_open_ms, _FIRST_OPEN_MS * 2.0 ** min(self._times_open[i], _MOST_DOUBLINGS))
        self.states[i] = "open"
        self._open_until[i] = now_ms + wait_ms
        self._times_open[i] += 1
        self._evidence[i] = 0.0

    def _probe(self, i: int, now_ms: float, ok: float, failed: float) -> bool:
        """Advance a target that is open or recovering; whether probing begins."""
        if self.states[i] == "open":
            begins = now_ms >= self._open_until[i]
            if begins:
                self.states[i] = "recovering"
            return begins
        self._evidence[i] += ok * _SUCCESS_STEP + failed * _FAILURE_STEP
        if self._evidence[i] <= -_CLOSES_AT:
            self._open(i, now_ms)
        elif self._evidence[i] >= _CLOSES_AT:
            self.states[i] = "ok"
            self._times_open[i] = 0
            self._ramp_from[i] = now_ms
        return False
