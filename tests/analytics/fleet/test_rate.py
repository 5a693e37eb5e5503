from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fleet.rate import ArrivalRate, MeanInFlight, MinuteUse


def test_the_first_rate_is_what_arrived() -> None:
    """No slow beginning from zero."""
    assert ArrivalRate().update(2.0, 1.0, 50) == 25.0


def test_half_of_the_rate_is_the_last_period() -> None:
    """At short periods; 70 % from five seconds on."""
    for period_s, weight in ((1.0, 0.5), (2.0, 0.5), (5.0, 0.7), (15.0, 0.7)):
        rate = ArrivalRate()
        rate.update(period_s, period_s, round(100 * period_s))
        assert rate.update(period_s, period_s, round(200 * period_s)) == pytest.approx(100 + 100 * weight)


def test_ticks_before_their_time_count_by_their_length() -> None:
    """Two half periods are as much as a whole one."""
    whole, halves = ArrivalRate(), ArrivalRate()
    for rate in (whole, halves):
        rate.update(1.0, 1.0, 100)
    whole.update(1.0, 1.0, 200)
    for _ in range(2):
        halves.update(0.5, 1.0, 100)
    assert halves.per_s == pytest.approx(whole.per_s)


def test_the_rate_is_at_least_one_a_second() -> None:
    """Shares of no traffic at all are those of a little."""
    rate = ArrivalRate()
    assert rate.per_s == 1.0
    assert rate.update(1.0, 1.0, 0) == 1.0
    assert rate.update(1.0, 1.0, 40) == 40.0


def test_a_jump_replaces_the_rate() -> None:
    """A surge is no matter for an average."""
    rate = ArrivalRate()
    rate.update(1.0, 1.0, 100)
    rate.jump(300.0)
    assert rate.per_s == 300.0


def _rate(per_s: float) -> ArrivalRate:
    rate = ArrivalRate()
    rate.jump(per_s)
    return rate


def test_a_change_of_a_fifth_is_a_surge_in_either_direction() -> None:
    """Where there is enough traffic to tell."""
    assert [_rate(1000.0).surging(n, 2.0) for n in (1500, 1650, 2000, 2350, 2450)] == [True, False, False, False, True]


def test_chance_is_no_surge() -> None:
    """With little traffic a fifth is nothing: what three standard deviations explain is not published at once."""
    luck = np.random.default_rng(4)
    alarms = sum(_rate(10.0).surging(int(n), 2.0) for n in luck.poisson(20, 10_000))
    assert alarms < 60
    assert _rate(10.0).surging(40, 2.0)


def test_the_mean_in_flight_follows_with_five_seconds() -> None:
    """63 % of a change after five seconds of short ticks, 70 % after one long one."""
    short, long = MeanInFlight(), MeanInFlight()
    for average in (short, long):
        average.update(5.0, np.zeros(2))
    for _ in range(10):
        short.update(0.4999999, np.array([10.0, 20.0]))
    assert short.values == pytest.approx(np.array([10.0, 20.0]) * (1 - 1 / math.e), rel=1e-4)
    assert long.update(15.0, np.array([10.0, 20.0])) == pytest.approx([7.0, 14.0])


def test_a_new_target_begins_at_its_own_in_flight() -> None:
    """It does not climb from zero, and the others keep their average."""
    average = MeanInFlight()
    average.update(1.0, np.array([4.0]))
    assert list(average.update(1.0, np.array([4.0, 30.0]))) == [4.0, 30.0]


@given(seed=st.integers(0, 1000), tick_s=st.floats(0.1, 5))
def test_the_use_of_a_minute_is_smooth(seed: int, tick_s: float) -> None:
    """A target asked nine times in ten seconds on average is never taken for one that is asked more than 1.6 times a second."""
    luck, use = np.random.default_rng(seed), MinuteUse()
    seen = [float(use.update(tick_s, luck.poisson([0.9 * tick_s]).astype(float))[0]) for _ in range(int(300 / tick_s))]
    assert max(seen) < 1.6
    assert np.mean(seen[len(seen) // 2 :]) == pytest.approx(0.9, abs=0.35)


def test_the_use_of_a_minute_fades_and_grows() -> None:
    """A burst is forgotten after minutes; a new target begins with none."""
    use = MinuteUse()
    assert list(use.update(1.0, np.array([60.0]))) == [1.0]
    assert use.update(60.0, np.array([0.0, 6.0])) == pytest.approx([1 / math.e, 0.1])
