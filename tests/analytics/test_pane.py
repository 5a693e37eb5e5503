"""What one attempt adds to its pane, and that a pane and its row are the same thing."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.pane import Pane
from routecast.analytics.sketch import decode_counts
from routecast.models.events import Completed, Feedback, Outcome, Resources
from routecast.models.rows import Slot, TargetPane

AT_MS = 1_700_000_000_000.0


def ended(outcome: Outcome = "ok", duration_ms: float = 100.0, **more: object) -> Completed:
    """A completion of target `a`; `more` are fields of the event."""
    event = Completed(at_ms=AT_MS, request_id="r", target="a", started_at_ms=AT_MS - duration_ms, duration_ms=duration_ms, outcome=outcome)
    return msgspec.structs.replace(event, **more)


def count(pane: Pane, event: Completed, index: int = 0) -> None:
    """Count a completion in this half-second."""
    pane.completed(index, event, round(event.duration_ms * 1000))


def pane_of(*events: Completed) -> TargetPane:
    """The row of a pane that these completions ended in."""
    pane = Pane("a")
    for event in events:
        count(pane, event)
    return pane.row()


@pytest.mark.parametrize("outcome", ["ok", "error", "timeout", "rate_limited", "cancelled"])
def test_outcome_is_counted_once_under_its_name(outcome: Outcome) -> None:
    """An attempt counts under its outcome and under no other."""
    row = pane_of(ended(outcome))
    counts = {name: getattr(row, name) for name in ("ok", "error", "timeout", "rate_limited", "cancelled", "caller_fault")}
    assert counts == {**dict.fromkeys(counts, 0), outcome: 1}


@pytest.mark.parametrize("error_type", ["auth", "invalid_request", "content_filter", "context_length"])
def test_fault_of_the_caller_is_no_error_of_the_target(error_type: str) -> None:
    """An error the caller caused counts apart from the target's errors."""
    row = pane_of(ended("error", error_type=error_type))
    assert (row.error, row.caller_fault) == (0, 1)


def test_success_with_the_error_type_of_a_caller_stays_a_success() -> None:
    """The outcome decides; its detail never contradicts it."""
    row = pane_of(ended("ok", error_type="auth"))
    assert (row.ok, row.caller_fault) == (1, 0)


@pytest.mark.parametrize(("outcome", "n"), [("ok", 1), ("timeout", 1), ("error", 0), ("rate_limited", 0), ("cancelled", 0)])
def test_duration_speaks_of_answers_and_timeouts_only(outcome: Outcome, n: int) -> None:
    """A fast failure does not make a target look fast; a timeout counts with the time it took."""
    assert pane_of(ended(outcome)).duration.n == n


def test_durations_are_kept_as_whole_microseconds() -> None:
    """Sum, least and largest are integers of microseconds, and the sketch holds every observation."""
    tally = pane_of(ended(duration_ms=1.2345), ended(duration_ms=800.0), ended(duration_ms=20.0)).duration
    assert (tally.n, tally.sum_us, tally.min_us, tally.max_us) == (3, 821_234, 1_234, 800_000)
    assert int(decode_counts(tally.sketch)[1].sum()) == 3


def test_time_per_token_leaves_the_first_chunk_out() -> None:
    """Time per output token = (duration − time to first chunk) ÷ (tokens − 1), of successes that streamed more than one token."""
    row = pane_of(ended(duration_ms=1100.0, ttft_ms=100.0, output_tokens=101))
    assert (row.ttft.sum_us, row.tpot.n, row.tpot.sum_us) == (100_000, 1, 10_000)


@pytest.mark.parametrize("more", [{"output_tokens": 1}, {"output_tokens": None}, {"output_tokens": 50, "outcome": "error"}])
def test_time_per_token_needs_a_success_with_more_than_one_token(more: dict[str, object]) -> None:
    """One token or none has no time between tokens, and what failed half-way says nothing of the pace."""
    row = pane_of(ended(**{"ttft_ms": 10.0, **more}))  # type: ignore[arg-type]
    assert (row.ttft.n, row.tpot.n) == (1, 0)


def test_first_chunk_after_the_end_gives_no_negative_time_per_token() -> None:
    """Clocks of two measurements may disagree by a little; time per token is never below zero."""
    assert pane_of(ended(duration_ms=99.0, ttft_ms=100.0, output_tokens=5)).tpot.min_us == 0


def test_tokens_and_money_add_up() -> None:
    """Tokens are summed over all outcomes, money as micro-USD."""
    row = pane_of(ended(input_tokens=10, output_tokens=5, cost_usd=0.001), ended("error", input_tokens=7, cost_usd=0.0000004), ended())
    assert (row.input_tokens, row.output_tokens, row.cost_micro_usd) == (17, 5, 1000)


def test_judgements_count_each_for_itself() -> None:
    """Quality and satisfaction have counts of their own: one may be known without the other."""
    pane = Pane("a")
    count(pane, ended(quality=0.5))
    pane.judged(Feedback(at_ms=AT_MS, request_id="r", target="a", completed_at_ms=AT_MS, quality=1.0, satisfaction=0.25))
    row = pane.row()
    assert (row.quality_n, row.quality_sum, row.satisfaction_n, row.satisfaction_sum) == (2, 1_500_000, 1, 250_000)


