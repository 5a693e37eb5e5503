from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from routecast.analytics.shares import planned_shares

Floats = NDArray[np.float64]
NONE = np.inf


def _plan(rate: float, cost: list[float], service: list[float], capacity: list[float], limit: list[float] | None = None) -> Floats:
    return planned_shares(rate, np.array(cost), np.array(service), np.array(capacity), np.array(limit or [NONE] * len(cost)))


@given(
    st.lists(st.tuples(st.floats(0.05, 30), st.floats(0.05, 30), st.floats(1, 300), st.one_of(st.just(NONE), st.floats(0.01, 100))), min_size=1, max_size=25),
    st.floats(0.1, 10_000),
)
def test_shares_are_shares(targets: list[tuple[float, float, float, float]], rate: float) -> None:
    """Not negative, and their sum is one, under any load and any limits."""
    shares = _plan(rate, *(list(column) for column in zip(*targets, strict=True)))
    assert np.isfinite(shares).all()
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1.0)


def test_equals_get_equal_shares() -> None:
    """Four alike: a quarter each."""
    assert _plan(5.0, [1.0] * 4, [1.0] * 4, [3.0] * 4) == pytest.approx([0.25] * 4, abs=1e-4)


def _marginal(rate: float, share: float, cost: float, service: float, capacity: float) -> float:
    """Marginal cost of one more request, written out from the queueing approximation."""
    slots = min(capacity, 3 + 1.3 * rate * service)
    rho, p = share * rate * service / slots, np.sqrt(2 * (slots + 1)) - 1
    return float(cost * (1 + 0.5 / slots * rho**p * ((p + 1) * (1 - rho) + rho) / (1 - rho) ** 2))


def test_one_more_request_costs_the_same_everywhere() -> None:
    """Among the targets that get something; those that get nothing are dearer."""
    cost, service, capacity = [1.0, 1.4, 2.0, 9.0], [1.0, 1.4, 2.0, 9.0], [8.0, 20.0, 12.0, 4.0]
    rate = 18.0
    shares = _plan(rate, cost, service, capacity)
    marginal = [_marginal(rate, *one) for one in zip(shares, cost, service, capacity, strict=True)]
    used = [m for m, share in zip(marginal, shares, strict=True) if share > 0.001]
    assert max(used) / min(used) == pytest.approx(1.0, abs=0.03)
    assert all(m >= min(used) * 0.97 for m in marginal)


def test_a_rate_limit_caps_the_share_while_others_have_room() -> None:
    """At most 92 % of the limit."""
    shares = _plan(10.0, [0.5, 1.0, 1.0], [0.5, 1.0, 1.0], [50.0] * 3, [2.0, NONE, NONE])
    assert shares[0] * 10.0 <= 0.92 * 2.0 + 1e-6
    assert _plan(10.0, [0.5, 1.0, 1.0], [0.5, 1.0, 1.0], [50.0] * 3)[0] > 0.5


def test_where_all_limits_bind_shares_follow_the_limits() -> None:
    """Nothing is left to plan; no target is asked for more than its part."""
    assert _plan(100.0, [1.0, 1.0], [1.0, 1.0], [500.0] * 2, [10.0, 30.0]) == pytest.approx([0.25, 0.75], abs=0.01)


def test_a_dear_target_gets_nothing_at_low_load_and_something_at_high() -> None:
    """It is planned in when the cheap one begins to queue."""
    low, high = (_plan(rate, [1.0, 3.0], [1.0, 3.0], [4.0, 12.0]) for rate in (0.5, 6.0))
    assert low[1] == pytest.approx(0.0, abs=1e-6)
    assert high[1] > 0.2
