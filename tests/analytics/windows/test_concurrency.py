"""What was in flight at once, against intervals laid over each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fold import PartitionFold
from routecast.analytics.merge import Merge
from routecast.analytics.windows.concurrency import Concurrency, PeakHistory
from routecast.analytics.windows.history import History
from routecast.models.events import Completed, Event, Started

T0 = 1_699_999_200_000
attempts = st.lists(st.tuples(st.integers(0, 118), st.one_of(st.none(), st.integers(0, 60)), st.sampled_from("ab")), max_size=20)
"""Half-second of the start, how many half-seconds until the end (None: it is still open), target."""


def concurrency_of(history: list[tuple[int, int | None, str]]) -> Concurrency:
    """Of targets a and b, from their events."""
    events: list[Event] = []
    for i, (half, length, target) in enumerate(history):
        start_ms = T0 + half * 500 + 100
        events.append(Started(at_ms=start_ms, request_id=str(i), target=target))
        if length is not None:
            end_ms = start_ms + length * 500
            events.append(Completed(at_ms=end_ms, request_id=str(i), target=target, started_at_ms=start_ms, duration_ms=length * 500.0, outcome="ok"))
    fold, merge, windows = PartitionFold(0), Merge(), History()
    fold.apply(0, T0 + 300_000, sorted(events, key=lambda event: event.at_ms))
    for key, value in fold.flush():
        merge.add(key, value)
    for target in "ab":
        windows.number_of(target)
    windows.take(merge)
    return windows.concurrency()


def peak_of(history: list[tuple[int, int | None, str]], targets: str, first: int, end: int) -> int:
    """Most attempts that were under way at a border between half-seconds from `first` to `end`."""
    spans = [(half, half + length if length is not None else 10**9) for half, length, target in history if target in targets]
    return max(sum(start < border <= until for start, until in spans) for border in range(first, end + 1))


@given(attempts, st.integers(0, 10), st.integers(1, 12))
def test_peak_is_the_most_that_overlap(history: list[tuple[int, int | None, str]], first: int, panes: int) -> None:
    """At the borders of half-seconds, in any window; of both together not the sum of the two."""
    concurrency = concurrency_of(history)
    span = T0 + first * 10_000, T0 + (first + panes) * 10_000
    borders = first * 20, (first + panes) * 20
    assert concurrency.peak(*span).tolist() == [peak_of(history, target, *borders) for target in "ab"]
    assert concurrency.grouped([np.array([0, 1])]).peak(*span).tolist() == [peak_of(history, "ab", *borders)]


def test_peaks_of_minutes_last_a_day_and_no_longer() -> None:
    """The largest of the minutes of a span, of as many subjects as are asked for; a minute of 26 hours ago makes room."""
    peaks = PeakHistory()
    peaks.put(T0, np.array([5, 1]))
    peaks.put(T0 + 60_000, np.array([2, 7, 3]))
    peaks.put(T0 + 60_000, np.array([4]))
    assert peaks.most(T0, T0 + 120_000, 4).tolist() == [5, 7, 3, 0]
    assert peaks.most(T0 + 60_000, T0 + 120_000, 2).tolist() == [4, 7]
    peaks.put(T0 + 26 * 3_600_000, np.array([1]))
    assert peaks.most(T0, T0 + 120_000, 3).tolist() == [4, 7, 3]
