from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.experiments.confidence_sequence import needed, radius, tuned


def test_the_radius_is_the_published_formula() -> None:
    """At r² = 1/t it is sd · √(4/t · ln(√2/α))."""
    assert radius(400.0, 2.0, 1.0 / 400.0, 0.05) == pytest.approx(2.0 * math.sqrt(4.0 / 400.0 * math.log(math.sqrt(2.0) / 0.05)))
    assert radius(0.0, 1.0, 0.001, 0.05) == math.inf


@given(st.floats(10.0, 1e6), st.floats(1e-3, 0.2), st.floats(0.2, 5.0))
def test_it_is_tightest_where_it_was_planned(planned: float, alpha: float, other: float) -> None:
    """No other r is more than a hundredth better at the planned number of observations."""
    best = radius(planned, 1.0, tuned(planned, alpha), alpha)
    assert best <= 1.01 * radius(planned, 1.0, other * tuned(planned, alpha), alpha)


@given(st.floats(0.01, 1.0))
def test_what_is_needed_for_an_effect_just_suffices(effect: float) -> None:
    """The radius there is the effect, within a thousandth."""
    r2 = tuned(10_000, 0.05)
    n = needed(effect, 1.0, r2, 0.05, most=1e9)
    assert n is not None
    assert radius(n, 1.0, r2, 0.05) == pytest.approx(effect, rel=2e-3)


def test_an_effect_that_is_too_small_is_never_certain() -> None:
    """Nothing is promised of it."""
    assert needed(0.0, 1.0, tuned(10_000, 0.05), 0.05, most=1e9) is None
