from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from routecast.analytics.fleet.cost import Estimates, Weights, expected_cost

USUAL = Weights(0.4, 0.3, 0.3)
N = 5
times = st.lists(st.floats(0.05, 60), min_size=N, max_size=N)
ratios = st.lists(st.floats(0.01, 1), min_size=N, max_size=N)
prices = st.lists(st.floats(0, 0.1), min_size=N, max_size=N)


def _estimates(time_s: list[float], success: list[float], quality: list[float], usd: list[float], fail_s: list[float] | None = None) -> Estimates:
    return Estimates(*(np.array(figures) for figures in (time_s, success, fail_s or time_s, quality, usd)))


def test_the_cost_is_that_of_the_text() -> None:
    """Time, retries with two seconds each, the slope of the score, the price; written out for two targets."""
    e = _estimates([1.0, 3.0], [0.9, 0.6], [0.8, 0.5], [0.01, 0.02], [0.5, 4.0])
    slope = 4 * 2.0
    first = 1.0 + 0.1 / 0.9 * 2.5 + 0.01 * 20
    second = 3.0 + 0.4 / 0.6 * 6.0 + slope * (0.3 / 0.4 * 0.3 + 0.3 / 0.4 * 0.3) + 0.02 * 20
    assert expected_cost(e, USUAL, 20.0) == pytest.approx([first, second])


@pytest.mark.parametrize("worse", ["time_s", "success", "fail_s", "quality", "usd"])
@given(time_s=times, success=ratios, fail_s=times, quality=ratios, usd=prices, by=st.floats(1.01, 10))
def test_what_makes_a_target_worse_makes_it_no_cheaper_beside_the_others(
    worse: str, time_s: list[float], success: list[float], fail_s: list[float], quality: list[float], usd: list[float], by: float
) -> None:
    """Its cost over that of every other does not fall, as long as the service's median time stays what it was."""
    e = _estimates(time_s, success, quality, usd, fail_s)
    figures = getattr(e, worse).copy()
    figures[0] = figures[0] / by if worse in {"success", "quality"} else figures[0] * by
    changed = e._replace(**{worse: figures})
    assume(np.median(changed.time_s) == np.median(e.time_s))
    before, after = expected_cost(e, USUAL, 50.0), expected_cost(changed, USUAL, 50.0)
    assert (after[0] - after[1:] >= before[0] - before[1:] - 1e-9 * before.max()).all()


@given(time_s=times, success=ratios, quality=ratios, one=st.floats(0, 5), other=st.floats(0, 5))
def test_weights_say_nothing_between_equals(time_s: list[float], success: list[float], quality: list[float], one: float, other: float) -> None:
    """Where all are as reliable and as good, only time, retries and price count, whatever the weights."""
    e = _estimates(time_s, [success[0]] * N, [quality[0]] * N, [0.0] * N)
    assert expected_cost(e, Weights(0.4, one, other), 0.0) == pytest.approx(expected_cost(e, USUAL, 0.0))


def test_a_weight_of_time_of_zero_does_not_divide_by_zero() -> None:
    """It counts as 0.05."""
    e = _estimates([1.0, 2.0], [0.9, 0.8], [0.8, 0.9], [0.0, 0.0])
    assert expected_cost(e, Weights(0.0, 0.3, 0.3), 0.0) == pytest.approx(expected_cost(e, Weights(0.05, 0.3, 0.3), 0.0))


def test_a_dead_target_has_a_finite_cost() -> None:
    """However sure its failure is and however long it takes, the figure fits into a snapshot."""
    e = _estimates([1.0, 1.0], [1e-12, 0.9], [0.8, 0.8], [0.0, 0.0], [86_400.0, 1.0])
    assert expected_cost(e, USUAL, 0.0)[0] == 1e8
    assert expected_cost(_estimates([1.0] * 2, [0.9] * 2, [0.8] * 2, [1e6, 0.0]), USUAL, 1e300)[0] == 1e8
