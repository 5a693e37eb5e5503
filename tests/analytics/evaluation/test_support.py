from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.evaluation.logged import Floats, Logged
from routecast.analytics.evaluation.support import Bounds, effective_size, refusal, support

UNLIMITED = Bounds(effective=0.0, thin_rows=0, unsupported=1.0, thin=1.0, clipped=1e9, unknown=1.0, mean_weight=1e9)


def _log(n: int = 4000, chances: tuple[float, ...] = (0.6, 0.3, 0.1, 0.0)) -> Logged:
    chosen = np.random.default_rng(1).choice(len(chances), n, p=chances)
    return Logged.of(["a", "b", "c", "d"], chosen, np.array(chances)[chosen], {})


def _policy(logged: Logged, *chances: float) -> Floats:
    return np.tile(np.array(chances), (len(logged), 1))


def test_equal_weights_make_every_row_count() -> None:
    """A row that counts alone makes one; no weight makes none."""
    assert effective_size(np.full(100, 3.0)) == pytest.approx(100.0)
    assert effective_size(np.array([5.0, 0.0, 0.0])) == pytest.approx(1.0)
    assert effective_size(np.zeros(3)) == 0.0


def test_what_the_log_holds_of_a_policy_is_told() -> None:
    """Shares at targets never chosen and seldom chosen, the largest weight, what clipping takes."""
    logged = _log(4000, (0.6, 0.395, 0.005, 0.0))
    found = support(logged, _policy(logged, 0.5, 0.3, 0.15, 0.05), 20.0)
    assert (found.rows, found.thin) == (4000, ("c", "d"))
    assert (found.unsupported_ratio, found.thin_ratio, found.largest_weight) == pytest.approx((0.05, 0.2, 30.0))
    assert found.clipped_ratio == pytest.approx(10.0 * np.mean(logged.chosen == 2))


@pytest.mark.parametrize(
    ("chances", "bounds", "said"),
    [
        ((0.5, 0.3, 0.15, 0.05), Bounds(), r"5\.0% of the policy's choices go to targets that were never chosen \(d\)"),
        ((0.5, 0.3, 0.2, 0.0), Bounds(thin_rows=1000), r"20\.0% .* fewer than 1000 requests \(c\)"),
        ((0.0, 0.0, 1.0, 0.0), Bounds(), r"tell as much as \d+ of the policy's own, fewer than 500"),
        ((0.0, 0.0, 1.0, 0.0), Bounds(effective=10, clipped=-0.1), "weights had to be cut"),
    ],
)
def test_too_little_support_is_refused_with_the_reason(chances: tuple[float, ...], bounds: Bounds, said: str) -> None:
    """Which bound, by how much, at which targets."""
    logged = _log()
    found = support(logged, _policy(logged, *chances), 20.0, bounds)
    assert re.search(said, refusal(found, bounds))


def test_propensities_that_are_not_those_of_the_draws_are_noticed() -> None:
    """Weights that do not average 1 tell it, however many effective rows there are."""
    logged = _log()
    wrong = replace(logged, propensity=np.minimum(1.0, logged.propensity * 1.4))
    assert refusal(support(logged, _policy(logged, 0.4, 0.4, 0.2, 0.0), 20.0)) == ""
    assert "should average 1" in refusal(support(wrong, _policy(logged, 0.4, 0.4, 0.2, 0.0), 20.0))


def test_a_log_that_does_not_know_how_many_requests_ended_is_refused() -> None:
    """Those that take longest are missing."""
    logged = replace(_log(), unknown=400)
    assert "nobody knows how they ended" in refusal(support(logged, _policy(logged, 0.6, 0.3, 0.1, 0.0), 20.0))


@given(away=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=2).map(sorted))
def test_whoever_goes_further_from_the_log_is_refused_no_less(away: list[float]) -> None:
    """From the logging policy towards a target that was never chosen."""
    logged = _log()
    near, far = (support(logged, _policy(logged, *((1 - a) * np.array([0.6, 0.3, 0.1, 0.0]) + a * np.array([0, 0, 0, 1.0]))), 20.0) for a in away)
    assert not refusal(near) or refusal(far)


@given(least=st.lists(st.floats(0.0, 5000.0), min_size=2, max_size=2).map(sorted))
def test_whoever_asks_for_more_is_refused_no_less(least: list[float]) -> None:
    """By the effective sample size alone."""
    logged = _log()
    found = support(logged, _policy(logged, 0.2, 0.3, 0.5, 0.0), 20.0)
    low, high = (refusal(found, UNLIMITED._replace(effective=bound)) for bound in least)
    assert not low or high