def test_slots_tell_when_requests_started_completed_and_ended() -> None:
    """A half-second counts its starts and completions, and of the requests started in it the ends and the logarithms of successes."""
    pane = Pane("a")
    pane.started(0, first=True)
    pane.started(1, first=False)
    pane.ended(0, ended(duration_ms=1000.0))
    pane.ended(1, ended("error"))
    count(pane, ended(), 19)
    ln = 6_907_755
    assert pane.row().slots == (Slot(0, 1, 1, 0, 1, 1, ln, ln * ln // 1_000_000), Slot(1, 0, 1, 0, 1), Slot(19, completed=1))


def test_slots_sum_the_tokens_of_successes_beside_their_times() -> None:
    """Where they are known; so that a long answer is not taken for a slow one."""
    pane = Pane("a")
    for event in (ended(output_tokens=36), ended(output_tokens=36), ended(), ended("error", output_tokens=36)):
        pane.ended(0, event)
    (slot,) = pane.row().slots
    assert (slot.n, slot.tokens_n, slot.sum_ln_tokens) == (3, 2, 2 * 4_605_170)


def test_row_taken_before_a_change_stays_what_it_was() -> None:
    """A row is a picture of the pane: later events do not reach into it."""
    pane = Pane("a")
    pane.started(0, first=True)
    before = pane.row()
    pane.started(0, first=True)
    assert (before.slots[0].started, pane.row().slots[0].started) == (1, 2)


def test_judgement_after_the_row_was_taken_is_in_the_next() -> None:
    """Feedback alone makes a pane worth writing again."""
    pane = Pane("a")
    count(pane, ended())
    pane.row()
    pane.judged(Feedback(at_ms=AT_MS, request_id="r", target="a", completed_at_ms=AT_MS, quality=1.0))
    assert pane.row().quality_n == 1


def test_restored_pane_does_not_reach_into_the_row_it_came_from() -> None:
    """The row a pane was restored from may be restored again."""
    pane = Pane("a")
    pane.started(0, first=True)
    row = pane.row()
    Pane.restored(row).started(0, first=True)
    assert row.slots[0].started == 1


def test_unchanged_pane_gives_the_same_row() -> None:
    """A pane is not written out again where nothing happened to it."""
    pane = Pane("a")
    count(pane, ended())
    assert pane.row() is pane.row()


@pytest.mark.parametrize("duration_ms", [0.0, 0.001])
def test_duration_of_nothing_has_a_logarithm(duration_ms: float) -> None:
    """Zero counts as one microsecond, so its logarithm is finite."""
    pane = Pane("a")
    pane.ended(0, ended(duration_ms=duration_ms))
    assert pane.row().slots[0].sum_ln == -6_907_755


def test_open_are_those_that_started_here_and_have_not_ended() -> None:
    """Wherever in the pane they started."""
    pane = Pane("a")
    for index in (0, 7, 19):
        pane.started(index, first=True)
    pane.ended(7, ended("timeout"))
    assert pane.row().open == 2


@given(st.lists(st.tuples(st.sampled_from(["ok", "error", "timeout"]), st.floats(0, 600_000), st.integers(0, 500)), max_size=30), st.randoms())
def test_order_of_events_leaves_no_trace(history: list[tuple[Outcome, float, int]], rng: random.Random) -> None:
    """A pane is a sum of integers: any order of its events gives the same row, and so does a restart in between."""
    events = [ended(outcome, duration, ttft_ms=duration / 3, output_tokens=tokens) for outcome, duration, tokens in history]
    shuffled = events[:]
    rng.shuffle(shuffled)
    pane = Pane("a")
    for event in shuffled:
        pane = Pane.restored(pane.row())
        count(pane, event)
    assert pane.row() == pane_of(*events)


def test_resources_are_summed_and_queue_depth_is_the_largest() -> None:
    """Resource reports add up, each figure with its own count; the queue is known by its worst."""
    pane = Pane("a")
    pane.resources(Resources(at_ms=AT_MS, target="a", cpu=0.5, memory=0.25, network_ms=2.0, queue_depth=7))
    pane.resources(Resources(at_ms=AT_MS, target="a", cpu=0.7, memory=0.25, network_ms=4.0, queue_depth=3))
    row = pane.row()
    assert (row.cpu_n, row.cpu_sum, row.memory_n, row.memory_sum) == (2, 1_200_000, 2, 500_000)
    assert (row.network_n, row.network_us_sum, row.queue_n, row.queue_depth_max) == (2, 6_000, 2, 7)


@pytest.mark.parametrize(("name", "count"), [("cpu", "cpu_n"), ("memory", "memory_n"), ("network_ms", "network_n"), ("queue_depth", "queue_n")])
def test_resource_that_is_not_reported_is_not_zero(name: str, count: str) -> None:
    """A report of one figure is no evidence about the others, and zero is a value like any other."""
    pane = Pane("a")
    pane.resources(msgspec.structs.replace(Resources(at_ms=AT_MS, target="a"), **{name: 0}))
    row = pane.row()
    assert {key for key in ("cpu_n", "memory_n", "network_n", "queue_n") if getattr(row, key)} == {count}
