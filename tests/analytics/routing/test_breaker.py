from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fleet.fleet_breaker import MultiCusum
from routecast.analytics.routing.breaker import OwnCusum


def _trips(cusum: MultiCusum, ok: int, failed: int, usual: float = 0.0) -> bool:
    return bool(cusum.update(np.array([float(ok)]), np.array([float(failed)]), np.array([usual]))[0])


def _until_trip(fail_ratio: float, seed: int, group: int = 1) -> int:
    """Requests of an outage until the breaker trips, outcomes taken in groups, after 500 good ones."""
    luck, cusum = random.Random(seed), MultiCusum(1)
    for _ in range(500 // group):
        assert not _trips(cusum, group, 0)
    for groups in range(1, 5000):
        failed = sum(luck.random() < fail_ratio for _ in range(group))
        if _trips(cusum, group - failed, failed):
            return groups * group
    return 5000 * group


@pytest.mark.parametrize(("fail_ratio", "most"), [(1.0, 4), (0.5, 11), (0.3, 25), (0.1, 200)])
def test_the_breaker_trips_soon(fail_ratio: float, most: float) -> None:
    """Mean requests until it trips, over a hundred outages: a dead target needs 4, one that fails 30 % at most 25."""
    assert np.mean([_until_trip(fail_ratio, seed) for seed in range(100)]) <= most


@pytest.mark.parametrize(("fail_ratio", "most"), [(1.0, 4), (0.3, 25)])
def test_outcomes_in_groups_trip_as_soon(fail_ratio: float, most: float) -> None:
    """A tick brings many outcomes at once: at most one group of ten later than one by one."""
    assert np.mean([_until_trip(fail_ratio, seed, group=10) for seed in range(100)]) <= most + 10


@pytest.mark.parametrize("group", [1, 20])
def test_one_percent_of_failures_never_trips(group: int) -> None:
    """A hundred thousand requests at the usual ratio, one by one and as a tick brings them."""
    luck, cusum = random.Random(5), MultiCusum(1)
    failures = [sum(luck.random() < 0.01 for _ in range(group)) for _ in range(100_000 // group)]
    assert sum(failures) > 800
    assert not any(_trips(cusum, group - failed, failed, 0.01) for failed in failures)


def test_what_is_usual_for_a_target_does_not_trip_it() -> None:
    """A target that always fails 8 % is known to; one that fails 8 % where 1 % is usual is not well."""
    luck = random.Random(3)
    failures = [int(luck.random() < 0.08) for _ in range(20_000)]
    used_to_it, surprised = MultiCusum(1), MultiCusum(1)
    assert not any(_trips(used_to_it, 1 - f, f, 0.08) for f in failures)
    assert any(_trips(surprised, 1 - f, f, 0.01) for f in failures)


def test_nothing_is_so_usual_that_an_outage_is_overlooked() -> None:
    """The usual ratio counts as at most 10 %: six failures in a row trip even a target that never did anything else."""
    cusum = MultiCusum(1)
    assert [_trips(cusum, 0, 1, 1.0) for _ in range(6)] == [False] * 5 + [True]


@given(good=st.integers(1, 10_000))
def test_good_times_are_no_credit(good: int) -> None:
    """However long all went well, the fourth failure in a row trips."""
    cusum = MultiCusum(1)
    assert not _trips(cusum, good, 0)
    assert [_trips(cusum, 0, 1) for _ in range(4)] == [False] * 3 + [True]


def test_targets_do_not_share_evidence_and_forget_alone() -> None:
    """One is restarted, the other trips at its fourth failure."""
    cusum = MultiCusum()
    cusum.grow(2)
    nothing, failures = np.zeros(2), np.array([3.0, 3.0])
    assert not cusum.update(nothing, failures, nothing).any()
    cusum.forget(np.array([0]))
    assert list(cusum.update(nothing, np.ones(2), nothing)) == [False, True]
    cusum.grow(3)
    assert list(cusum.update(np.zeros(3), np.zeros(3), np.zeros(3))) == [False, True, False]


def _own_until_trip(fail_ratio: float, seed: int) -> int:
    luck, cusum = random.Random(seed), OwnCusum()
    for _ in range(500):
        cusum.ok()
    for n in range(1, 5000):
        if luck.random() >= fail_ratio:
            cusum.ok()
        elif cusum.failed():
            return n
    return 5000


@pytest.mark.parametrize(("fail_ratio", "most"), [(1.0, 4), (0.5, 11), (0.3, 25), (0.1, 200)])
def test_a_router_trips_as_soon_as_the_fleet(fail_ratio: float, most: float) -> None:
    """Mean requests until it trips, over three hundred outages."""
    assert np.mean([_own_until_trip(fail_ratio, seed) for seed in range(300)]) <= most


def test_a_million_requests_at_one_percent_never_trip_a_router() -> None:
    """No false alarm."""
    luck, cusum, failures = random.Random(8), OwnCusum(), 0
    for _ in range(1_000_000):
        if luck.random() < 0.01:
            failures += 1
            assert not cusum.failed()
        else:
            cusum.ok()
    assert failures > 9_500
    assert cusum.usual == pytest.approx(0.01, abs=0.009)


@given(outcomes=st.lists(st.booleans(), max_size=200))
def test_one_outcome_at_a_time_is_the_same_mathematics(outcomes: list[bool]) -> None:
    """Where the usual ratio is at its least, both trip at the same outcome."""
    fleet, own = MultiCusum(1), OwnCusum()
    for ok in outcomes:
        own.usual = 0.0
        tripped = not ok and own.failed()
        if ok:
            own.ok()
        assert tripped == _trips(fleet, int(ok), int(not ok))
        if tripped:
            return


def test_a_router_learns_what_is_usual_for_a_target() -> None:
    """One that has failed 8 % for a long time may go on; a thousand requests teach it."""
    luck, cusum = random.Random(3), OwnCusum()
    cusum.usual = 0.08
    for _ in range(20_000):
        if luck.random() < 0.08:
            assert not cusum.failed()
        else:
            cusum.ok()
    assert cusum.usual == pytest.approx(0.08, abs=0.03)
