from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fleet.capacity_fit import CapacityFit, Fit, LatencyGroups, joined
from routecast.analytics.fleet.service_time import ServiceTime, pooled_variance

SLOTS = 8.0
SIGMA = 0.5


def _groups(n: int, service_s: float, seed: int = 1, target: int = 0, others: int = 24) -> LatencyGroups:
    """Requests that met less than this many others on eight slots."""
    luck = np.random.default_rng(seed)
    met = luck.integers(0, others, n).astype(float)
    ln = np.log(service_s) - SIGMA**2 / 2 + np.log(np.maximum(1.0, (met + 1) / SLOTS)) + luck.normal(0, SIGMA, n)
    return LatencyGroups(np.full(n, target), np.ones(n), ln, ln**2, met)


class _Pair:
    """Fit and service time of some targets, fed alike."""

    def __init__(self, n: int = 1) -> None:
        self.fit = CapacityFit(n)
        self.times = ServiceTime(n)
        self._n = n

    def update(self, elapsed_s: float, *groups: LatencyGroups) -> None:
        for part in (self.fit, self.times):
            part.update(elapsed_s, joined(groups))

    def found(self) -> Fit:
        return self.fit.fit(np.full(self._n, np.inf))

    def estimate(self, learning_rate: float = 0.1, models: list[int] | None = None) -> list[float]:
        found = self.found()
        numbers = np.array(models or list(range(self._n)))
        return [float(s) for s in self.times.estimate(found, pooled_variance(found), learning_rate, numbers)]

    def restarted(self, caution: float = 1.0) -> list[int]:
        found = self.found()
        return [int(i) for i in self.times.restart(found, np.full(self._n, math.sqrt(pooled_variance(found))), caution)]


@pytest.mark.parametrize("service_s", [0.05, 2.0, 40.0])
def test_the_service_time_is_freed_of_load(service_s: float) -> None:
    """Two seconds of work are two seconds, although most requests waited."""
    pair = _Pair()
    pair.update(1.0, _groups(3000, service_s))
    assert pair.estimate() == pytest.approx([service_s], rel=0.08)


def test_a_fivefold_slow_down_is_believed_after_a_few_requests() -> None:
    """In a tick of six after a long good time the estimate restarts; what follows is measured anew."""
    pair = _Pair()
    pair.update(1.0, _groups(3000, 1.0))
    pair.update(90.0, _groups(6, 5.0, seed=9))
    assert pair.restarted() == [0]
    assert pair.estimate(1.0)[0] > 3.0
    pair.update(5.0, _groups(200, 5.0, seed=10))
    assert pair.restarted() == []
    assert pair.estimate(1.0) == pytest.approx([5.0], rel=0.15)


def _requests_until_restart(factor: float, seed: int) -> int:
    pair = _Pair()
    for tick in range(60):
        pair.update(1.0, _groups(8, 1.0, seed=1000 * seed + tick))
        pair.restarted()
    for n in range(1, 200):
        pair.update(0.25, _groups(1, factor, seed=1000 * seed + 500 + n))
        if pair.restarted():
            return n
    return 200


@pytest.mark.parametrize(("factor", "most"), [(5.0, 18), (0.2, 18), (2.0, 50)])
def test_changes_are_noticed_within_few_requests(factor: float, most: float) -> None:
    """Slower and faster alike, four a second after eight a second: on average 18 for ×5, 50 for ×2, over twenty changes."""
    assert np.mean([_requests_until_restart(factor, seed) for seed in range(20)]) <= most


def test_noise_restarts_nothing() -> None:
    """A thousand ordinary ticks of five targets, at most two restarts."""
    pair = _Pair(5)
    restarts = 0
    for seed in range(1000):
        pair.update(1.0, *(_groups(4, 1.0, seed=5 * seed + target, target=target) for target in range(5)))
        restarts += len(pair.restarted()) if seed > 20 else 0
    assert restarts <= 2


def test_one_outlier_restarts_nothing() -> None:
    """A single answer is no change, however slow."""
    pair = _Pair()
    pair.update(1.0, _groups(3000, 1.0))
    pair.update(300.0, _groups(1, 1e6, seed=3))
    assert pair.restarted() == []


def test_caution_scales_how_far_off_is_far() -> None:
    """A history that weighs ten times the present is not given up for a factor of five; one of a tenth already for less."""
    for caution, factor, restarted in ((10.0, 5.0, []), (0.1, 1.5, [0]), (1.0, 1.5, [])):
        pair = _Pair()
        pair.update(1.0, _groups(3000, 1.0))
        pair.update(90.0, _groups(6, factor, seed=9))
        assert pair.restarted(caution) == restarted


def test_the_recent_mean_reaches_back_to_the_last_look() -> None:
    """A minute between two snapshots: all of its requests count, whatever the time constant of six seconds."""
    pair = _Pair()
    pair.update(1.0, _groups(3000, 1.0))
    pair.update(60.0, _groups(40, 2.5, seed=4))
    assert pair.restarted() == [0]


