"""Eternal sums: what a completion adds, how partitions add up, what is new since the last look."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from routecast.analytics.totals import added, book, difference, judge
from routecast.models.events import Completed, Feedback, Limits, Outcome
from routecast.models.rows import TargetTotals


def booked(*events: Completed) -> TargetTotals:
    """Totals that counted these completions."""
    totals = TargetTotals("a")
    for event in events:
        book(totals, event, round(event.duration_ms * 1000), event.at_ms)
    return totals


def ended(outcome: Outcome = "ok", error_type: str = "", tokens: int | None = None) -> Completed:
    """A completion after 1.5 s."""
    return Completed(
        at_ms=1.0,
        request_id="r",
        target="a",
        started_at_ms=0.0,
        duration_ms=1500.0,
        outcome=outcome,
        error_type=error_type,
        input_tokens=tokens,
        output_tokens=tokens,
    )


def test_success_and_failure_keep_their_times_apart() -> None:
    """Mean time of a success and mean time of a failure come from sums of their own; the caller's doing is in neither."""
    totals = booked(ended(), ended("error"), ended("timeout"), ended("rate_limited"), ended("cancelled"), ended("error", "auth"))
    assert (totals.duration_us, totals.ok_us, totals.fail_us, totals.failed) == (9_000_000, 1_500_000, 4_500_000, 3)
    assert (totals.ok, totals.error, totals.timeout, totals.rate_limited, totals.cancelled, totals.caller_fault) == (1, 1, 1, 1, 1, 1)


def test_expected_tokens_come_from_successes() -> None:
    """All tokens are counted; the logarithm of the output, in millionths, of successes alone, with no logarithm of zero."""
    totals = booked(ended(tokens=100), ended(tokens=0), ended("error", tokens=7), ended())
    assert (totals.input_n, totals.input_tokens, totals.output_tokens) == (3, 107, 107)
    assert (totals.output_n, totals.ln_output_sum) == (2, round(math.log(100) * 1e6))


def test_feedback_adds_what_it_says() -> None:
    """Quality and satisfaction in millionths, each with its count."""
    totals = TargetTotals("a")
    judge(totals, Feedback(at_ms=1.0, request_id="r", target="a", completed_at_ms=0.0, satisfaction=0.25))
    assert (totals.quality_n, totals.quality_sum, totals.satisfaction_n, totals.satisfaction_sum) == (0, 0, 1, 250_000)


def test_totals_of_partitions_add_up_and_keep_the_labels_someone_knew() -> None:
    """Counts are summed; a provider only one partition heard of is kept."""
    left, right = TargetTotals("a", provider="openai", started=2, ok=1), TargetTotals("a", region="eu", started=3, lost=1)
    assert added([left, right]) == TargetTotals("a", provider="openai", region="eu", started=5, ok=1, lost=1)


def test_of_limits_the_newest_counts_and_of_refusals_the_one_that_reaches_furthest() -> None:
    """In whichever order partitions are added; no refusal reaches further than five minutes."""
    old, new = Limits(requests_per_min=60, tokens_per_min=1000), Limits(requests_per_min=90)
    one = booked(
        replace(ended("rate_limited"), at_ms=10.0, retry_after_ms=864e5, limits=old), replace(ended(), at_ms=30.0, limits=Limits(remaining_requests=1))
    )
    two = booked(replace(ended(), at_ms=20.0, limits=new), replace(ended("rate_limited"), at_ms=500.0))
    assert (one.limits, one.refused) == ((10, 60, 1000), (300_010, 300_000))
    assert (two.limits, two.refused) == ((20, 90, 0), (1500, 1000))
    for both in (added([one, two]), added([two, one])):
        assert (both.limits, both.refused) == ((20, 90, 0), (300_010, 300_000))
        assert (difference(both, one).limits, difference(both, one).refused) == (both.limits, both.refused)


@pytest.mark.parametrize("before", [None, TargetTotals("a"), TargetTotals("a", ok=2, lost=1)])
def test_what_was_known_and_what_is_new_make_what_is(before: TargetTotals | None) -> None:
    """The difference added to what was known before gives what is known now."""
    now = TargetTotals("a", ok=5, lost=1, cost_micro_usd=9)
    assert added([before or TargetTotals("a"), difference(now, before)]) == now


def test_nothing_known_is_nothing_new() -> None:
    """A target without totals has no news, whatever was known of it."""
    assert difference(None, TargetTotals("a", ok=3)) == TargetTotals("")


def _from(region: str, **figures: float) -> Completed:
    return replace(ended(), caller_region=region, **figures)


def test_times_to_the_first_chunk_are_kept_by_the_callers_region() -> None:
    """Of answers that were not streamed the whole time; of failures that never began nothing; eight regions a target."""
    totals = booked(_from("eu", ttft_ms=100.0), _from("eu"), _from("ap", ttft_ms=50.0), replace(_from("ap"), outcome="error"), ended())
    assert [(tally.region, tally.n) for tally in totals.regions] == [("eu", 2), ("ap", 1)]
    assert totals.regions[0].sum_ln == pytest.approx((math.log(100) + math.log(1500)) * 1e6, abs=2)
    many = booked(*(_from(f"r{i}") for i in range(12)))
    assert [tally.region for tally in many.regions] == [f"r{i}" for i in range(8)]


def test_regions_of_partitions_add_up_and_what_is_new_is_told_by_name() -> None:
    """In any order to the same rows."""
    left, right = booked(_from("eu"), _from("ap")), booked(_from("eu"), _from("us"))
    both = added([left, right])
    assert both == added([right, left])
    assert [(tally.region, tally.n) for tally in both.regions] == [("ap", 1), ("eu", 2), ("us", 1)]
    assert [(tally.region, tally.n) for tally in difference(both, left).regions] == [("ap", 0), ("eu", 1), ("us", 1)]


def test_reported_costs_are_kept_with_their_tokens() -> None:
    """Only of requests whose cost was reported."""
    totals = booked(replace(ended(tokens=40), cost_usd=0.002, input_tokens=300), replace(ended(tokens=70), input_tokens=900))
    assert (totals.cost_n, totals.cost_micro_usd, totals.cost_input_tokens, totals.cost_output_tokens) == (1, 2000, 300, 40)
