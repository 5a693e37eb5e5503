"""Records of closed windows: what was put in is what is read, and any of them merge into the window of everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fold import PartitionFold
from routecast.analytics.windows.closed_window import Span, columns_of_records, figures_of, merged, records_of
from routecast.analytics.windows.columns import SUMS, columns_of
from routecast.analytics.windows.figures import details_of
from routecast.analytics.windows.parts import summed
from routecast.analytics.windows.window import Window, WindowStats
from routecast.models.errors import DecodeError
from routecast.models.events import Completed, Event, Feedback, Outcome, Resources
from routecast.models.insights import Subject
from routecast.models.metrics import WindowRecord
from routecast.models.rows import PaneRow, decode_row

T0 = 1_699_999_200_000
SUBJECTS = [Subject(kind="target", id="a", provider="p", model="m", service="chat", region="eu"), Subject(kind="target", id="b")]
steps = st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 700_000), st.sampled_from(["ok", "error", "timeout", "cancelled"])), max_size=30)


def stats_of(events: list[Event]) -> WindowStats:
    """The window of targets a and b."""
    fold = PartitionFold(0)
    fold.apply(0, T0 + 9000, events)
    rows = [row for key, value in fold.flush() if value and isinstance(row := decode_row(key, value), PaneRow)]
    return summed(columns_of(rows, "ab".index), 2)


def ended(target: str, ms: float, outcome: Outcome = "ok") -> Completed:
    """An attempt with everything that can be told of it."""
    return Completed(
        at_ms=T0 + 5000, request_id="r", target=target, started_at_ms=T0, duration_ms=ms, outcome=outcome, start_reported=False, ttft_ms=ms / 3,
        input_tokens=7, output_tokens=10, cost_usd=0.25, quality=0.5, satisfaction=1.0,
    )  # fmt: skip


def written(stats: WindowStats, start_ms: int = T0, version: int = 3) -> list[WindowRecord]:
    """The records of a window, as they come back from the wire."""
    records = records_of(Span("10s", start_ms, start_ms + 10_000, 10_000, version), SUBJECTS, stats, np.array([4, 0]))
    return [WindowRecord.decode(record.encode()) for record in records]


@given(steps, steps)
def test_records_merge_into_the_window_of_everything(first: list[tuple[str, float, Outcome]], second: list[tuple[str, float, Outcome]]) -> None:
    """Windows and subjects alike, to the last byte; what is open is of no window that is over."""
    parts = [stats_of([ended(*step) for step in history]) for history in (first, second)]
    whole = stats_of([ended(*step) for step in (*first, *second)]).grouped([np.array([0, 1])])
    together = merged([record for i, part in enumerate(parts) for record in written(part, T0 + i * 10_000)]).stats
    for stats in (whole, together):
        stats.sums[:, SUMS.index("open")] = 0
    assert [table.tobytes() for table in (whole.sums, whole.highs, whole.lows, whole.sketches)] == [
        table.tobytes() for table in (together.sums, together.highs, together.lows, together.sketches)
    ]


def test_a_record_has_the_figures_of_its_window() -> None:
    """Every one that details show, those of resources and of what came late included."""
    report = Resources(at_ms=T0, target="a", cpu=0.5, memory=0.25, network_ms=3.0, queue_depth=3)
    late = Feedback(at_ms=T0 + 600, request_id="r", target="a", completed_at_ms=T0 - 3_600_000, quality=0.5)
    stats = stats_of([ended("a", 100.0), ended("a", 300.0, "timeout"), report, late])
    expected = details_of(Window(T0, T0 + 10_000, stats, np.array([4, 0])))
    assert [figures_of(record) for record in written(stats)] == expected


def test_who_it_is_about_and_which_window_is_the_key() -> None:
    """Labels that a subject does not have are absent, and so is every figure that is nothing."""
    a, b = written(stats_of([ended("a", 100.0)]))
    assert (a.key, a.partition, b.key) == (f"target/a/10s/{T0}", 0, f"target/b/10s/{T0}")
    assert (a.provider, a.model, a.service, a.region, a.version, a.in_flight_max) == ("p", "m", "chat", "eu", 3, 4)
    assert b.encode() == b'{"kind":"target","id":"b","window":"10s","start_ms":%d,"end_ms":%d,"covered_ms":10000,"version":3,' % (T0, T0 + 10_000) + (
        b'"duration":{},"ttft":{},"tpot":{}}'
    )


def test_columns_of_records_are_those_of_their_targets() -> None:
    """A new leader begins with what was published."""
    stats = stats_of([ended("a", 100.0), ended("b", 7.0)])
    columns = columns_of_records(written(stats), np.array([1, 0]))
    found = summed([columns], 2)
    assert found.sum("ok").tolist() == [1, 1]
    assert found.sketches[::-1].tobytes() == stats.sketches.tobytes()


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"no json", b'{"kind":"nobody"}', b"[" * 100_000], ids=lambda value: value[:20].decode())
def test_what_is_no_record_is_refused(value: bytes) -> None:
    """Whoever reads keeps what it had."""
    with pytest.raises(DecodeError, match="not a closed window"):
        WindowRecord.decode(value)


def test_a_sketch_that_is_none_is_refused() -> None:
    """Whoever wrote it."""
    record = written(stats_of([ended("a", 100.0)]))[0]
    spoiled = WindowRecord.decode(record.encode().replace(b'"sketch":"', b'"sketch":"////', 1))
    with pytest.raises(DecodeError):
        figures_of(spoiled)
