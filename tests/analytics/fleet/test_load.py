"""Load from slot counts against a list of requests that is counted by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fleet.load import LoadTracker
from routecast.analytics.merge import SlotNews
from routecast.models.rows import SLOT_MS

T0 = 1_700_000_000_000

Request = tuple[int, int, int | None]
"""Target, slot of its start, slot of its end (None: still open), slots since `T0`."""

requests = st.tuples(st.integers(0, 2), st.integers(0, 1100), st.none() | st.integers(0, 60)).map(lambda r: (r[0], r[1], None if r[2] is None else r[1] + r[2]))


def news_of(history: Sequence[Request]) -> list[tuple[int, SlotNews]]:
    """Slot news of these requests, each with the number of its target."""
    begun = Counter((target, start) for target, start, _ in history)
    completed = Counter((target, end) for target, _, end in history if end is not None)
    ended = Counter((target, start) for target, start, end in history if end is not None)
    return [
        (target, SlotNews(f"t{target}", T0 + slot * SLOT_MS, begun[target, slot], begun[target, slot], completed[target, slot], ended[target, slot], 0, 0, 0))
        for target, slot in sorted({*begun, *completed, *ended})
    ]


def tracker_of(history: Sequence[Request], now_slot: int) -> LoadTracker:
    """A tracker of three targets that saw this history."""
    tracker = LoadTracker(3)
    tracker.advance(T0 + now_slot * SLOT_MS)
    for target, news in news_of(history):
        tracker.add(target, news)
    return tracker


@given(st.lists(requests, max_size=60))
def test_in_flight_is_what_started_and_has_not_ended(history: list[Request]) -> None:
    """Open requests per target, counted from slots, are those of the list."""
    expected = [sum(target == i and end is None for target, _, end in history) for i in range(3)]
    assert tracker_of(history, 1160).in_flight().tolist() == expected


@given(st.lists(requests, max_size=60), st.lists(st.integers(0, 1160), max_size=20))
def test_in_flight_at_a_past_slot_is_what_started_before_and_ended_later(history: list[Request], slots: list[int]) -> None:
    """At the start of any kept half-second: the requests that started before it and had not completed before it."""
    found = tracker_of(history, 1160).in_flight_at([T0 + slot * SLOT_MS for slot in slots])
    expected = [[sum(target == i and start < slot and (end is None or end >= slot) for target, start, end in history) for slot in slots] for i in range(3)]
    assert found.tolist() == expected


@given(st.lists(requests, max_size=30), st.lists(st.integers(0, 30), max_size=6))
def test_pieces_of_news_add_up_to_the_whole(history: list[Request], cuts: list[int]) -> None:
    """Told request by request while time passes, or at once: the same load."""
    whole, piecewise = tracker_of(history, 1160), LoadTracker(3)
    for i, request in enumerate(history):
        piecewise.advance(T0 + (i + max(cuts, default=0)) * SLOT_MS)
        for target, news in news_of([(request[0], request[1] % 60, None if request[2] is None else request[2] % 60)]):
            piecewise.add(target, news)
    shifted = [(target, start % 60, None if end is None else end % 60) for target, start, end in history]
    whole = tracker_of(shifted, 1160)
    piecewise.advance(T0 + 1160 * SLOT_MS)
    slots = [T0 + slot * SLOT_MS for slot in range(0, 1160, 7)]
    assert piecewise.in_flight_at(slots).tolist() == whole.in_flight_at(slots).tolist()


@pytest.mark.parametrize(("age_s", "open_"), [(609.5, 1), (610.0, 0)])
def test_open_request_is_forgotten_when_its_slot_is_too_old(age_s: float, open_: int) -> None:
    """What is still open after the kept time is lost, so in flight cannot leak."""
    tracker = tracker_of([(0, 0, None)], 0)
    tracker.advance(T0 + age_s * 1000)
    assert tracker.in_flight().tolist() == [open_, 0, 0]


@pytest.mark.parametrize("age_s", [610.0, 680.0, 5000.0])
def test_news_older_than_the_kept_time_are_left_out(age_s: float) -> None:
    """News about a forgotten slot must not land in the slot that took its place."""
    tracker = LoadTracker(1)
    tracker.advance(T0 + age_s * 1000)
    tracker.add(0, SlotNews("t0", T0, 1, 1, 0, 0, 0, 0, 0))
    assert tracker.in_flight().tolist() == [0]


def test_news_further_ahead_than_clocks_may_go_are_left_out() -> None:
    """A slot more than 70 s ahead has no room."""
    tracker = LoadTracker(1)
    tracker.advance(T0)
    for ahead_ms in (70_000, 70_500):
        tracker.add(0, SlotNews("t0", T0 + ahead_ms, 1, 1, 0, 0, 0, 0, 0))
    assert tracker.in_flight().tolist() == [1]


def test_time_that_goes_back_forgets_nothing() -> None:
    """A tick that is older than the last one leaves the slots as they are."""
    tracker = tracker_of([(0, 150, None)], 20)
    tracker.advance(T0)
    tracker.advance(T0 + 20 * SLOT_MS)
    assert tracker.in_flight().tolist() == [1, 0, 0]


def test_age_of_the_oldest_open_request_is_that_of_its_slot() -> None:
    """Age since the start of the oldest half-second with something open; 0 where nothing is."""
    tracker = tracker_of([(0, 3, None), (0, 9, None), (1, 2, 5), (1, 8, None)], 20)
    assert tracker.oldest_open_ms(T0 + 20 * SLOT_MS).tolist() == [8500.0, 6000.0, 0.0]


def test_what_has_been_open_for_minutes_keeps_its_age() -> None:
    """Beside targets whose requests are young, and while others of the same target come and go."""
    tracker = tracker_of([(0, 0, None), (0, 900, None), (1, 995, None), (2, 1, 990), (2, 400, 401)], 1000)
    assert tracker.oldest_open_ms(T0 + 1000 * SLOT_MS).tolist() == [500_000.0, 2500.0, 0.0]


def test_end_that_is_booked_in_another_slot_than_its_start_leaves_nothing_old_open() -> None:
    """An emitter whose clock is clamped starts in one slot and ends in another: nothing is open, so nothing is old."""
    tracker = tracker_of([(0, 12, None)], 20)
    for slot, started, ended in ((5, 1, 0), (6, 0, 1)):
        tracker.add(0, SlotNews("t0", T0 + slot * SLOT_MS, started, started, 0, ended, 0, 0, 0))
        tracker.add(1, SlotNews("t1", T0 + (11 - slot) * SLOT_MS, started, started, 0, ended, 0, 0, 0))
    assert tracker.oldest_open_ms(T0 + 20 * SLOT_MS).tolist() == [4000.0, 0.0, 0.0]


@pytest.mark.parametrize(("slot", "expected"), [(-100_000, 1), (-1061, 1), (-1060, 1), (160, 2), (161, 2), (300, 2)])
def test_load_outside_the_kept_time_is_that_of_its_edge(slot: int, expected: int) -> None:
    """Asked about a slot older or newer than what is kept, the answer is the load at the nearest that is."""
    tracker = tracker_of([(0, -2000, 50), (0, 10, None), (0, 150, None)], 160)
    assert tracker.in_flight_at([T0 + slot * SLOT_MS, T0]).tolist()[0] == [expected, 1]


def test_new_targets_do_not_disturb_the_known() -> None:
    """Growing makes room and keeps what was counted."""
    tracker = tracker_of([(1, 0, None)], 10)
    tracker.grow(5)
    assert np.array_equal(tracker.in_flight(), [0, 1, 0, 0, 0])


def test_no_slots_no_figures() -> None:
    """Asked about no slot, the answer has no columns."""
    assert tracker_of([], 0).in_flight_at([]).shape == (3, 0)
