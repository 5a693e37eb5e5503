from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from routecast.analytics.capacity.replayed import Arrivals
from routecast.analytics.capacity.scale import AHEAD_MIN, LoadTrend, load_trend, scale_hint, scale_up, scaled
from routecast.analytics.capacity.service_law import Law, TargetFit, Work
from routecast.analytics.capacity.sustainable import Search

Floats = NDArray[np.float64]


def ramp_ms(minutes: float, first_per_min: float, last_per_min: float, seed: int = 1) -> Floats:
    """Arrivals whose rate goes from one figure to another."""
    rng, n = np.random.default_rng(seed), int(minutes * (first_per_min + last_per_min) / 2)
    share = np.sort(rng.random(4 * n))
    kept = rng.random(4 * n) < (first_per_min + (last_per_min - first_per_min) * share) / (2 * (first_per_min + last_per_min))
    return np.asarray(share[kept] * minutes * 60_000.0)


def fit(slots: float) -> TargetFit:
    """A queue with answers of one second each."""
    law = Law(slots, 1.0, 0.0)
    return TargetFit("a", law, Work(1000.0, 0.0, 0.0), np.ones(100), 1000, int(slots), np.array([law]), np.ones(1))


def test_a_trend_is_a_trend_only_where_it_is_sure() -> None:
    """A ramp is found with its slope; a level is none, nor is anything under five minutes."""
    trend = load_trend(ramp_ms(30, 300, 600))
    assert trend.per_min2 == pytest.approx(10, rel=0.3)
    assert trend.now_per_min == pytest.approx(600, rel=0.1)
    assert trend.ahead_min == AHEAD_MIN
    assert sum(load_trend(ramp_ms(30, 300, 300, seed)).per_min2 != 0 for seed in range(40)) <= 6
    assert load_trend(ramp_ms(4, 300, 900)).per_min2 == 0.0
    assert load_trend(ramp_ms(8, 300, 900)).ahead_min == pytest.approx(8, rel=0.05)


def test_a_breach_is_announced_more_than_five_minutes_ahead() -> None:
    """Minute by minute along a ramp: the first hint comes early enough, stays, and asks for what is missing."""
    at_ms, sustainable = ramp_ms(60, 200, 800), 600.0  # met after 40 minutes
    hints = {}
    for minute in range(20, 41):
        seen = at_ms[(at_ms > (minute - 30) * 60_000.0) & (at_ms <= minute * 60_000.0)]
        hints[minute] = scale_up(load_trend(seen), sustainable, 10.0)
    first = min(minute for minute, hint in hints.items() if hint.action == "up")
    assert first <= 35
    assert all(hint.action == "up" for minute, hint in hints.items() if minute > first + 1)
    assert hints[39].slots in {2, 3, 4}
    assert "can be sustained" in hints[39].reason


def test_beyond_the_limit_it_is_reached_now() -> None:
    """Whatever the trend."""
    hint = scale_up(LoadTrend(700.0, 0.0, 0.0), 600.0, 12.0)
    assert (hint.action, hint.in_min, hint.slots) == ("up", 0.0, 2)


def test_a_breach_that_is_far_is_told_and_asks_for_nothing() -> None:
    """It may not come."""
    hint = scale_up(LoadTrend(300.0, 2.0, 15.0), 600.0, 12.0)
    assert (hint.action, hint.slots, hint.in_min) == ("none", 0, 150.0)
    assert scale_up(LoadTrend(300.0, -2.0, 15.0), 600.0, 12.0).in_min is None


@pytest.mark.parametrize(("slots", "action"), [(40.0, "down"), (8.0, "none")])
def test_down_where_half_would_do(slots: float, action: str) -> None:
    """Five requests a second of a second each: half of forty slots is plenty, half of eight too little."""
    rng = np.random.default_rng(2)
    at_ms = np.sort(rng.random(2000)) * 400_000.0
    requests = Arrivals(at_ms - at_ms[0], np.zeros(2000), np.zeros(2000), rng.random(2000))
    hint = scale_hint(LoadTrend(300.0, 0.0, 0.0), [fit(slots)], Search(requests, 500.0), slots * 50, 0)
    assert hint.action == action
    assert hint.slots == (-20 if action == "down" else 0)


def test_a_target_of_half_the_size_does_half_as_much() -> None:
    """Whatever its law, its limits too."""
    for law in (Law(8.0, 1.0, 0.0), Law(float("inf"), 6.0, 1 / 6)):
        whole = TargetFit("a", law, Work(1.0, 0.0, 0.0), np.ones(1), 1, 8, np.array([law]), np.ones(1), requests_per_s=4.0)
        half = scaled(whole, 0.5)
        assert half.law.most == pytest.approx(law.most / 2)
        assert half.requests_per_s == 2.0
