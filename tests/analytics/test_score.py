from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fleet.cost import Weights
from routecast.analytics.score import current_load, performance_score

ratios = st.floats(0, 1)
weights = st.builds(Weights, ratios, ratios, ratios).filter(lambda w: sum(w) > 0.01)


def _score(time_s: float, success: float, quality: float, of: Weights) -> float:
    return float(performance_score(np.array([time_s]), np.array([success]), np.array([quality]), 2.0, of)[0])


def test_the_score_is_that_of_the_text() -> None:
    """0.4·T_ref/(T_ref + T) + 0.3·s + 0.3·quality."""
    assert _score(3.0, 0.9, 0.7, Weights(0.4, 0.3, 0.3)) == pytest.approx(0.4 * 2 / 5 + 0.3 * 0.9 + 0.3 * 0.7)


@given(time_s=st.floats(0.001, 600), success=ratios, quality=ratios, of=weights, factor=st.floats(0.1, 100))
def test_the_score_is_a_ratio_and_knows_only_the_proportion_of_the_weights(time_s: float, success: float, quality: float, of: Weights, factor: float) -> None:
    """0..1 whatever the weights; ten times all of them is the same."""
    score = _score(time_s, success, quality, of)
    assert 0 <= score <= 1 + 1e-12
    assert _score(time_s, success, quality, Weights(*(factor * w for w in of))) == pytest.approx(score)


@given(time_s=st.floats(0.001, 600), success=ratios, quality=ratios, by=st.floats(1.01, 10), of=weights)
def test_the_score_never_rises_when_something_gets_worse(time_s: float, success: float, quality: float, by: float, of: Weights) -> None:
    """Slower, more failing, of poorer quality."""
    best = _score(time_s, success, quality, of) + 1e-12
    assert _score(time_s * by, success, quality, of) <= best
    assert _score(time_s, success / by, quality, of) <= best
    assert _score(time_s, success, quality / by, of) <= best


def test_each_weight_alone_is_its_own_metric() -> None:
    """A weight of 0 leaves its metric out."""
    assert [_score(2.0, 0.9, 0.7, Weights(*w)) for w in ((1, 0, 0), (0, 1, 0), (0, 0, 1))] == pytest.approx([0.5, 0.9, 0.7])


def test_current_load_is_what_is_free_of_a_target() -> None:
    """One more request would use (n + 1)/ĉ; nothing is free beyond capacity."""
    assert current_load(np.array([0.0, 3.0, 7.0, 50.0]), np.array([8.0] * 4)) == pytest.approx([7 / 8, 4 / 8, 0.0, 0.0])
    assert current_load(np.array([-3.0]), np.array([4.0])) == pytest.approx([3 / 4])
