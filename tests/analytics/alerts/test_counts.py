from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.alerts.counts import RINGS, WINDOWS, Counts
from routecast.analytics.windows.period import Period
from routecast.models.insights import Subject

T = 1_700_006_400_000
ONE = (Subject(kind="service", id="chat", service="chat"),)


def period(start_ms: float, end_ms: float, ok: int, error: int, slow: int = 0, quality: float = 1.0) -> Period:
    """Of one subject."""

    def one(value: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([float(value)])

    return Period(
        start_ms=start_ms, end_ms=end_ms, subjects=ONE, ok=one(ok), error=one(error), timeout=one(0), rate_limited=one(0), requests=one(ok + error),
        slow=one(slow), duration_n=one(ok), duration_ms=one(100 * ok), ttft_n=one(0), ttft_ms=one(0), tpot_n=one(0), tpot_ms=one(0),
        quality_n=one(ok), quality_sum=one(quality * ok), cost_usd=one(0),
    )  # fmt: skip


NONE = np.zeros(1)


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=60))
def test_windows_hold_exactly_what_ended_in_their_slots(periods: list[tuple[int, int, int]]) -> None:
    """However long periods are, and whatever the rings have held before: never less than the window, at most one slot more."""
    counts, ends_ms = Counts(), []
    counts.grow(1)
    now_ms = float(T)
    for tens, ok, error in periods:
        start_ms, now_ms = now_ms, now_ms + 10_000 * tens
        counts.update(period(start_ms, now_ms, ok, error), NONE, NONE)
        ends_ms.append((now_ms, ok, error))
    for length_ms, ring in WINDOWS.items():
        first_ms = (now_ms - length_ms) // ring.slot_ms * ring.slot_ms
        inside = [(ok, error) for end_ms, ok, error in ends_ms if end_ms > first_ms]
        sums = counts.window(length_ms)
        assert (sums.n[0, 0], sums.bad[0, 0]) == (sum(map(sum, inside)), sum(error for _, error in inside))


def test_judgements_are_bad_in_part() -> None:
    """Ten of 0.75 lack two and a half."""
    counts = Counts()
    counts.grow(1)
    counts.update(period(T, T + 10_000, 10, 0, quality=0.75), NONE, NONE)
    sums = counts.window(60_000)
    assert (sums.n[0, 3], sums.bad[0, 3]) == (10.0, 2.5)


def test_what_is_forgiven_is_forgotten_up_to_hours_and_kept_for_days() -> None:
    """Of the one kind alone."""
    counts = Counts()
    counts.grow(1)
    counts.update(period(T, T + 10_000, 10, 5, slow=3), NONE, NONE)
    counts.forgive(0, 0, [])
    assert [counts.window(length_ms).bad[0, 0] for length_ms in WINDOWS] == [0, 0, 0, 0, 0, 0, 5, 5]
    assert {counts.window(length_ms).n[0, 0] for length_ms in WINDOWS} == {15}
    assert {counts.window(length_ms).bad[0, 1] for length_ms in WINDOWS} == {3}


def test_what_is_forgiven_a_part_is_forgiven_the_whole() -> None:
    """That much, and never more than there is."""
    counts = Counts()
    counts.grow(1)
    counts.update(period(T, T + 10_000, 10, 5), NONE, NONE)
    counts.grow(2)
    counts.forgive(1, 0, [0])
    assert counts.window(60_000).bad[0, 0] == 5
    counts.forgive(0, 0, [1])
    assert counts.window(60_000).bad[:, 0].tolist() == [0, 0]


def test_every_ring_is_as_long_as_its_longest_window_and_one_slot() -> None:
    """So that the slot that runs does not take the place of one that is needed."""
    for ring in RINGS:
        assert ring.slots * ring.slot_ms >= max(length_ms for length_ms, own in WINDOWS.items() if own == ring) + ring.slot_ms
