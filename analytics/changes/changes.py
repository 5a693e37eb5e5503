"""Changes of a service and its targets, found at ticks: response time, failures and quality of every target, throughput of the service.

Response time is that of an answer of usual length that meets no queue: freed of load by `analytics/fleet/capacity_fit.py` and of length by the
slope over output tokens. Throughput belongs to the service, since a target's is the work of the routers. All of it is a state machine without a clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.changes.change_record import change_of
from routecast.analytics.changes.cusum import Floats, Ints
from routecast.analytics.changes.episodes import Episode
from routecast.analytics.changes.levels import Levels, Seen
from routecast.analytics.changes.ratios import Ratios
from routecast.analytics.changes.throughput import Throughput
from routecast.analytics.changes.token_slope import TokenSlope
from routecast.analytics.checkpoint import Stateful
from routecast.analytics.fleet.capacity_fit import CANDIDATES, Fit, LatencyGroups
from routecast.analytics.pane import MILLION
from routecast.models.config import TargetConfig
from routecast.models.insights import Change, Metric, Subject
from routecast.models.rows import TargetTotals

SUSPECTED = 8.6 / 14.0
"""Part of the bound at which the response time of a target is estimated anew: one false alarm in ten thousand answers costs nobody anything."""
_LN_SD, _LEAST_LN_SD = 0.84, 0.1
_QUALITY_SD, _LEAST_QUALITY_SD = 0.2, 0.02
_MS = 1000.0


class Changes:
    """Of one service. Memory: 2.5 kB a target.

    Args:
        service: its name.
        targets: of the service; the list grows with what events name.
        caution: how much more doubt than usual it takes for response times to be estimated anew; where that is more than a change has, they never are.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_born_ms",)

    def __init__(self, service: str, targets: Sequence[TargetConfig], caution: float = 1.0) -> None:
        self._service, self._targets = service, targets
        self._enough = SUSPECTED * caution
        self._born_ms = 0.0
        self._times = Levels(readings=len(CANDIDATES), sd=_LN_SD, least_sd=_LEAST_LN_SD)
        self._quality = Levels(sd=_QUALITY_SD, least_sd=_LEAST_QUALITY_SD)
        self._failures, self._throughput, self._slope = Ratios(), Throughput(), TokenSlope()
        self.news: list[Change] = []
        """What the last tick has to say: changes that are new, or of which there is something new."""

    def grow(self, n: int) -> None:
        """Make room for `n` targets."""
        for part in (self._times, self._quality, self._failures):
            part.grow(n)

    @property
    def parts(self) -> Mapping[str, Stateful]:
        """What makes up its state."""
        series: dict[str, Levels | Ratios] = {
            "times": self._times,
            "quality": self._quality,
            "failures": self._failures,
            "throughput": self._throughput.levels,
        }
        own: dict[str, Stateful] = {"changes": self, "slope": self._slope, "arrived": self._throughput}
        return own | {f"{name}_{part}": state for name, levels in series.items() for part, state in levels.parts.items()}

    def update(self, at_ms: float, elapsed_s: float, new: Sequence[TargetTotals], groups: LatencyGroups, fit: Fit, steady: NDArray[np.bool_]) -> Ints:
        """Take what is new since `elapsed_s` ago; targets of which the response time should be estimated anew.

        The times of a target that is not `steady` tell nothing: where traffic has just begun, the quickest answers come first.
        """
        self._born_ms = self._born_ms or at_ms
        before = self._times.cusum.doubt
        times = self._times.update(at_ms, elapsed_s, self._seen(at_ms, elapsed_s, groups.of(steady[groups.target]), fit))
        failures = self._failures.update(at_ms, elapsed_s, _counts(item.ok + item.failed for item in new), _counts(item.failed for item in new))
        judged = self._judged(at_ms, _counts(item.quality_n for item in new), _counts(item.quality_sum for item in new) / MILLION)
        quality = self._quality.update(at_ms, elapsed_s, judged)
        throughput = self._throughput.update(at_ms, elapsed_s, float(_counts(item.first_attempts for item in new).sum()))
        half = self._times.sd**2 / 2.0
        self.news = [
            *(self._change("response_time", episode, partial(_mean_ms, float(half[episode.series]))) for episode in times),
            *(self._change("error_ratio", episode, _ratio) for episode in failures),
            *(self._change("quality", episode, _ratio) for episode in quality),
            *(self._change("throughput", episode, math.exp, whole=True) for episode in throughput),
        ]
        raised = {episode.series for episode in times if episode.version == 1 and self._enough <= 1.0}
        suspected = np.flatnonzero((self._times.cusum.doubt >= self._enough) & (before < self._enough))
        return np.array(sorted(raised | {int(i) for i in suspected}), np.int64)

    def _seen(self, at_ms: float, elapsed_s: float, groups: LatencyGroups, fit: Fit) -> Seen:
        """Logarithms of latency, by target, freed of load and of length."""
        count, target = len(self._targets), groups.target
        expected = self._times.expected(at_ms, fit.choice)
        longer = self._slope.longer(groups)
        readings = groups.residual_sums()
        chosen = fit.choice[target]
        plain = readings[np.arange(len(target)), chosen] - groups.n * expected[target]
        deviation = plain - longer
        self._slope.update(elapsed_s, groups, np.where(expected[target] == 0.0, 0.0, plain))
        n = _summed(target, groups.n, count)
        sums = np.zeros((count, len(CANDIDATES)))
        np.add.at(sums, target, readings - longer[:, None])
        load = groups.load_terms()[np.arange(len(target)), chosen]
        squares = _summed(target, groups.sum_ln2 - 2.0 * load * groups.sum_ln + groups.n * load**2, count)
        within = squares / np.maximum(n, 1.0) - (sums[np.arange(count), fit.choice] / np.maximum(n, 1.0)) ** 2
        spread = np.sqrt(np.maximum(0.0, within) / np.maximum(fit.variance, self._times.sd**2))
        return Seen(n, sums, _summed(target, deviation, count), _summed(target, deviation**2, count), spread)

    def _judged(self, at_ms: float, n: Floats, total: Floats) -> Seen:
        deviation = total - n * self._quality.expected(at_ms)
        return Seen(n, total[:, None], deviation, deviation**2, np.ones(len(n)))

    def _change(self, metric: Metric, episode: Episode, shown: Callable[[float], float], *, whole: bool = False) -> Change:
        subject = Subject(kind="service", id=self._service, service=self._service) if whole else _subject(self._targets[episode.series])
        return change_of(metric, subject, episode, shown, self._born_ms)

    @property
    def lasting(self) -> NDArray[np.bool_]:
        """Targets of which the response time is not the usual one."""
        return self._times.lasting


def _counts(counts: Iterable[int]) -> Floats:
    """None below 0, as they would be where rows were lost."""
    found: Floats = np.maximum(0.0, np.array(list(counts), float))
    return found


def _summed(target: Ints, values: Floats, count: int) -> Floats:
    """By target."""
    return np.asarray(np.bincount(target, values, count), np.float64)


def _mean_ms(half: float, ln_s: float) -> float:
    """Mean of a lognormal, of which `half` is half the variance of the logarithm."""
    return math.exp(ln_s + half) * _MS


def _subject(t: TargetConfig) -> Subject:
    return Subject(kind="target", id=t.id, provider=t.provider, model=t.model, service=t.service, region=t.region)


def _ratio(level: float) -> float:
    return min(1.0, max(0.0, level))
