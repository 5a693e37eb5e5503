from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fleet.bars import BAR_OF, GrowingBars
from routecast.analytics.fold import PartitionFold
from routecast.analytics.merge import Merge
from routecast.analytics.sketch import bucket_of
from routecast.models.events import Completed
from routecast.models.rows import KEPT_MS
from routecast.models.telemetry import BOUNDS_S

NOW_MS = 1_700_000_000_000.0
ENDED = st.tuples(st.sampled_from(["a", "b", "stranger", "another"]), st.integers(1, 100_000_000), st.integers(0, 40_000))
"""Target, microseconds, how long after the beginning it ended, ms."""


def _fold(fold: PartitionFold, offset: int, target: str, us: int, after_ms: float) -> None:
    at_ms = NOW_MS + after_ms
    event = Completed(
        at_ms=at_ms, emitter="e", request_id=str(offset), target=target, started_at_ms=at_ms - us / 1000, duration_ms=us / 1000, outcome="ok",
        start_reported=False,
    )  # fmt: skip
    fold.apply(offset, at_ms + 1, [event])


def _expected(ended: list[tuple[str, int, int]], targets: set[str]) -> tuple[list[int], int]:
    counts = [0] * (len(BOUNDS_S) + 1)
    for _, us, _ in (one for one in ended if one[0] in targets):
        counts[BAR_OF[bucket_of(us)]] += 1
    return counts, sum(us for target, us, _ in ended if target in targets)


@given(st.lists(ENDED, min_size=1, max_size=60), st.integers(1, 7))
def test_every_duration_counts_once_however_often_rows_are_written_again(ended: list[tuple[str, int, int]], flush: int) -> None:
    """Two partitions, flushed and looked at again and again; targets that are not configured are one."""
    folds, merge, bars = (PartitionFold(0), PartitionFold(1)), Merge(), GrowingBars("duration", ["a", "b", "unused"])
    for offset, (target, us, after_ms) in enumerate(ended):
        _fold(folds[offset % 2], offset, target, us, after_ms)
        if offset % flush == 0 or offset >= len(ended) - 2:
            for key, value in folds[offset % 2].flush():
                merge.add(key, value)
            bars.take(merge, 1)
    while not bars.take(merge, 1):
        pass
    found = bars.bars()
    for name, targets in (("a", {"a"}), ("b", {"b"}), ("", {"stranger", "another"})):
        counts, sum_us = _expected(ended, targets)
        assert (found[name].counts, round(found[name].sum_s * 1e6)) == (tuple(counts), sum_us) if any(counts) else name not in found
    assert "unused" not in found


def test_what_expires_stays_counted() -> None:
    """The distribution only grows, and forgets the rows it is made of."""
    fold, merge, bars = PartitionFold(0), Merge(), GrowingBars("duration", ["a"])
    for offset in range(3):
        _fold(fold, offset, "a", 50_000, offset * KEPT_MS)
        for key, value in fold.flush():
            merge.add(key, value)
        merge.expire(NOW_MS + offset * KEPT_MS - KEPT_MS)
        bars.take(merge)
    merge.expire(NOW_MS + 10 * KEPT_MS)
    bars.take(merge)
    assert (sum(bars.bars()["a"].counts), bars.bars()["a"].sum_s, bars._counted) == (3, 0.15, {})


def test_a_duration_is_in_the_bar_of_its_bound() -> None:
    """Up to a bound, the bound itself included; within a bucket of the sketch a little beyond."""
    for us in (1, 9_000, 10_000, 11_000, 79_000, 5_000_000, 81_000_000, 90_000_000):
        assert BAR_OF[bucket_of(us)] == bisect_left(BOUNDS_S, us / 1e6)
