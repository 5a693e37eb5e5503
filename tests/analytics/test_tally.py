"""Durations that are added up later, many at once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.sketch import bucket_of, encode_counts
from routecast.analytics.tally import TallyPane, settle
from routecast.models.rows import Tally

LONGEST_US = 86_400_000_000


def tally_of(*values: list[int]) -> TallyPane:
    """A tally that was given each of these lists and settled after it."""
    tally = TallyPane()
    for us in values:
        tally.fresh += us
        settle([tally])
    return tally


@given(st.lists(st.lists(st.lists(st.integers(0, LONGEST_US), max_size=5), max_size=4), max_size=5))
def test_many_tallies_at_once_count_as_each_alone(histories: list[list[list[int]]]) -> None:
    """Whatever waits in which of them, and however often they are settled: the row is that of the durations themselves."""
    tallies = [TallyPane() for _ in histories]
    for turn in range(4):
        for tally, history in zip(tallies, histories, strict=True):
            tally.fresh += history[turn] if turn < len(history) else []
        settle(tallies)
    for tally, history in zip(tallies, histories, strict=True):
        us = [value for values in history for value in values]
        plain = Tally(len(us), sum(us), min(us), max(us), encode_counts(Counter(map(bucket_of, us)))) if us else Tally()
        assert tally.row() == plain


def test_row_holds_what_still_waits() -> None:
    """Nobody has to settle first."""
    tally = TallyPane()
    tally.fresh.append(1500)
    assert tally.row() == tally_of([1500]).row()


def test_empty_tally_writes_nothing() -> None:
    """No observation: no sketch."""
    assert TallyPane().row() == Tally()


def test_restored_tally_goes_on() -> None:
    """As if there had been no restart, extremes included."""
    restored = TallyPane(tally_of([20, 3000]).row())
    restored.fresh += [10, 9000]
    assert restored.row() == tally_of([20, 3000], [10, 9000]).row()
