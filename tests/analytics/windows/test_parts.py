"""Sums that move: whatever came in, went out or changed, they are the sum of what is there."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from routecast.analytics.fold import PartitionFold
from routecast.analytics.merge import Merge
from routecast.analytics.windows.columns import columns_of
from routecast.analytics.windows.concurrency import flows_of
from routecast.analytics.windows.history import LENGTHS_MS, History
from routecast.analytics.windows.parts import ClosedParts, Moving, Pane, Row, summed
from routecast.analytics.windows.window import WindowStats
from routecast.models.events import Completed
from routecast.models.rows import KEPT_MS, PaneRow, decode_row

T0 = 1_699_999_200_000


def bytes_of(stats: WindowStats, n: int) -> tuple[bytes, ...]:
    """Everything of the first `n` subjects."""
    return tuple(table[:n].tobytes() for table in (stats.sums, stats.highs, stats.lows, stats.sketches))


def ended(at_ms: int, target: str, ms: float) -> Completed:
    """A success."""
    return Completed(at_ms=at_ms, request_id="r", target=target, started_at_ms=at_ms - ms, duration_ms=ms, outcome="ok", start_reported=False)


def row_of(pane_ms: int, durations: dict[str, float], fence: int = 0) -> Row:
    """A row with one success of each of these targets."""
    fold = PartitionFold(0)
    fold.apply(fence, pane_ms + 9000, [ended(pane_ms + 5000, target, ms) for target, ms in durations.items()])
    rows = [row for key, value in fold.flush() if value and isinstance(row := decode_row(key, value), PaneRow) and row.pane_ms == pane_ms]
    return Row(fence, columns_of(rows, "abc".index)[0], flows_of(rows[0]))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1), st.sampled_from("abc"), st.floats(1, 9000)), max_size=25), st.randoms())
def test_a_moving_window_is_the_sum_of_its_panes(changes: list[tuple[int, int, str, float]], rng: random.Random) -> None:
    """However it moved, also backwards, and whichever rows were replaced meanwhile: to the last byte, extremes included."""
    panes: dict[int, Pane] = {}
    moving = Moving()
    for place, key, target, ms in changes:
        row = row_of(T0 + place * 10_000, {target: ms, "a": 10.0})
        old = panes.setdefault(T0 + place * 10_000, Pane()).put((0, key), row)
        moving.replace(T0 + place * 10_000, old.columns if old else None, row.columns, 3)
        from_ms = T0 + rng.randrange(10) * 10_000
        moving.move(from_ms, from_ms + rng.randrange(6) * 10_000, panes, 3)
        moving.settle(panes)
        expected = summed((columns for pane_ms, pane in panes.items() if moving.holds(pane_ms) for columns in pane.columns), 3)
        assert bytes_of(moving.stats, 3) == bytes_of(expected, 3)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from("abc"), st.floats(1, 9000)), max_size=30), st.integers(0, 70))
def test_closed_parts_are_the_sum_of_what_is_left(closed: list[tuple[int, str, float]], from_minute: int) -> None:
    """Many columns of a part become one, and leave together."""
    parts, left = ClosedParts(300_000), []
    for minute, target, ms in closed:
        columns = row_of(T0 + minute * 60_000, {target: ms}).columns
        parts.close(T0 + minute * 60_000, columns, 3)
        left += [columns] if minute // 5 * 5 >= from_minute else []
    n = 3 if closed else 0
    assert bytes_of(parts.since(T0 + from_minute * 60_000), n) == bytes_of(summed(left, 3), n)


def test_windows_of_a_history_are_sums_of_its_rows() -> None:
    """An hour of three targets on two partitions, one of which is late: every ten seconds, every window, against rows added anew."""
    rng, merge, history = random.Random(3), Merge(), History()
    folds = [PartitionFold(0), PartitionFold(1)]
    for second in range(10, 1500, 10):
        at_ms = T0 + second * 1000
        for fold in folds:
            late_s = rng.choice([0, 0, 0, 90])
            events = [ended(max(T0, at_ms - 5000 - late_s * 1000), rng.choice("abc"), rng.uniform(1, 9000)) for _ in range(rng.randrange(3))]
            fold.apply(fold.offset + 1, at_ms, events)
            for key, value in fold.flush():
                merge.add(key, value)
        merge.expire(at_ms - KEPT_MS)
        history.take(merge)
        for name, window in history.windows(at_ms).items():
            if LENGTHS_MS[name] <= 300_000:
                rows = [row for pane_ms, chunks in merge.panes.items() if window.start_ms <= pane_ms < at_ms for row in chunks.values()]
                expected = summed(columns_of(rows, history.number_of), len(history.numbers))
                assert bytes_of(window.stats, len(expected)) == bytes_of(expected, len(expected))
    assert np.array_equal(history.window("1h").stats.sums, history.window("24h").stats.sums)
