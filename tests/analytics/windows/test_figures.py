"""Figures that people read against a few attempts counted by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fold import PartitionFold
from routecast.analytics.windows.columns import columns_of
from routecast.analytics.windows.figures import details_of, quantiles_ms
from routecast.analytics.windows.parts import summed
from routecast.analytics.windows.window import Window
from routecast.models.details import Duration, Judgement, LateDetails, Resources, WindowDetails
from routecast.models.events import Completed, Event, Feedback, Outcome
from routecast.models.events import Resources as Report
from routecast.models.rows import PaneRow, decode_row

T0 = 1_700_000_000_000


def window_of(events: Sequence[Event], minutes: float = 1.0) -> Window:
    """A window of target `a` with these events."""
    fold = PartitionFold(0)
    fold.apply(0, T0, events)
    rows = [row for key, value in fold.flush() if value and isinstance(row := decode_row(key, value), PaneRow)]
    return Window(T0, T0 + round(minutes * 60_000), summed(columns_of(rows, lambda _: 0), 1))


def figures_of(*events: Event, minutes: float = 1.0) -> WindowDetails:
    """The figures of that window."""
    return details_of(window_of(events, minutes))[0]


def ended(outcome: Outcome = "ok", duration_ms: float = 100.0, error_type: str = "", tokens: int | None = None) -> Completed:
    """A completion."""
    return Completed(
        at_ms=T0 + 700, request_id="r", target="a", started_at_ms=T0, duration_ms=duration_ms, outcome=outcome, error_type=error_type,
        output_tokens=tokens, input_tokens=tokens,
    )  # fmt: skip


def test_ratios_are_shares_of_what_the_target_answers_for() -> None:
    """Ten judged attempts; three of the caller's own making are requests and outside every ratio."""
    history = [*[ended()] * 4, *[ended("error")] * 3, *[ended("timeout")] * 2, ended("rate_limited")]
    figures = figures_of(*history, ended("cancelled"), ended("cancelled"), ended("error", error_type="auth"))
    assert (figures.requests, figures.judged) == (13, 10)
    assert (figures.success_ratio, figures.error_ratio, figures.timeout_ratio, figures.rate_limit_ratio) == (0.4, 0.3, 0.2, 0.1)


def test_no_judged_attempt_no_ratio() -> None:
    """A target that was only cancelled is neither good nor bad."""
    figures = figures_of(ended("cancelled"))
    assert (figures.requests, figures.judged) == (1, 0)
    assert (figures.success_ratio, figures.error_ratio, figures.timeout_ratio, figures.rate_limit_ratio) == (None, None, None, None)


def test_rates_are_per_minute_of_the_window() -> None:
    """Five requests and 100 tokens in two minutes."""
    figures = figures_of(*[ended(tokens=10)] * 5, minutes=2.0)
    assert (figures.requests_per_min, figures.tokens_per_min) == (2.5, 50.0)


def test_window_without_length_has_no_rate() -> None:
    """Before the first pane is over nothing is divided by zero."""
    assert figures_of(minutes=0.0) == WindowDetails(start_ms=T0, end_ms=T0)


def test_distribution_of_durations() -> None:
    """1..100 ms: mean and extremes exact, quantiles within 1 %, and the 90th and 99th of 100 around the 95th."""
    latency = figures_of(*(ended(duration_ms=float(ms)) for ms in range(1, 101))).latency
    assert (latency.n, latency.mean_ms, latency.min_ms, latency.max_ms) == (100, 50.5, 1.0, 100.0)
    assert (latency.p50_ms, latency.p90_ms, latency.p95_ms, latency.p99_ms) == pytest.approx((50.0, 90.0, 95.0, 99.0), rel=0.01)
    assert (latency.p95_low_ms, latency.p95_high_ms) == pytest.approx((90.0, 99.0), rel=0.02)


def test_interval_does_not_leave_what_was_seen() -> None:
    """A hundred equal durations leave no doubt about the 95th percentile."""
    latency = figures_of(*[ended(duration_ms=100.0)] * 100).latency
    assert (latency.p95_low_ms, latency.p95_high_ms) == (100.0, 100.0)


def test_few_durations_have_no_interval() -> None:
    """With 20 observations nothing bounds the 95th percentile from above."""
    latency = figures_of(*(ended(duration_ms=float(ms)) for ms in range(1, 21))).latency
    assert (latency.p95_low_ms, latency.p95_high_ms) == (None, None)


def test_single_duration_is_its_own_distribution() -> None:
    """Quantiles never leave what was seen: of one observation all are that one, also outside the range of the sketch."""
    for ms in (0.25, 123.456, 700_000.0):
        assert figures_of(ended(duration_ms=ms)).latency == Duration(n=1, mean_ms=ms, min_ms=ms, max_ms=ms, p50_ms=ms, p90_ms=ms, p95_ms=ms, p99_ms=ms)


@given(st.lists(st.floats(0, 700_000), min_size=1, max_size=80))
def test_distribution_is_in_order(durations: list[float]) -> None:
    """Least ≤ p50 ≤ p90 ≤ p95 ≤ p99 ≤ largest, the interval around p95, whatever was rounded or clipped."""
    found = figures_of(*(ended(duration_ms=ms) for ms in durations)).latency
    rising = [found.min_ms, found.p50_ms, found.p90_ms, found.p95_ms, found.p99_ms, found.max_ms]
    assert rising == sorted(value for value in rising if value is not None)
    if found.p95_low_ms is not None and found.p95_high_ms is not None and found.p95_ms is not None:
        assert found.p95_low_ms <= found.p95_ms <= found.p95_high_ms


def test_judgements_money_and_resources() -> None:
    """Means over those who spoke, sums of money, the longest queue; what nobody said is None."""
    figures = figures_of(
        Completed(at_ms=T0, request_id="r", target="a", started_at_ms=T0, duration_ms=1.0, outcome="ok", cost_usd=0.25, quality=0.5),
        Completed(at_ms=T0, request_id="s", target="a", started_at_ms=T0, duration_ms=1.0, outcome="ok", cost_usd=0.5, quality=1.0),
        Report(at_ms=T0, target="a", cpu=0.25, network_ms=3.0, queue_depth=0),
        Report(at_ms=T0, target="a", cpu=0.75),
    )
    assert figures.cost_usd == 0.75
    assert (figures.quality, figures.satisfaction) == (Judgement(n=2, mean=0.75), Judgement())
    assert figures.resources == Resources(cpu_ratio=0.5, network_ms=3.0, queue_depth=0)


def test_last_update_is_the_newest_half_second() -> None:
    """The start of the slot in which something was last heard of the target; None where nothing ever was."""
    assert figures_of(ended()).last_update_ms == T0 + 500
    assert figures_of().last_update_ms is None


def test_quantiles_of_nothing_are_not_a_number() -> None:
    """No evidence gives no figure rather than a wrong one."""
    assert np.isnan(quantiles_ms(window_of([]).stats, (0.5,))).all()


def test_what_came_late_is_shown_apart() -> None:
    """Feedback of an hour ago is in no figure of this window, and still seen in it."""
    hour_ago = Feedback(at_ms=T0 + 600, request_id="r", target="a", completed_at_ms=T0 - 3_600_000, quality=0.5)
    figures = figures_of(ended(), hour_ago)
    assert figures.quality == Judgement()
    assert figures.late == LateDetails(n=1, quality=Judgement(n=1, mean=0.5))
    assert figures_of(ended()).late is None
