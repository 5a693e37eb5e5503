from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.routing.patience import attempt_ms, hedge_after_ms, least_ms, limited, response_ms, serves
from routecast.models.snapshot import TargetScore


def _entry(**figures: Any) -> TargetScore:
    plain: dict[str, Any] = {
        "id": "t", "state": "ok", "time_s": 1.0, "service_s": 1.0, "capacity": 4.0, "share": 0.5, "in_flight": 0.0, "in_flight_mean": 0.0,
        "cost_s": 1.0, "success": 0.9, "fail_s": 1.0, "quality": 0.8, "n": 1000.0, "ttft_ms": tuple(100.0 * i for i in range(1, 17)),
    }  # fmt: skip
    return TargetScore(**(plain | figures))


def test_two_attempts_share_what_is_spare() -> None:
    """Ten seconds, both slow at 1.6 s, so 6.8 s are spare: whoever comes second must not fail because it is slower than slow."""
    assert attempt_ms(10_000.0, _entry(), [_entry()], 1.0) == pytest.approx(1600 + 3400)
    assert attempt_ms(10_000.0, _entry(), [_entry()], 1.0, 1.0) == pytest.approx(10_000 - 1600)


def test_an_attempt_is_not_cut_off_before_it_is_slow() -> None:
    """With 2.4 s left the first keeps its 1.6 s: the other has what it typically takes."""
    assert attempt_ms(2400.0, _entry(), [_entry()], 1.0) == pytest.approx(1600)


def test_where_no_second_attempt_fits_the_first_has_all_the_time() -> None:
    """Nobody else, or too little time for two."""
    assert attempt_ms(10_000.0, _entry(), [], 1.0) == 10_000.0
    assert attempt_ms(2300.0, _entry(), [_entry()], 1.0) == 2300.0


@given(left=st.floats(1, 1e6), one=st.floats(0.01, 100), two=st.floats(0.01, 100), tokens=st.floats(0, 5000))
def test_the_time_of_an_attempt_is_within_what_is_left(left: float, one: float, two: float, tokens: float) -> None:
    """And never below what a slow answer of the chosen target takes, where that fits."""
    chosen, other = _entry(ttft_ms=(), time_s=one), _entry(ttft_ms=tuple(two * i for i in range(1, 17)), tpot_ms=tuple(two * i for i in range(1, 17)))
    given_ms = attempt_ms(left, chosen, [other], tokens)
    assert 0 < given_ms <= left
    assert given_ms >= min(left, response_ms(chosen, 15, tokens)) - 1e-6


def test_the_response_time_counts_tokens() -> None:
    """First chunk, then the tokens behind it; from the mean where nothing was measured."""
    entry = _entry(tpot_ms=tuple(float(i) for i in range(1, 17)))
    assert response_ms(entry, 15, 101.0) == 1600 + 100 * 16
    assert response_ms(_entry(ttft_ms=()), 7, 100.0) == 1000.0
    assert response_ms(_entry(ttft_ms=()), 15, 100.0) == 4000.0


@pytest.mark.parametrize(("whole_ms", "least"), [(10_000.0, 1600.0), (2400.0, 1200.0), (1000.0, 800.0)])
def test_a_request_is_worth_starting_while_a_slow_answer_fits(whole_ms: float, least: float) -> None:
    """With little time in all, half of it; never less than a typical answer takes; no bound without evidence."""
    assert least_ms([_entry(), _entry(ttft_ms=(), time_s=0.001)], 1.0, whole_ms) == pytest.approx(least)
    assert least_ms([_entry(ttft_ms=())], 1.0, whole_ms) == 0.0


def test_a_hedge_is_due_at_the_95th_percentile_of_the_first_chunk() -> None:
    """Between the 91 % and the 97 % that are published; never without evidence."""
    assert hedge_after_ms(_entry()) == pytest.approx(1570)
    assert hedge_after_ms(_entry(ttft_ms=())) is None


@pytest.mark.parametrize(
    ("figures", "there", "back_later"),
    [
        ({"state": "ok"}, True, False),
        ({"state": "unknown"}, True, False),
        ({"state": "open"}, False, False),
        ({"state": "drained"}, False, False),
        ({"state": "rate_limited"}, False, True),
        ({"state": "ok", "headroom": 0.0}, False, True),
        ({"state": "open", "headroom": 0.0}, False, False),
    ],
)
def test_a_target_serves_or_is_held_back_by_its_rate_limit_or_is_gone(figures: dict[str, Any], there: bool, back_later: bool) -> None:
    """For what its rate limit holds back, waiting is worth while."""
    assert (serves(_entry(**figures)), limited(_entry(**figures))) == (there, back_later)
