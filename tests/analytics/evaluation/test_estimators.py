from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.evaluation import estimators as by
from routecast.analytics.evaluation.logged import Floats, Logged
from routecast.analytics.evaluation.outcome_model import predictions
from routecast.analytics.evaluation.policies import in_proportion, uniform

Draw = Callable[[int, Floats], Logged]
TIME: Final = "time_to_success_s"
Estimator = Callable[[Logged, Floats, Floats], by.Terms]
ESTIMATORS: dict[str, Estimator] = {
    "inverse_propensity": by.inverse_propensity,
    "self_normalised": by.self_normalised,
    "doubly_robust": lambda logged, policy, reward: by.doubly_robust(logged, policy, reward, predictions(logged, reward)),
    "matching_rows": by.matching_rows,
    "target_means": by.target_means,
}


def _any(drawn: Draw, seed: int) -> Logged:
    return drawn(seed, np.random.default_rng(seed).dirichlet(np.full(4, 2.0), 200))


@given(seed=st.integers(0, 10_000))
def test_the_logging_policy_itself_has_the_mean_of_its_log(drawn: Draw, seed: int) -> None:
    """Inverse propensity and its normalised form give exactly that; the doubly robust one too where its model is the same for all targets."""
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(4, 2.0), 300)
    logged = drawn(seed, chances)
    mean = float(logged.rewards[TIME].mean())
    assert by.inverse_propensity(logged, chances, logged.rewards[TIME]).value == pytest.approx(mean)
    assert by.self_normalised(logged, chances, logged.rewards[TIME]).value == pytest.approx(mean)
    flat = np.repeat(rng.random((300, 1)), 4, axis=1)
    assert by.doubly_robust(logged, chances, logged.rewards[TIME], flat).value == pytest.approx(mean)


@pytest.mark.parametrize("name", ESTIMATORS)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_the_rows_does_not_matter(drawn: Draw, name: str, seed: int) -> None:
    """A row keeps its part of the log wherever it stands."""
    logged = _any(drawn, seed)
    policy = np.random.default_rng(seed + 1).dirichlet(np.ones(4), 200)
    order = np.random.default_rng(seed + 2).permutation(200)
    shuffled = logged.rows(order)
    assert ESTIMATORS[name](shuffled, policy[order], shuffled.rewards[TIME]).value == pytest.approx(
        ESTIMATORS[name](logged, policy, logged.rewards[TIME]).value, rel=1e-9
    )


@pytest.mark.parametrize("name", ESTIMATORS)
@given(seed=st.integers(0, 10_000), factor=st.floats(1e-3, 1e3))
def test_a_reward_in_another_unit_gives_the_estimate_in_that_unit(drawn: Draw, name: str, seed: int, factor: float) -> None:
    """Seconds or milliseconds."""
    logged = _any(drawn, seed)
    policy = uniform(logged)
    value = ESTIMATORS[name](logged, policy, logged.rewards[TIME]).value
    assert ESTIMATORS[name](logged, policy, logged.rewards[TIME] * factor).value == pytest.approx(value * factor, rel=1e-9)


@given(seed=st.integers(0, 10_000))
def test_a_perfect_model_leaves_nothing_to_the_weights(drawn: Draw, seed: int) -> None:
    """Then the doubly robust terms are what the policy gets in each row, whatever was drawn with whatever probability."""
    logged = _any(drawn, seed)
    policy = np.random.default_rng(seed).dirichlet(np.ones(4), 200)
    truth = (1.0 + np.arange(4)) * (0.5 + logged.context)
    terms = by.doubly_robust(logged, policy, logged.of_chosen(truth), truth)
    assert terms.top == pytest.approx((policy * truth).sum(axis=1))


@given(seed=st.integers(0, 10_000), clip=st.floats(0.1, 50.0))
def test_weights_are_bounded_by_the_clip(drawn: Draw, seed: int, clip: float) -> None:
    """And are as they were below it."""
    logged = _any(drawn, seed)
    policy = uniform(logged)
    raw, clipped = by.weights(logged, policy), by.weights(logged, policy, clip)
    assert clipped.max() <= clip
    assert (clipped[raw <= clip] == raw[raw <= clip]).all()


def test_weighting_finds_what_the_naive_ways_miss() -> None:
    """A log that sends long requests to the fast target: by means of targets that target looks slow."""
    rng = np.random.default_rng(5)
    n = 20_000
    long = rng.random(n) < 0.5
    chances = np.where(long[:, None], [0.9, 0.1], [0.1, 0.9])
    chosen = (rng.random(n) > chances[:, 0]).astype(np.int64)
    time_s = np.where(long, 10.0, 1.0) * np.where(chosen == 0, 1.0, 1.5)
    logged = Logged.of(["fast", "slow"], chosen, chances[np.arange(n), chosen], {"time_to_success_s": time_s}, context=long[:, None].astype(float))
    always_fast = in_proportion(np.array([1.0, 0.0]), logged.allowed)
    found = {name: estimator(logged, always_fast, time_s).value for name, estimator in ESTIMATORS.items()}
    assert found["doubly_robust"] == pytest.approx(5.5, rel=0.01)
    assert found["self_normalised"] == pytest.approx(5.5, rel=0.05)
    assert found["inverse_propensity"] == pytest.approx(5.5, rel=0.08)
    assert found["matching_rows"] > 8.5
    assert found["target_means"] > 8.5
