"""Refusals, as the fleet takes them."""

from __future__ import annotations

import pytest

from routecast.analytics.fleet.refusals import Refusals
from routecast.models.rows import TargetTotals
from routecast.models.snapshot import State

NOW_MS = 1_000_000.0


def refused(at_ms: float, hold_ms: int, n: int = 1) -> TargetTotals:
    """What is new of a target that refused."""
    return TargetTotals("a", rate_limited=n, refused=(int(at_ms) + hold_ms, hold_ms))


@pytest.fixture
def refusals() -> Refusals:
    """Of one target that has never refused."""
    made = Refusals()
    made.grow(1)
    made.update(NOW_MS, [TargetTotals("a")])
    return made


def test_a_target_that_refuses_is_left_alone_until_its_time(refusals: Refusals) -> None:
    """The fleet hears at once, of the refusal and of its end; what is open stays open."""
    news = refused(NOW_MS + 300, 20_000)
    assert refusals.urgent(NOW_MS + 500, [news])
    refusals.update(NOW_MS + 500, [news])
    assert [refusals.state(0, state) for state in ("ok", "degraded", "open")] == ["rate_limited", "rate_limited", "open"]
    assert not refusals.urgent(NOW_MS + 600, [news])
    assert refusals.urgent(NOW_MS + 20_300, [news])
    refusals.update(NOW_MS + 20_300, [TargetTotals("a", refused=news.refused)])
    assert refusals.state(0, "ok") == "ok"
    assert not refusals.urgent(NOW_MS + 20_400, [news])


def test_short_refusals_are_nobody_elses_business(refusals: Refusals) -> None:
    """A bucket that lacks one request is full enough before others could hear of it."""
    assert not refusals.urgent(NOW_MS + 100, [refused(NOW_MS + 50, 200)])


def test_a_target_that_named_too_short_a_time_stays_away_twice_as_long(refusals: Refusals) -> None:
    """And again, up to five minutes; once it was back for as long as it was away, the provider is believed again."""
    now_ms, state = NOW_MS, list[State]()
    for hold_ms in (4000.0, 8000.0, 16_000.0):
        refusals.update(now_ms, [refused(now_ms, 4000)])
        refusals.update(now_ms + hold_ms - 1, [TargetTotals("a")])
        state.append(refusals.state(0, "ok"))
        now_ms += hold_ms
        refusals.update(now_ms, [TargetTotals("a")])
        state.append(refusals.state(0, "ok"))
    assert state == ["rate_limited", "ok"] * 3
    refusals.update(now_ms + 17_000, [refused(now_ms + 17_000, 4000)])
    refusals.update(now_ms + 21_000, [TargetTotals("a")])
    assert refusals.state(0, "ok") == "ok"


def test_nobody_is_kept_away_for_longer_than_five_minutes(refusals: Refusals) -> None:
    """Whatever clocks and headers say."""
    refusals.update(NOW_MS, [refused(NOW_MS + 59_000, 300_000)])
    refusals.update(NOW_MS + 299_999, [TargetTotals("a")])
    assert refusals.state(0, "ok") == "rate_limited"
    refusals.update(NOW_MS + 300_000, [TargetTotals("a")])
    assert refusals.state(0, "ok") == "ok"
