"""The token bucket: never more than rate × time + capacity, and settled to the token."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.routing.token_bucket import TokenBucket

STEPS = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 40)), max_size=80)


@given(STEPS, st.integers(0, 20), st.integers(1, 50))
def test_no_window_lets_more_pass_than_the_limit_and_the_burst(steps: list[tuple[int, int]], per_s: int, capacity: int) -> None:
    """Whatever is asked for whenever, over every window of time."""
    bucket, now_ms, granted = TokenBucket(per_s, capacity, 0.0), 0.0, list[tuple[float, int]]()
    for pause_ms, amount in steps:
        now_ms += pause_ms
        if bucket.take(amount, now_ms):
            granted.append((now_ms, amount))
    for first, (from_ms, _) in enumerate(granted):
        total = 0
        for to_ms, amount in granted[first:]:
            total += amount
            assert total <= (to_ms - from_ms) * per_s / 1000.0 + capacity + 1e-6


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), max_size=20))
def test_settling_leaves_what_the_truth_alone_would_have_left(calls: list[tuple[int, int]]) -> None:
    """An estimate that was too high or too low leaves no trace."""
    bucket = TokenBucket(0.0, 1000.0, 0.0)
    for estimate, _ in calls:
        bucket.debit(estimate, 0.0)
    for estimate, true in calls:
        bucket.settle(estimate, true, 0.0)
    assert bucket.level(0.0) == 1000 - sum(true for _, true in calls)


def test_the_wait_is_as_long_as_it_takes_to_fill() -> None:
    """What is there waits for nothing; what never will be there waits for ever; a debt is filled first."""
    bucket = TokenBucket(2.0, 10.0, 0.0)
    assert bucket.wait_ms(10.0, 0.0) == 0
    bucket.debit(14.0, 0.0)
    assert bucket.wait_ms(1.0, 0.0) == 2500
    assert not bucket.take(1.0, 2499.0)
    assert bucket.take(1.0, 2500.0)
    assert bucket.wait_ms(11.0, 2500.0) == math.inf
    assert TokenBucket(0.0, 1.0, 0.0).wait_ms(1.0, 5.0) == 0


def test_a_clock_that_is_set_back_fills_nothing() -> None:
    """Filling goes on from where the clock then stands."""
    bucket = TokenBucket(1.0, 10.0, 100_000.0)
    bucket.debit(10.0, 100_000.0)
    assert bucket.level(50_000.0) == 0
    assert bucket.level(51_000.0) == pytest.approx(1.0)


def test_a_belief_replaces_the_level() -> None:
    """Never above the capacity."""
    bucket = TokenBucket(1.0, 10.0, 0.0)
    bucket.fill_to(3.0, 0.0)
    assert bucket.level(1000.0) == 4
    bucket.fill_to(30.0, 1000.0)
    assert bucket.level(1000.0) == 10
