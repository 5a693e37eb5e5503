from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fleet.horizon import Evidence, Horizon
from routecast.analytics.interval import jeffreys_lower


def _news(n: int = 1, **sums: float | list[float]) -> Evidence:
    """New evidence of `n` targets, 0 where nothing is said."""
    return Evidence(**{name: np.broadcast_to(np.array(sums.get(name, 0.0), float), n).copy() for name in Evidence._fields})


def test_evidence_fades_with_its_time_constant() -> None:
    """After one time constant 37 % is left, however many ticks that was."""
    once, often = Horizon(1, tau_s=60.0), Horizon(1, tau_s=60.0)
    for horizon in (once, often):
        horizon.update(1.0, _news(ok=100, failed=50))
    once.update(60.0, _news())
    for _ in range(120):
        often.update(0.5, _news())
    assert once.n == pytest.approx([150 / math.e])
    assert often.sums == pytest.approx(once.sums)


def test_newer_requests_push_older_ones_out() -> None:
    """By number instead of time: an hour changes nothing, a thousand further requests nearly everything."""
    history = Horizon(1, requests=1000.0)
    history.update(1.0, _news(failed=500))
    history.update(3600.0, _news())
    assert history.n == pytest.approx([500])
    for _ in range(100):
        history.update(1.0, _news(ok=30))
    assert history.evidence.failed[0] == pytest.approx(500 * 0.97**100)
    assert history.n[0] == pytest.approx(1000, rel=0.06)


def test_a_tick_with_more_requests_than_the_history_leaves_only_them() -> None:
    """Nothing becomes negative."""
    history = Horizon(1, requests=10.0)
    history.update(1.0, _news(failed=5))
    history.update(1.0, _news(ok=25))
    assert (history.evidence.ok[0], history.evidence.failed[0]) == (25, 0)


@given(ok=st.integers(0, 500), failed=st.integers(0, 500))
def test_success_is_the_lower_jeffreys_bound(ok: int, failed: int) -> None:
    """One-sided, at 80 %, where no weight is given to the other targets."""
    horizon = Horizon(1, tau_s=300.0)
    horizon.update(1.0, _news(ok=ok, failed=failed))
    assert horizon.success(0.0) == pytest.approx(jeffreys_lower(ok, failed, 0.8))


@given(ok=st.integers(0, 100), failed=st.integers(0, 99), weight=st.floats(0, 20))
def test_one_more_failure_never_raises_the_success_of_its_target(ok: int, failed: int, weight: float) -> None:
    """Nor of any other; and the one that failed falls most."""
    before, after = Horizon(2, tau_s=300.0), Horizon(2, tau_s=300.0)
    before.update(1.0, _news(2, ok=ok, failed=[failed, failed]))
    after.update(1.0, _news(2, ok=ok, failed=[failed + 1, failed]))
    assert (after.success(weight) <= before.success(weight) + 1e-9).all()
    assert after.success(weight)[0] < after.success(weight)[1]


def test_a_target_without_outcomes_is_judged_by_the_others() -> None:
    """As `weight` observations of the ratio of all; without any weight it is just unknown."""
    horizon = Horizon(2, tau_s=300.0)
    horizon.update(1.0, _news(2, ok=[900, 0], failed=[100, 0]))
    pooled = 901 / 1001
    assert horizon.success(9.0)[1] == pytest.approx(jeffreys_lower(9 * pooled, 9 * (1 - pooled), 0.8))
    assert horizon.success(0.0)[1] == pytest.approx(jeffreys_lower(0, 0, 0.8))


def test_a_rate_limit_is_a_failure_but_not_one_that_a_breaker_counts() -> None:
    """Three of ten outcomes were 429, one an error."""
    horizon = Horizon(1, tau_s=300.0)
    horizon.update(1.0, _news(ok=6, failed=4, limited=3))
    assert (horizon.n[0], horizon.evidence.broken[0]) == (10, 1)
    horizon.update(10.0, _news())
    assert horizon.evidence.broken[0] == pytest.approx(math.exp(-10 / 300))


def test_times_are_means_of_what_was_seen_and_stand_in_elsewhere() -> None:
    """Failures by their arithmetic mean, successes by the mean of the lognormal with that mean logarithm."""
    horizon = Horizon(2, tau_s=300.0)
    horizon.update(1.0, _news(2, failed=[4, 0], fail_s=[20, 0], latency_n=[3, 0], sum_ln=[3 * math.log(2), 0]))
    otherwise = np.array([7.0, 8.0])
    assert horizon.fail_s(otherwise) == pytest.approx([5.0, 8.0])
    assert horizon.time_s(0.5, otherwise) == pytest.approx([2 * math.exp(0.25), 8.0])


def test_quality_begins_with_the_prior_and_ends_with_what_was_seen() -> None:
    """The prior counts as `weight` observations, at least a hundredth of one: a learning rate of 1 is no division by zero."""
    horizon = Horizon(2, tau_s=300.0)
    horizon.update(1.0, _news(2, quality_n=[9, 0], quality_sum=[9 * 0.4, 0]))
    prior = np.array([0.8, 0.8])
    assert horizon.quality(prior, 9.0) == pytest.approx([0.6, 0.8])
    assert horizon.quality(prior, 0.0) == pytest.approx([0.4, 0.8], abs=0.001)


def test_forgetting_and_growing_touch_nobody_else() -> None:
    """One target restarts, another is added, the third keeps what it has."""
    horizon = Horizon(2, tau_s=300.0)
    horizon.update(1.0, _news(2, ok=10))
    horizon.forget(np.array([0]))
    horizon.grow(3)
    assert list(horizon.n) == [0, 10, 0]
