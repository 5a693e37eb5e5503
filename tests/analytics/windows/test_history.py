"""Windows in time: what belongs to which, how late a correction may come, and that a day is remembered in bounded parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routecast.analytics.fold import PartitionFold
from routecast.analytics.merge import Merge
from routecast.analytics.windows.columns import HIGHS, LOWS, SUMS, Columns
from routecast.analytics.windows.history import LENGTHS_MS, History
from routecast.analytics.windows.parts import ClosedParts
from routecast.models.details import WindowName
from routecast.models.events import Completed, Event, Started
from routecast.models.rows import KEPT_MS

T0 = 1_699_999_200_000
"""The beginning of an hour."""


class Pipeline:
    """One partition, its merge and its history."""

    def __init__(self) -> None:
        self.fold, self.merge, self.history = PartitionFold(0), Merge(), History()

    def tell(self, at_s: float, *events: Event) -> None:
        """Events that reach the log at this time."""
        self.fold.apply(self.fold.offset + 1, T0 + at_s * 1000, events)
        for key, value in self.fold.flush():
            self.merge.add(key, value)

    def counts(self, at_s: float, target: str = "a") -> dict[WindowName, int]:
        """Successes of a target in every window that ends now."""
        self.merge.expire(T0 + at_s * 1000 - KEPT_MS)
        self.history.take(self.merge)
        number = self.history.number_of(target)
        windows = self.history.windows(int(T0 + at_s * 1000))
        return {name: int(window.stats.sum("ok")[number]) for name, window in windows.items()}

    def spans(self, at_s: float) -> dict[WindowName, tuple[float, float]]:
        """Start and end of every window, seconds after `T0`."""
        self.history.take(self.merge)
        return {name: ((w.start_ms - T0) / 1000, (w.end_ms - T0) / 1000) for name, w in self.history.windows(int(T0 + at_s * 1000)).items()}


def ended(at_s: float, target: str = "a") -> Completed:
    """A success at this time, seconds after `T0`."""
    at_ms = T0 + at_s * 1000
    return Completed(at_ms=at_ms, request_id="r", target=target, started_at_ms=at_ms, duration_ms=50.0, outcome="ok", start_reported=False)


def columns_with(ok: int) -> Columns:
    """Columns of one target with so many successes."""
    sums = np.zeros((1, len(SUMS)), np.int64)
    sums[0, SUMS.index("ok")] = ok
    nothing = np.zeros(0, np.int32)
    return Columns(np.array([0]), sums, np.zeros((1, len(HIGHS)), np.int64), np.zeros((1, len(LOWS)), np.int64), nothing, nothing)


@pytest.mark.parametrize(
    ("at_s", "inside"),
    [
        (599.9, {"10s", "1m", "5m", "1h", "24h"}),
        (590.0, {"10s", "1m", "5m", "1h", "24h"}),
        (589.9, {"1m", "5m", "1h", "24h"}),
        (540.0, {"1m", "5m", "1h", "24h"}),
        (539.9, {"5m", "1h", "24h"}),
        (300.0, {"5m", "1h", "24h"}),
        (299.9, {"1h", "24h"}),
        (600.0, set()),
    ],
)
def test_window_holds_what_ended_within_it(at_s: float, inside: set[str]) -> None:
    """Windows are half open and end with the last closed pane: of the one that is filling, nothing counts yet."""
    pipeline = Pipeline()
    pipeline.tell(600.0, ended(at_s))
    assert {name for name, count in pipeline.counts(600.0).items() if count} == inside


def test_windows_say_what_they_cover() -> None:
    """Full length where the pipeline is older; the long ones begin with a full five minutes and a full hour."""
    pipeline = Pipeline()
    pipeline.tell(0.0, ended(0.0))
    hours = 30 * 3600
    assert pipeline.spans(hours + 610.0) == {
        "10s": (hours + 600.0, hours + 610.0),
        "1m": (hours + 550.0, hours + 610.0),
        "5m": (hours + 310.0, hours + 610.0),
        "1h": (hours - 3600.0 + 600.0, hours + 610.0),
        "24h": (hours - 86400.0, hours + 610.0),
    }


def test_window_does_not_begin_before_the_first_event() -> None:
    """Half a minute after the beginning every window is at most half a minute long, so that rates are true."""
    pipeline = Pipeline()
    pipeline.tell(30.0, ended(1.0))
    assert set(pipeline.spans(30.0).items()) == {("10s", (20.0, 30.0))} | {(name, (0.0, 30.0)) for name in LENGTHS_MS if name != "10s"}


def test_nothing_known_is_a_window_of_no_length() -> None:
    """Before the first event there is no time to speak of."""
    assert set(Pipeline().spans(30.0).values()) == {(30.0, 30.0)}


def test_correction_counts_until_its_part_is_closed() -> None:
    """Late by up to four minutes after its five, an event counts in the long windows; later it is in the totals alone."""
    pipeline = Pipeline()
    pipeline.tell(530.0, ended(1.0))
    assert pipeline.counts(530.0)["1h"] == 1
    pipeline.tell(531.0, ended(2.0))
    assert pipeline.counts(540.0)["1h"] == 2
    pipeline.tell(541.0, ended(3.0))
    assert pipeline.counts(550.0) == {"10s": 0, "1m": 0, "5m": 0, "1h": 2, "24h": 2}


def test_correction_counts_in_short_windows_as_long_as_they_last() -> None:
    """A row that comes again with a higher fence replaces the one before."""
    pipeline = Pipeline()
    pipeline.tell(10.0, ended(1.0))
    pipeline.counts(10.0)
    pipeline.tell(299.0, ended(2.0))
    assert pipeline.counts(300.0) == {"10s": 0, "1m": 0, "5m": 2, "1h": 2, "24h": 2}


@pytest.mark.untraced
@settings(max_examples=10)
@given(st.lists(st.integers(0, 27 * 60 - 1), min_size=20, max_size=200))
def test_hour_and_day_hold_what_ended_within_them(minutes: list[int]) -> None:
    """Over more than a day, updated every minute, the windows are a count of the events between their start and end."""
    pipeline, moments = Pipeline(), sorted(minute * 60.0 + 7.0 for minute in minutes)
    for at_s in range(60, 27 * 3600, 60):
        pipeline.tell(at_s, *(ended(moment) for moment in moments if at_s - 60 <= moment < at_s))
        counts = pipeline.counts(at_s)
        if at_s % 600 == 0:
            expected = {name: sum(start_s <= moment < end_s for moment in moments) for name, (start_s, end_s) in pipeline.spans(at_s).items()}
            assert counts == expected


def test_old_parts_are_forgotten() -> None:
    """What left the window is gone for good, so memory does not grow with time."""
    parts = ClosedParts(60_000)
    for minute in range(10):
        parts.close(minute * 60_000, columns_with(10**minute), 1)
    assert parts.since(8 * 60_000).sum("ok").tolist() == [1_100_000_000]
    assert parts.since(0).sum("ok").tolist() == [1_100_000_000]


def test_part_grows_by_what_is_closed_into_it() -> None:
    """An hour is made of twelve closings of five minutes, and leaves as one."""
    parts = ClosedParts(3_600_000)
    for start_ms in (0, 300_000, 3_300_000, 3_600_000):
        parts.close(start_ms, columns_with(1), 1)
    assert parts.since(0).sum("ok").tolist() == [4]
    assert parts.since(300_000).sum("ok").tolist() == [1]


def test_in_flight_is_what_kept_panes_hold_open() -> None:
    """Started and not ended, per target, the pane that is filling included; what expired is not open any more."""
    pipeline = Pipeline()
    pipeline.tell(0.0, *(Started(at_ms=T0 + i, request_id=str(i), target=target) for i, target in enumerate("aab")))
    pipeline.counts(5.0, "b")
    assert in_flight_of(pipeline, "ab") == [2, 1]
    pipeline.counts(610.0)
    assert in_flight_of(pipeline, "ab") == [0, 0]


def in_flight_of(pipeline: Pipeline, targets: Sequence[str]) -> list[int]:
    """Open requests of these targets."""
    open_ = pipeline.history.in_flight()
    return [int(open_[pipeline.history.number_of(target)]) for target in targets]


def test_target_that_appears_later_has_a_place_in_every_window() -> None:
    """Parts that were closed before a target was known do not disturb it."""
    pipeline = Pipeline()
    pipeline.tell(10.0, ended(1.0))
    for at_s in range(0, 900, 60):
        pipeline.counts(at_s)
    pipeline.tell(900.0, ended(899.0, "new"))
    assert pipeline.counts(900.0, "new") == dict.fromkeys(LENGTHS_MS, 1)
    assert pipeline.counts(900.0) == {"10s": 0, "1m": 0, "5m": 0, "1h": 1, "24h": 1}


def test_long_pause_is_caught_up_with() -> None:
    """A week without an update leaves nothing of what was before."""
    pipeline = Pipeline()
    pipeline.tell(10.0, ended(1.0))
    for at_s in range(0, 1200, 60):
        pipeline.counts(at_s)
    assert pipeline.counts(7 * 86400.0) == dict.fromkeys(LENGTHS_MS, 0)
