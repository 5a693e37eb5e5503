"""Decayed evidence of targets over one horizon: latency, outcomes and quality, by time or by number of requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.fleet.capacity_fit import LatencyGroups
from routecast.analytics.interval import jeffreys_lower
from routecast.analytics.pane import MILLION
from routecast.models.rows import TargetTotals

Floats = NDArray[np.float64]

SUCCESS_LEVEL = 0.8
"""Confidence of the one-sided lower bound of the success ratio that is published and priced."""


_FORGIVEN = 50.0
"""Successes that outlast an outage."""


class Evidence(NamedTuple):
    """What is new, per target."""

    ok: Floats
    failed: Floats
    limited: Floats
    """Those of the failed that were 429: they say nothing of the target's health."""
    fail_s: Floats
    """Σ seconds of the failures."""
    quality_n: Floats
    quality_sum: Floats
    latency_n: Floats
    sum_ln: Floats
    """Σ ln L of successes, L in seconds."""

    @property
    def broken(self) -> Floats:
        """Failures that a breaker counts: errors and timeouts."""
        return np.maximum(0.0, self.failed - self.limited)


def evidence_of(new: Sequence[TargetTotals], groups: LatencyGroups) -> Evidence:
    """What is new of every target, from its totals and from the latencies of its successes."""
    latency_n, sum_ln = np.zeros(len(new)), np.zeros(len(new))
    np.add.at(latency_n, groups.target, groups.n)
    np.add.at(sum_ln, groups.target, groups.sum_ln)
    return Evidence(
        ok=np.array([item.ok for item in new], float),
        failed=np.array([item.failed for item in new], float),
        limited=np.array([item.rate_limited for item in new], float),
        fail_s=np.array([item.fail_us for item in new], float) / MILLION,
        quality_n=np.array([item.quality_n for item in new], float),
        quality_sum=np.array([item.quality_sum for item in new], float) / MILLION,
        latency_n=latency_n,
        sum_ln=sum_ln,
    )


_LASTING: Floats = np.array([float(name in {"ok", "quality_n", "quality_sum"}) for name in Evidence._fields])


class Horizon:
    """Evidence that fades with time constant `tau_s`, or, with `requests`, as newer requests push it out."""

    STATE: ClassVar[tuple[str, ...]] = ("sums",)

    def __init__(self, n: int, *, tau_s: float = math.inf, requests: float = math.inf) -> None:
        self._tau_s = tau_s
        self._requests = requests
        self.sums: Floats = np.zeros((len(Evidence._fields), n))

    def grow(self, n: int) -> None:
        """Make room for `n` targets."""
        self.sums = np.pad(self.sums, ((0, 0), (0, n - self.sums.shape[1])))

    def update(self, elapsed_s: float, news: Evidence) -> None:
        """Take what is new since `elapsed_s` ago."""
        self.sums *= math.exp(-elapsed_s / self._tau_s) * np.maximum(0.0, 1.0 - (news.ok + news.failed) / self._requests)
        self.sums += np.stack(news)

    def forget(self, targets: NDArray[np.int64]) -> None:
        """Restart these targets without evidence."""
        self.sums[:, targets] = 0.0

    def forgive(self, targets: NDArray[np.int64]) -> None:
        """Restart these targets after an outage: without failures and times, with at most fifty of the successes before it.

        Without any, the uncertainty alone would keep a target that is well again out of the traffic for minutes.
        """
        for i in targets:
            ok = self.sums[0, i]
            self.sums[:, i] *= min(1.0, _FORGIVEN / max(ok, 1.0)) * _LASTING

    @property
    def evidence(self) -> Evidence:
        """The decayed sums."""
        return Evidence(*self.sums)

    @property
    def n(self) -> Floats:
        """Outcomes behind the figures."""
        n: Floats = self.sums[0] + self.sums[1]
        return n

    def success(self, weight: float) -> Floats:
        """One-sided 80 % Jeffreys lower bound of the success ratio, in (0, 1); the ratio of all targets counts as `weight` observations."""
        ok, failed = self.sums[0], self.sums[1]
        pooled = (ok.sum() + 1.0) / (ok.sum() + failed.sum() + 1.0)
        return jeffreys_lower(ok + weight * pooled, failed + weight * (1.0 - pooled), SUCCESS_LEVEL)

    def fail_s(self, otherwise: Floats) -> Floats:
        """Mean seconds of a failure; `otherwise` where none was seen."""
        e = self.evidence
        return np.where(e.failed > 1e-9, e.fail_s / np.maximum(e.failed, 1e-9), otherwise)

    def time_s(self, variance: float, otherwise: Floats) -> Floats:
        """Mean seconds of a success, from the mean logarithm; `otherwise` where none was seen."""
        e = self.evidence
        return np.where(e.latency_n > 1e-9, np.exp(e.sum_ln / np.maximum(e.latency_n, 1e-9) + variance / 2), otherwise)

    def quality(self, prior: Floats, weight: float) -> Floats:
        """Mean quality 0..1, the prior counting as `weight` observations (at least a hundredth of one)."""
        e = self.evidence
        weight = max(0.01, weight)
        return (e.quality_sum + weight * prior) / (e.quality_n + weight)
