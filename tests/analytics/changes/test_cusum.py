import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.changes.cusum import ALLOWANCES, BOUNDS, Cusum, bounded, shift_steps

LANES = 500
SURE = np.zeros(LANES)


def _cusum() -> Cusum:
    cusum = Cusum(BOUNDS * 2)
    cusum.grow(LANES)
    return cusum


def _alarms(size: float, answers: int) -> int:
    """Over quiet answers, in groups of this mean size."""
    luck, cusum, alarms = np.random.default_rng(1), _cusum(), 0
    for tick in range(int(answers / LANES / size)):
        n = luck.poisson(size, LANES).astype(float) if size > 1 else np.ones(LANES)
        z = bounded(n, luck.standard_normal(LANES) * np.sqrt(n), np.ones(LANES))
        cusum.update(float(tick), shift_steps(n, z, SURE), n, z)
        found = np.flatnonzero(cusum.doubt > 1.0)
        cusum.forget(found)
        alarms += len(found)
    return alarms


@pytest.mark.parametrize("size", [1.0, 4.0, 20.0])
@pytest.mark.untraced
def test_false_alarms_are_rare_for_groups_of_any_size(size: float) -> None:
    """One in two million answers: in one million there are two at the most, with this luck."""
    assert _alarms(size, 1_000_000) <= 2


@pytest.mark.parametrize(("factor", "most"), [(1.5, 120), (2.0, 42), (5.0, 10), (0.5, 42)])
@pytest.mark.parametrize("size", [1.0, 8.0])
def test_changes_are_found_within_few_answers(factor: float, most: float, size: float) -> None:
    """Up and down alike, where latencies vary by a factor of e^0.84; a group counts as a whole, so that half of one comes on top."""
    luck, cusum, shift = np.random.default_rng(2), _cusum(), math.log(factor) / 0.84
    answers, done = np.zeros(LANES), np.zeros(LANES, bool)
    for tick in range(2000):
        n = np.full(LANES, size)
        z = bounded(n, luck.standard_normal(LANES) * math.sqrt(size) + shift * n, np.ones(LANES))
        cusum.update(float(tick), shift_steps(n, z, SURE), n, z)
        answers += np.where(done, 0.0, n)
        done |= cusum.doubt > 1.0
        if done.all():
            break
    assert answers.mean() <= most * 1.1 + size


def test_the_beginning_of_a_change_is_when_the_evidence_left_nothing() -> None:
    """Forty quiet looks, then ten at two deviations more: found there, with the mean since."""
    cusum = Cusum(BOUNDS * 2)
    cusum.grow(1)
    for tick in range(50):
        z = np.array([2.0 if tick >= 40 else -1.0 if tick % 2 else 1.0])
        cusum.update(tick * 1000.0, shift_steps(np.ones(1), z, np.zeros(1)), np.ones(1), z)
    found = cusum.finding(0)
    assert found.statistic > found.bound
    assert abs(found.since_ms - 40_000.0) <= 1000.0
    assert found.deviation / found.n == pytest.approx(2.0, abs=0.25)


@given(values=st.lists(st.floats(-3, 4), min_size=1, max_size=40))
def test_values_one_by_one_are_groups_of_one(values: list[float]) -> None:
    """The sums are those of Page's recursion, for every allowance and both ways."""
    cusum = Cusum(BOUNDS * 2)
    cusum.grow(1)
    sums = np.zeros(6)
    k, sign = np.array(ALLOWANCES * 2), np.array([1.0] * 3 + [-1.0] * 3)
    for z in values:
        cusum.update(0.0, shift_steps(np.ones(1), np.array([z]), np.zeros(1)), np.ones(1), np.array([z]))
        sums = np.maximum(0.0, sums + 2 * k * (sign * z - k))
    assert cusum.doubt[0] == pytest.approx((sums / np.array(BOUNDS * 2)).max())


def test_an_outlier_counts_no_more_than_it_should() -> None:
    """Alone it is cut; in a group, the scatter gives it away; a group that is off as a whole counts in full."""
    n, ten = np.array([1.0, 5.0, 5.0]), np.array([10.0, 10.0, 10.0])
    assert bounded(n, ten, np.array([1.0, 4.0, 1.0])).tolist() == [4.0, 5.0, 10.0]


def test_what_nobody_is_sure_of_is_no_evidence() -> None:
    """A level that is off by no more than the usual one may be wrong by raises nothing."""
    cusum = Cusum(BOUNDS * 2)
    cusum.grow(1)
    for _ in range(1000):
        cusum.update(0.0, shift_steps(np.ones(1), np.array([0.4]), np.array([0.5])), np.ones(1), np.array([0.4]))
    assert cusum.doubt[0] == 0.0
