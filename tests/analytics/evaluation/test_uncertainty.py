from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest

from routecast.analytics.evaluation import estimators as by
from routecast.analytics.evaluation.logged import Floats, Logged
from routecast.analytics.evaluation.policies import uniform
from routecast.analytics.evaluation.uncertainty import by_bootstrap, by_influence, half_width, within_reason
from routecast.models.report import Estimate

Draw = Callable[[int, Floats], Logged]
TIME: Final = "time_to_success_s"


def test_of_a_mean_the_interval_is_the_customary_one() -> None:
    """Student's, within a thousandth."""
    values = np.random.default_rng(1).normal(5.0, 2.0, 50)
    found = by_influence(by.on_policy(values), np.arange(50))
    half = 2.0096 * values.std(ddof=1) / math.sqrt(50)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-3)


def test_drawing_blocks_anew_gives_the_same_interval_for_a_ratio(drawn: Draw) -> None:
    """Of weighted sums ÷ sums of weights, within a tenth of its width."""
    logged = drawn(3, np.full((3000, 4), 0.25))
    terms = by.self_normalised(logged, uniform(logged), logged.rewards[TIME])
    one, other = by_influence(terms, logged.blocks), by_bootstrap(terms, logged.blocks, np.random.default_rng(1), rounds=2000)
    assert other.value == one.value
    assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=0.1 * (one.high - one.low))


def test_rows_that_share_their_luck_widen_the_interval() -> None:
    """Twenty rows that are always alike count as one: the interval is √20 times wider, by influence and by bootstrap."""
    luck = np.random.default_rng(2).normal(10.0, 1.0, 200)
    values, blocks = np.repeat(luck, 20), np.repeat(np.arange(200), 20)
    one = by_influence(by.on_policy(luck), np.arange(200))
    many = by_influence(by.on_policy(values), blocks)
    assert (many.low, many.high) == pytest.approx((one.low, one.high))
    drawn_anew = by_bootstrap(by.on_policy(values), blocks, np.random.default_rng(3), rounds=2000)
    assert drawn_anew.high - drawn_anew.low == pytest.approx(one.high - one.low, rel=0.1)


def test_blocks_never_narrow_the_interval() -> None:
    """Rows that balance each other within a block may do so by chance."""
    values = np.tile([1.0, -1.0], 100)
    assert half_width(values, np.repeat(np.arange(100), 2)) >= half_width(values, np.arange(200)) * 0.99


def test_one_block_says_nothing_of_the_spread() -> None:
    """The interval has no bounds, rather than none."""
    found = by_influence(by.on_policy(np.arange(10.0)), np.zeros(10, np.int64))
    assert (found.value, found.low, found.high) == (4.5, -math.inf, math.inf)


def test_what_never_happened_may_still_happen() -> None:
    """No failure among rows that tell as much as a hundred: the ratio may be 0.97; it is never above 1."""
    assert within_reason(Estimate(value=1.0, low=1.0, high=1.0), 0.0, 1.0, 0.03) == Estimate(value=1.0, low=0.97, high=1.0)
    assert within_reason(Estimate(value=1.02, low=0.9, high=1.1), 0.0, 1.0, 0.0) == Estimate(value=1.0, low=0.9, high=1.0)
