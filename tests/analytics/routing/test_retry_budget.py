from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.routing.retry_budget import TAU_S, RetryBudget

STEPS = st.lists(st.tuples(st.floats(0, 30), st.booleans(), st.floats(0.1, 5)), max_size=200)


@given(steps=STEPS, ratio=st.floats(0, 0.5), reserve=st.floats(0, 20))
def test_withdrawals_never_exceed_what_was_deposited_and_the_reserve(steps: list[tuple[float, bool, float]], ratio: float, reserve: float) -> None:
    """Over any history: ratio × deposits + reserve × (1 + minutes)."""
    budget, now_s, deposited, withdrawn = RetryBudget(ratio, reserve, 0.0), 0.0, 0.0, 0.0
    for after_s, is_request, size in steps:
        now_s += after_s
        if is_request:
            budget.deposit(now_s, size)
            deposited += size
        elif budget.withdraw(now_s, size):
            withdrawn += size
        assert withdrawn <= ratio * deposited + reserve * (1 + now_s / 60) + 1e-6
        assert budget.available >= 0


def test_every_tenth_request_can_be_retried_for_ever() -> None:
    """A steady ratio of failures below the budget is retried in full, once the first deposits are there."""
    budget, refused = RetryBudget(0.1, 2.0, 0.0), 0
    for i in range(10_000):
        budget.deposit(i * 0.01)
        refused += i % 20 == 19 and not budget.withdraw(i * 0.01)
    assert refused == 0


def test_when_everything_fails_the_extra_load_is_the_ratio() -> None:
    """Three attempts wanted by each of a thousand requests within a second: a tenth of them and the reserve come through."""
    budget, extra = RetryBudget(0.1, 10.0, 0.0), 0
    for i in range(1000):
        budget.deposit(i / 1000)
        extra += sum(budget.withdraw(i / 1000) for _ in range(2))
    assert extra == pytest.approx(110, abs=3)


def test_deposits_fade_and_the_reserve_comes_back() -> None:
    """An hour ago pays for two at most; a quiet minute refills the reserve, and no more than it."""
    budget = RetryBudget(0.5, 2.0, 0.0)
    for _ in range(100):
        budget.deposit(0.0)
    assert budget.available == pytest.approx(52)
    assert budget.withdraw(20 * TAU_S, 4.0)
    assert not budget.withdraw(20 * TAU_S, 0.1)
    assert budget.withdraw(20 * TAU_S + 30, 1.0)
    budget.deposit(20 * TAU_S + 3600, 0.0)
    assert budget.available == pytest.approx(2.0)


def test_rare_requests_save_up_for_one() -> None:
    """One in a minute: every twentieth can be hedged, though nothing is in reserve."""
    budget = RetryBudget(0.05, 0.0, 0.0)
    paid = 0
    for i in range(200):
        budget.deposit(60.0 * i, 300.0)
        paid += budget.withdraw(60.0 * i + 2.0, 300.0)
    assert paid == 10


def test_a_refused_withdrawal_takes_nothing() -> None:
    """The next smaller one is still paid."""
    budget = RetryBudget(0.1, 1.0, 0.0)
    assert not budget.withdraw(0.0, 1.5)
    assert budget.withdraw(0.0, 1.0)


def test_a_clock_that_steps_back_changes_nothing() -> None:
    """Threads may read the clock in one order and come in another."""
    budget = RetryBudget(0.1, 6.0, 100.0)
    assert budget.withdraw(100.0, 6.0)
    budget.deposit(50.0, 0.0)
    assert not budget.withdraw(100.0, 0.5)