@given(order=st.permutations(range(5)))
def test_groups_may_come_in_any_order(order: list[int]) -> None:
    """Within a tick, up to rounding of sums."""
    parts = [_groups(40, 1.0 + i, seed=i, target=i % 2) for i in range(5)]
    one, other = _Pair(2), _Pair(2)
    one.update(1.0, *parts)
    other.update(1.0, *(parts[i] for i in order))
    assert one.estimate() == pytest.approx(other.estimate())


def test_a_newcomer_takes_its_time_from_the_same_model_elsewhere() -> None:
    """Else from the median of the service."""
    pair = _Pair(4)
    pair.update(0.0, _groups(2000, 1.0), _groups(2000, 4.0, target=1), _groups(2000, 4.0, target=2))
    like_first = pair.estimate(models=[0, 1, 2, 0])[3]
    unlike = pair.estimate(models=[0, 1, 2, 3])[3]
    nameless = pair.estimate(models=[0, 1, 2, -1])[3]
    assert [like_first, unlike, nameless] == pytest.approx([1.0, 4.0, 4.0], rel=0.1)


def test_little_evidence_is_shrunk_towards_the_prior() -> None:
    """One observation moves the logarithm by the learning rate; a rate of 1 believes it at once."""
    pair = _Pair(2)
    one = LatencyGroups(np.array([1]), np.ones(1), np.array([math.log(16.0)]), np.array([math.log(16.0) ** 2]), np.zeros(1))
    pair.update(0.0, _groups(4000, 1.0), one)
    correction = pooled_variance(pair.found()) / 2
    middle = (math.log(pair.estimate(1.0)[0]) - correction + math.log(16.0)) / 2
    prior = math.log(pair.estimate(models=[0, 0])[0]) - correction
    for learning_rate in (0.1, 0.5, 1.0):
        unlike = math.log(pair.estimate(learning_rate)[1]) - correction
        like = math.log(pair.estimate(learning_rate, [0, 0])[1]) - correction
        assert unlike == pytest.approx(learning_rate * math.log(16.0) + (1 - learning_rate) * middle, abs=1e-6)
        assert like == pytest.approx(learning_rate * math.log(16.0) + (1 - learning_rate) * prior, abs=0.01)


@pytest.mark.parametrize("learning_rate", [0.1, 1.0])
def test_nothing_known_is_one_second_everywhere(learning_rate: float) -> None:
    """Finite, and the same for all."""
    assert _Pair(3).estimate(learning_rate) == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("hours", [3, 24])
def test_a_night_without_traffic_leaves_the_estimates(hours: int) -> None:
    """The weight of the evidence fades to almost nothing, its mean does not."""
    pair = _Pair(2)
    pair.update(1.0, _groups(500, 10.0, others=1), _groups(500, 10.0, target=1, others=1))
    before = math.log(pair.estimate()[0]) - pooled_variance(pair.found()) / 2
    for _ in range(hours):
        pair.update(3600.0)
    after = [math.log(s) - pooled_variance(pair.found()) / 2 for s in pair.estimate()]
    assert after == pytest.approx([before] * 2, abs=0.1)


def test_forgetting_restarts_from_the_prior() -> None:
    """After an outage a target counts as new; its neighbours keep what they know."""
    pair = _Pair(3)
    pair.update(1.0, _groups(500, 9.0), _groups(500, 2.0, target=1), _groups(500, 2.0, target=2))
    pair.times.forget(np.array([0]))
    assert pair.estimate(1.0) == pytest.approx([2.0, 2.0, 2.0], rel=0.15)


def test_what_is_believed_is_wide_without_evidence_and_again_after_a_restart() -> None:
    """The spread falls with the root of the evidence, the prior counted in, and a target that starts anew is uncertain again."""
    pair = _Pair(2)
    pair.update(1.0, _groups(391, 2.0))
    assert pair.times.spread(0.64, 0.1) == pytest.approx([0.8 / 20, 0.8 / 3], rel=0.01)
    pair.times.forget(np.array([0]))
    assert pair.times.spread(0.64, 0.1) == pytest.approx([0.8 / 3] * 2, rel=0.01)


def test_the_pooled_variance_is_weighted_and_bounded() -> None:
    """By evidence; at least 0.05, and at most 4: beyond, latencies are of several kinds."""
    choice = np.zeros(2, int)

    def fit(variance: list[float], n: list[int]) -> Fit:
        return Fit(np.ones(2), choice, np.array(variance), np.array(n, float))

    cases = [([0.2, 0.8], [30, 10]), ([0.0, 0.0], [9, 9]), ([0.2, 90.0], [9, 9]), ([0.5, 0.5], [0, 0])]
    variances = [pooled_variance(fit(variance, n)) for variance, n in cases]
    assert variances == pytest.approx([0.35, 0.05, 4.0, 0.05])
