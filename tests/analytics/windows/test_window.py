"""Windows are sums of integers: of rows, of parts, of groups, in any order the same, and true to the durations that went in."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fold import PartitionFold
from routecast.analytics.windows.columns import NO_LOW, Columns, columns_of
from routecast.analytics.windows.figures import quantiles_ms
from routecast.analytics.windows.window import WindowStats
from routecast.models.events import Completed, Event, Outcome, Resources, Started
from routecast.models.rows import PaneRow, decode_row

T0 = 1_700_000_000_000.0
TARGETS = ["t0", "t1", "t2"]

Step = tuple[int, float, Outcome, float]
"""Target, duration (ms), outcome, seconds after `T0`."""

steps = st.tuples(st.integers(0, 2), st.floats(0, 700_000), st.sampled_from(["ok", "error", "timeout", "cancelled"]), st.integers(0, 29).map(float))


def ended(target: str, duration_ms: float, outcome: Outcome = "ok", at_s: float = 1.0) -> Completed:
    """A completion that streamed ten tokens."""
    at_ms = T0 + at_s * 1000
    return Completed(
        at_ms=at_ms, request_id="r", target=target, started_at_ms=at_ms, duration_ms=duration_ms, outcome=outcome, start_reported=False,
        ttft_ms=duration_ms / 4, input_tokens=7, output_tokens=10, cost_usd=0.25, quality=0.5, satisfaction=1.0,
    )  # fmt: skip


def rows_of(events: Sequence[Event], partition: int = 0) -> list[PaneRow]:
    """The pane rows of one partition."""
    fold = PartitionFold(partition)
    fold.apply(0, T0 + 60_000, events)
    return [row for key, value in fold.flush() if value and isinstance(row := decode_row(key, value), PaneRow)]


def columns_for(events: Sequence[Event]) -> list[Columns]:
    """The columns of the rows of these events."""
    return columns_of(rows_of(events), TARGETS.index)


def window_of(columns: Sequence[Columns]) -> WindowStats:
    """The window of these columns."""
    window = WindowStats(len(TARGETS))
    for item in columns:
        window.add(item)
    return window


def bytes_of(window: WindowStats) -> tuple[bytes, ...]:
    """Everything in a window."""
    return tuple(table.tobytes() for table in (window.sums, window.highs, window.lows, window.sketches))


def test_row_is_carried_over_figure_by_figure() -> None:
    """What the fold counted is what the window holds, under the same names."""
    report = Resources(at_ms=T0, target="t1", cpu=0.5, queue_depth=3)
    window = window_of(columns_for([ended("t1", 100.0), ended("t1", 300.0, "timeout", 2.3), ended("t0", 9.0, "error"), report]))
    names = ("ok", "timeout", "error", "input_tokens", "output_tokens", "cost_micro_usd", "quality_n", "quality_sum", "satisfaction_sum", "cpu_n", "cpu_sum")
    assert [window.sum(name)[1] for name in names] == [1, 1, 0, 14, 20, 500_000, 2, 1_000_000, 2_000_000, 1, 500_000]
    assert [window.sum(name)[1] for name in ("duration_n", "duration_us", "ttft_n", "ttft_us", "tpot_n")] == [2, 400_000, 2, 100_000, 1]
    assert [window.high(name)[1] for name in ("duration_max_us", "ttft_max_us", "queue_depth_max", "last_slot_ms")] == [300_000, 75_000, 3, T0 + 2000]
    assert (window.lows[1].tolist(), window.lows[2].tolist()) == ([100_000, 25_000, 8_333], [NO_LOW] * 3)
    assert window.sketches.sum(axis=2).tolist() == [[0, 1, 0], [2, 2, 1], [0, 0, 0]]


def test_open_requests_are_those_started_and_not_ended() -> None:
    """In flight is known per pane, from its slots."""
    begun: list[Event] = [Started(at_ms=T0 + i * 700, request_id=str(i), target="t2") for i in range(5)]
    assert window_of(columns_for([*begun, ended("t2", 1.0)])).sum("open").tolist() == [0, 0, 5]


def test_no_rows_no_columns() -> None:
    """Nothing in, nothing out."""
    assert columns_of([], TARGETS.index) == []


@given(st.lists(steps, max_size=40), st.integers(1, 4), st.randoms())
def test_any_partitioning_and_any_order_give_the_same_bytes(history: list[Step], partitions: int, rng: random.Random) -> None:
    """Rows of any number of partitions, added in any order, alone or together, make one window."""
    events = [ended(TARGETS[target], duration, outcome, at_s) for target, duration, outcome, at_s in history]
    logs: list[list[Event]] = [[] for _ in range(partitions)]
    for event in rng.sample(events, len(events)):
        rng.choice(logs).append(event)
    columns = [item for partition, log in enumerate(logs) for item in columns_of(rows_of(log, partition), TARGETS.index)]
    assert bytes_of(window_of(rng.sample(columns, len(columns)))) == bytes_of(window_of(columns_for(events)))


@given(st.lists(steps, max_size=30), st.integers(0, 30))
def test_windows_merge_into_the_window_of_everything(history: list[Step], cut: int) -> None:
    """Merged or added, kept sparse or dense: the same."""
    events = [ended(TARGETS[target], duration, outcome, at_s) for target, duration, outcome, at_s in history]
    whole, left, right = (window_of(columns_for(part)) for part in (events, events[:cut], events[cut:]))
    kept = window_of([left.columns(), right.columns()])
    left.merge(right)
    assert bytes_of(left) == bytes_of(kept) == bytes_of(whole)


def test_copy_goes_its_own_way() -> None:
    """Adding to a copy leaves the window as it was."""
    window = window_of(columns_for([ended("t0", 5.0)]))
    before = bytes_of(window)
    window.copy().add(columns_for([ended("t0", 50_000.0)])[0])
    assert bytes_of(window) == before


def test_window_that_knows_fewer_subjects_is_merged_into_their_place() -> None:
    """A target that was not known yet when a window was made is nothing in it."""
    small = WindowStats(1)
    small.add(columns_for([ended("t0", 5.0)])[0])
    window = window_of(columns_for([ended("t2", 5.0)]))
    window.merge(small)
    assert bytes_of(window) == bytes_of(window_of(columns_for([ended("t0", 5.0), ended("t2", 5.0)])))


def test_group_is_the_window_of_everything_its_members_did() -> None:
    """Sums, extremes and sketches of a group are those of one target that had all of its traffic."""
    durations = [1.5, 80.0, 7_000.0, 300_000.0]
    window = window_of(columns_for([ended(TARGETS[i % 2], duration) for i, duration in enumerate(durations)]))
    group = window.grouped([np.array([0, 1, 2]), np.array([2])])
    assert bytes_of(group.of(np.array([0]))) == bytes_of(window_of(columns_for([ended("t0", duration) for duration in durations])).of(np.array([0])))
    assert bytes_of(group.of(np.array([1]))) == bytes_of(WindowStats(1))


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99])
def test_quantiles_of_recorded_providers_are_within_one_percent(traces: Path, q: float) -> None:
    """Events of ten real runs through three partitions, rows and window: durations and first chunks against the exact nearest rank."""
    for run in sorted((traces / "llmperf_2023").glob("*.json")):
        recorded = [(r["end_to_end_latency_s"] * 1000, r["ttft_s"] * 1000) for r in json.loads(run.read_text()) if r["end_to_end_latency_s"]]
        events = [
            Completed(at_ms=T0 + i * 100, request_id=str(i), target="t0", started_at_ms=T0, duration_ms=duration, ttft_ms=ttft, outcome="ok")
            for i, (duration, ttft) in enumerate(recorded)
        ]
        columns = [item for p in range(3) for item in columns_of(rows_of(events[p::3], p), TARGETS.index)]
        found = quantiles_ms(window_of(columns), (q,))[0, :2, 0]
        exact = [sorted(values)[int(np.ceil(q * len(values) - 1e-9)) - 1] for values in zip(*recorded, strict=True)]
        assert found == pytest.approx(exact, rel=0.01)
