from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.changes.trends import WINDOW_MS, TrendTracker
from routecast.analytics.checkpoint import pack, restore, state_of, unpack
from routecast.analytics.windows.period import Period
from routecast.models.insights import Subject, Trend

T = 1_700_000_040_000.0
SUBJECTS = (Subject(kind="target", id="a", service="chat"), Subject(kind="service", id="chat", service="chat"))


def period(
    start_ms: float, end_ms: float, requests: float = 100.0, ms: float = 500.0, failed: float = 0.0, quality: float | None = None, subjects: int = 2
) -> Period:
    """All subjects did the same."""

    def every(value: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.full(subjects, float(value))

    return Period(
        start_ms=start_ms, end_ms=end_ms, subjects=SUBJECTS[:subjects], ok=every(requests - failed), error=every(failed),
        timeout=every(0), rate_limited=every(0), requests=every(requests),
        slow=every(0), duration_n=every(requests - failed), duration_ms=every((requests - failed) * ms), ttft_n=every(0),
        ttft_ms=every(0), tpot_n=every(0), tpot_ms=every(0), quality_n=every(0 if quality is None else requests), quality_sum=every((quality or 0) * requests),
        cost_usd=every(0.01 * requests),
    )  # fmt: skip


def hour(of_minute: Callable[[int], Period], tracker: TrendTracker | None = None, minutes: int = 60) -> TrendTracker:
    """A tracker that has seen these minutes."""
    tracker = tracker or TrendTracker()
    for minute in range(minutes):
        tracker.update(of_minute(minute))
    return tracker


def minute(number: int) -> tuple[float, float]:
    """Its beginning and end."""
    return T + number * WINDOW_MS, T + (number + 1) * WINDOW_MS


def found(tracker: TrendTracker, place: int = 0) -> dict[str, Trend]:
    """Trends of one subject by metric."""
    return {trend.metric: trend for trend in tracker.trends(tracker.fitted([place]), [SUBJECTS[place]])}


def test_answers_that_take_longer_and_longer_decline() -> None:
    """The trend says from where to where, and how sure it is."""
    trend = found(hour(lambda m: period(*minute(m), ms=500.0 + 5.0 * m)))["response_time"]
    assert (trend.trend, trend.windows, trend.end_ms) == ("declining", 60, T + 3_600_000)
    assert trend.previous == pytest.approx(500, rel=0.03)
    assert trend.current == pytest.approx(795, rel=0.03)
    assert trend.change_ratio == pytest.approx(0.59, abs=0.06)
    assert trend.confidence == pytest.approx(1.0, abs=1e-3)
    assert Trend.model_validate(trend.model_dump()) == trend


def test_more_is_better_for_some_metrics() -> None:
    """Rising throughput and quality improve, rising errors decline; a price that stays is stable."""
    trends = found(hour(lambda m: period(*minute(m), requests=1000 + 20 * m, failed=10 + 2 * m, quality=0.5 + 0.005 * m)))
    directions = {metric: trends[metric].trend for metric in ("throughput", "quality", "error_ratio", "cost")}
    assert directions == {"throughput": "improving", "quality": "improving", "error_ratio": "declining", "cost": "stable"}


def test_an_error_ratio_of_nothing_is_stable_at_nothing() -> None:
    """Zero has no logarithm, and needs none."""
    trend = found(hour(lambda m: period(*minute(m))))["error_ratio"]
    assert (trend.trend, trend.current, trend.change, trend.change_ratio) == ("stable", 0.0, 0.0, None)


def test_one_failure_in_many_is_no_trend() -> None:
    """Twice nearly nothing is nearly nothing: the share must move by a tenth of a percentage point."""
    assert found(hour(lambda m: period(*minute(m), requests=10_000, failed=m / 15)))["error_ratio"].trend == "stable"


def test_a_metric_nobody_reports_is_left_out() -> None:
    """There is nothing to say of time to first chunk without streams."""
    assert set(found(hour(lambda m: period(*minute(m))))) == {"response_time", "error_ratio", "throughput", "cost"}


def test_quiet_minutes_weigh_little() -> None:
    """Two requests that took long are no trend; a minute without requests has no response time."""
    tracker = hour(lambda m: period(*minute(m)) if m < 55 else period(*minute(m), requests=2, ms=5000))
    trend = found(tracker)["response_time"]
    assert trend.windows == 55
    assert trend.current == pytest.approx(500, rel=0.01)


def test_minutes_with_few_requests_weigh_little() -> None:
    """Every fifth minute of the second half is three times as slow, on four requests instead of a hundred."""
    tracker = hour(lambda m: period(*minute(m), requests=4, ms=1500) if m >= 30 and m % 5 == 0 else period(*minute(m)))
    assert found(tracker)["response_time"].current == pytest.approx(500, rel=0.05)


def test_how_minutes_are_cut_into_periods_leaves_no_trace() -> None:
    """Six looks of ten seconds say what one of a minute says."""
    whole, parts = TrendTracker(), TrendTracker()
    for m in range(30):
        start_ms, end_ms = minute(m)
        whole.update(period(start_ms, end_ms, requests=60 + m))
        for part in range(6):
            parts.update(period(start_ms + part * 10_000, start_ms + (part + 1) * 10_000, requests=(60 + m) / 6))
    assert found(whole) == found(parts)


def test_a_gap_is_no_fall_of_throughput() -> None:
    """A leader that was away for ten minutes sees one long period at the usual rate, and nine minutes nobody knows of."""
    tracker = hour(lambda m: period(*minute(m)), minutes=30)
    tracker.update(period(T + 30 * WINDOW_MS, T + 40 * WINDOW_MS, requests=1000))
    trend = found(tracker)["throughput"]
    assert (trend.trend, trend.windows) == ("stable", 31)
    assert trend.current == pytest.approx(100, rel=0.01)


def test_what_is_an_hour_old_is_forgotten() -> None:
    """Sixty windows, also after a gap of hours."""
    tracker = hour(lambda m: period(*minute(m), ms=50.0))
    hour(lambda m: period(*minute(m + 600), ms=500.0), tracker, minutes=20)
    trend = found(tracker)["response_time"]
    assert (trend.windows, trend.trend) == (20, "stable")
    assert trend.previous == pytest.approx(500, rel=0.01)


def test_a_period_that_is_known_counts_once() -> None:
    """After a change of leader the last periods may come again."""
    tracker = hour(lambda m: period(*minute(m)), minutes=20)
    hour(lambda m: period(*minute(m), ms=9000), tracker, minutes=20)
    assert found(tracker)["response_time"].current == pytest.approx(500, rel=0.01)


@given(st.integers(1, 90), st.integers(0, 5))
def test_a_new_leader_goes_on_as_if_nothing_had_happened(minutes: int, parts: int) -> None:
    """State through bytes and back, in the middle of a minute: the same trends, bit for bit."""

    def part(m: int, p: int) -> Period:
        start_ms = minute(m)[0] + p * 10_000
        return period(start_ms, start_ms + 10_000, requests=30 + (m * 7 + p) % 11, ms=400 + (m * 13) % 37, quality=0.8)

    old, new = TrendTracker(), TrendTracker()
    for m in range(minutes):
        for p in range(6):
            old.update(part(m, p))
    for p in range(parts):
        old.update(part(minutes, p))
    restore(new, unpack(pack(state_of(old))))
    for tracker in (old, new):
        for p in range(parts, 6):
            tracker.update(part(minutes, p))
    assert pack(state_of(old)) == pack(state_of(new))
    assert found(old, 1) == found(new, 1)


def test_a_newcomer_begins_with_nothing() -> None:
    """Others keep what they have."""
    tracker = TrendTracker()
    for m in range(20):
        tracker.update(period(*minute(m), subjects=1))
    tracker.update(period(*minute(20)))
    assert (found(tracker)["throughput"].windows, found(tracker, 1)["throughput"].windows) == (21, 1)
