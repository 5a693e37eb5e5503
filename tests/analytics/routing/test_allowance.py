"""What a rate limit leaves to one router of many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.routing.allowance import Allowance
from routecast.models.limits import Quota


def test_a_configured_limit_lets_ten_seconds_of_it_pass_at_once() -> None:
    """And then its rate."""
    allowance = Allowance.configured(60.0)
    for _ in range(10):
        assert allowance.wait_ms(1.0, 1.0, 1e9) == 0
        allowance.used += 1.0
    assert allowance.wait_ms(1.0, 1.0, 1e9) == pytest.approx(1000.0)
    assert allowance.headroom(1.0, 1e9) == 0
    assert allowance.headroom(1.0, 1e9 + 5000.0) == pytest.approx(0.5)


def test_the_room_says_how_much_may_be_used_before_it_is_worth_a_look() -> None:
    """Of everybody's rest, this router's part, one request kept."""
    allowance = Allowance.configured(600.0)
    assert allowance.wait_ms(1.0, 4.0, 0.0) == 0
    assert allowance.room == 24
    allowance.used += 24.0
    assert allowance.wait_ms(1.0, 4.0, 0.0) == 0
    allowance.used += 1.0
    assert allowance.wait_ms(1.0, 4.0, 0.0) == pytest.approx(400.0)


def test_a_header_replaces_what_was_believed() -> None:
    """The rest, the capacity and the rate at which it fills are the provider's."""
    allowance = Allowance.configured(60.0)
    allowance.told(Quota(20, limit=100, reset_ms=8000), 1000.0, 0.0, 1.0, 1000.0)
    assert allowance.headroom(1.0, 1000.0) == pytest.approx(0.2)
    assert allowance.headroom(1.0, 5000.0) == pytest.approx(0.6, abs=0.01)
    assert allowance.per_min == pytest.approx(600.0, rel=0.01)


def test_what_was_used_since_the_request_began_is_taken_off_the_header() -> None:
    """It tells what was left when its request was let in; requests that began later are not in it, and it has filled since."""
    allowance = Allowance(0.0, 100.0, 0.0)
    allowance.used += 1.0
    used_then = allowance.used
    allowance.used += 3.0
    allowance.told(Quota(70, limit=100, reset_ms=3000), 0.0, used_then, 10.0, 2000.0)
    assert allowance.headroom(10.0, 2000.0) == pytest.approx((70 + 20 - 30) / 100, abs=0.01)


def test_an_older_request_does_not_overrule_a_newer_one() -> None:
    """Slow answers arrive late and tell what was."""
    allowance = Allowance(0.0, 100.0, 0.0)
    allowance.told(Quota(10, limit=100), 5000.0, 0.0, 1.0, 6000.0)
    allowance.told(Quota(90, limit=100), 1000.0, 0.0, 1.0, 7000.0)
    assert allowance.headroom(1.0, 7000.0) < 0.2


def test_a_window_fills_at_its_end_and_not_before() -> None:
    """Unlike a bucket."""
    allowance = Allowance(0.0, 10.0, 0.0)
    allowance.told(Quota(0, limit=10, reset_ms=30_000, even=False), 0.0, 0.0, 1.0, 0.0)
    assert allowance.headroom(1.0, 29_999.0) == 0
    assert allowance.wait_ms(1.0, 1.0, 10_000.0) == 20_000
    assert allowance.headroom(1.0, 30_000.0) == 1
    assert allowance.per_min == 20


def test_estimates_are_settled_unless_a_header_came_in_between() -> None:
    """What came of a call that began before the header's is in the header."""
    allowance = Allowance.configured(60_000.0)
    allowance.used += 4000.0
    allowance.settle(4000.0, 1000.0, 10.0)
    assert allowance.headroom(1.0, 10.0) == pytest.approx(0.9)
    allowance.told(Quota(5000, limit=10_000), 20.0, allowance.used, 1.0, 20.0)
    allowance.settle(4000.0, 0.0, 10.0)
    assert allowance.headroom(1.0, 20.0) == pytest.approx(0.5)


def test_a_debt_ends() -> None:
    """Whoever goes on all the same when nothing is left does not close a target for longer than five minutes."""
    allowance = Allowance.configured(60.0)
    for _ in range(1000):
        allowance.used += 1.0
        allowance.wait_ms(1.0, 1.0, 0.0)
    assert 299_000 <= allowance.wait_ms(1.0, 1.0, 0.0) <= 301_000


TOLD = st.tuples(
    st.floats(0, 1e8), st.one_of(st.none(), st.floats(0.1, 1e8)), st.one_of(st.none(), st.floats(0, 864e5)), st.booleans(), st.floats(0, 1e5),
    st.floats(0, 1e4),
)  # fmt: skip


@given(st.lists(TOLD, max_size=20), st.floats(1, 64))
def test_whatever_headers_say_the_figures_stay_in_range(told: list[tuple[float, float | None, float | None, bool, float, float]], replicas: float) -> None:
    """Headroom within 0..1, no wait below 0, nothing that is not a number."""
    allowance, now_ms = Allowance.configured(600.0), 0.0
    for remaining, limit, reset_ms, even, pause_ms, amount in told:
        now_ms += pause_ms
        began_ms = now_ms
        allowance.used += amount
        used_then = allowance.used
        now_ms += pause_ms
        allowance.told(Quota(remaining, limit, reset_ms, even), began_ms, used_then, replicas, now_ms)
        assert 0 <= allowance.headroom(replicas, now_ms) <= 1
        assert allowance.wait_ms(amount, replicas, now_ms) >= 0
        assert allowance.room >= allowance.used
