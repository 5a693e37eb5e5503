"""The fold: where events count, and what bad, late, duplicate and future ones do."""

from __future__ import annotations

import gc
from collections.abc import Iterable

import msgspec
import pytest

from routecast.analytics.fold import PartitionFold, Record
from routecast.analytics.pane import Pane
from routecast.models.events import Completed, Event, Feedback, Outcome, RouterStats, Started, decode_events, encode_events
from routecast.models.rows import PaneRow, TargetTotals, TotalsRow, decode_row

T0 = 1_700_000_000_000.0
KEPT_S = 610
"""A pane is gone once the watermark is this far behind its start."""


def started(at_s: float, request: str = "r", target: str = "a", attempt: int = 1) -> Started:
    """A start, seconds after `T0`."""
    return Started(at_ms=T0 + at_s * 1000, request_id=request, target=target, attempt=attempt)


def ended(at_s: float, since_s: float, request: str = "r", target: str = "a", outcome: Outcome = "ok", **more: object) -> Completed:
    """A completion at `at_s` of what started at `since_s`."""
    duration_ms = round((at_s - since_s) * 1000, 3)
    event = Completed(at_ms=T0 + at_s * 1000, request_id=request, target=target, started_at_ms=T0 + since_s * 1000, duration_ms=duration_ms, outcome=outcome)
    return msgspec.structs.replace(event, **more)


def folded(*events: Event, fold: PartitionFold | None = None) -> PartitionFold:
    """A fold of these events, each a record of its own, appended the moment it happened."""
    fold = fold or PartitionFold(0)
    for event in events:
        fold.apply(fold.offset + 1, event.at_ms, [event])
    return fold


def rows_of(changelog: Iterable[Record]) -> dict[bytes, PaneRow | TotalsRow]:
    """What a reader of the changelog ends up with: the higher fence wins, tombstones remove."""
    rows: dict[bytes, PaneRow | TotalsRow] = {}
    for key, value in changelog:
        if value is None:
            rows.pop(key, None)
            continue
        row = decode_row(key, value)
        if key not in rows or row.fence >= rows[key].fence:
            rows[key] = row
    return rows


def totals_of(fold: PartitionFold, target: str = "a") -> TargetTotals:
    """Totals of a target as the next flush writes them."""
    rows = [row for row in rows_of(fold.flush()).values() if isinstance(row, TotalsRow)]
    return next(totals for row in rows for totals in row.targets if totals.target == target)


def closing_of(fold: PartitionFold) -> TotalsRow:
    """The row that closes the next flush."""
    row = rows_of(fold.flush())[b"totals/0/0"]
    assert isinstance(row, TotalsRow)
    return row


def test_past_panes_rest_as_rows_and_what_comes_late_still_counts_there() -> None:
    """What a fold keeps for ten minutes is rows; a request that takes longer than a pane finds its own again, whenever rows were written."""
    events = [event for i in range(20) for event in (started(10 * i, f"r-{i}"), started(10 * i + 5, f"s-{i}"), ended(10 * i + 6, 10 * i + 5, f"s-{i}"))]
    late = [ended(205 + i, 10 * i, f"r-{i}") for i in range(10)]
    often, seldom = PartitionFold(0), folded(*events, *late)
    changelog = [record for event in (*events, *late) for record in (folded(event, fold=often), often.flush())[1]]
    assert {key: row.targets for key, row in rows_of(changelog).items()} == {key: row.targets for key, row in rows_of(seldom.flush()).items()}
    folded(started(220, "end"), started(240, "end"), fold=often)
    often.flush()
    gc.collect()
    assert 0 < sum(type(thing) is Pane and thing.target == "a" for thing in gc.get_objects()) < 20 + 8  # those of `seldom`, and the newest


def test_request_counts_in_the_slot_of_its_start_and_the_pane_of_its_end() -> None:
    """A request that crosses panes: its start and its end by start in one, its completion and outcome in the other."""
    rows = rows_of(folded(started(8.0), ended(12.0, 8.0)).flush())
    first, second = (row for row in rows.values() if isinstance(row, PaneRow))
    assert (first.pane_ms, second.pane_ms) == (T0, T0 + 10_000)
    assert [(s.slot, s.started, s.ended, s.completed) for s in first.targets[0].slots] == [(16, 1, 1, 0)]
    assert [(s.slot, s.started, s.ended, s.completed) for s in second.targets[0].slots] == [(4, 0, 0, 1)]
    assert (first.targets[0].ok, second.targets[0].ok) == (0, 1)


def test_completion_whose_start_was_never_reported_counts_as_both() -> None:
    """A completion is self-contained: with `start_reported` false it brings its start along."""
    totals = totals_of(folded(ended(2.0, 1.0, start_reported=False)))
    assert (totals.started, totals.first_attempts, totals.ok, totals.lost) == (1, 1, 1, 0)


def test_flush_ends_with_the_totals_of_chunk_zero() -> None:
    """Readers take a flush as whole when that row arrives: panes before it, garbage collection behind it."""
    fold = folded(*(started(0.0, target=f"t{i}") for i in range(300)))
    fold.flush()
    folded(*(started(700.0, target=f"t{i}") for i in range(300)), fold=fold)
    assert [key for key, _ in fold.flush()] == [
        b"pane/0/1700000700000/0", b"pane/0/1700000700000/1", b"totals/0/1", b"totals/0/0", b"pane/0/1700000000000/0", b"pane/0/1700000000000/1",
    ]  # fmt: skip


def test_more_targets_than_a_chunk_holds_go_to_the_next() -> None:
    """256 targets a chunk; each row of a chunk names only its own."""
    rows = rows_of(folded(*(started(0.0, target=f"t{i}") for i in range(600))).flush())
    assert {key: len(row.targets) for key, row in rows.items()} == {
        b"pane/0/1700000000000/0": 256, b"pane/0/1700000000000/1": 256, b"pane/0/1700000000000/2": 88,
        b"totals/0/0": 256, b"totals/0/1": 256, b"totals/0/2": 88,
    }  # fmt: skip


def test_request_that_never_ends_is_lost_when_its_pane_expires() -> None:
    """Open until the watermark leaves its pane behind, lost from then on."""
    fold = folded(started(3.0))
    assert totals_of(folded(started(KEPT_S - 0.001, "other", "b"), fold=fold)).lost == 0
    assert totals_of(folded(started(KEPT_S, "other", "b"), fold=fold)).lost == 1


def test_end_of_a_lost_request_takes_the_loss_back() -> None:
    """A completion later than every kept pane: no longer lost, counted once, in flight stays right."""
    totals = totals_of(folded(started(3.0), started(700.0, "other", "b"), ended(701.0, 3.0, outcome="timeout")))
    assert (totals.started, totals.timeout, totals.lost, totals.late) == (1, 1, 0, 0)


def test_late_events_count_in_totals_alone() -> None:
    """What is older than the kept panes is added to the totals, and shown as late in the pane in which it came; it opens no other."""
    fold = folded(started(700.0, "new", "b"))
    fold.apply(1, T0 + 700_000, [started(1.0), ended(2.0, 1.0, quality=0.5)])
    rows = rows_of(fold.flush())
    assert [key for key in rows if key.startswith(b"pane/")] == [b"pane/0/1700000700000/0"]
    row = rows[b"totals/0/0"]
    assert isinstance(row, TotalsRow)
    late = row.targets[1]
    assert (late.started, late.ok, late.lost, late.late, late.quality_n, late.duration_us) == (1, 1, 0, 2, 1, 1_000_000)
    pane = rows[b"pane/0/1700000700000/0"]
    assert isinstance(pane, PaneRow)
    assert [(target.target, target.late, target.ok, len(target.slots)) for target in pane.targets] == [("b", 0, 0, 1), ("a", 2, 0, 0)]


@pytest.mark.parametrize(("behind_s", "late"), [(KEPT_S - 0.001, 0), (KEPT_S, 1)])
def test_feedback_finds_its_pane_or_counts_as_late(behind_s: float, late: int) -> None:
    """Feedback goes to the pane of its request; once that has expired, to the totals, and it is shown as late in the pane in which it comes."""
    fold = folded(started(behind_s, "new", "b"))
    fold.apply(1, T0 + behind_s * 1000, [Feedback(at_ms=T0 + behind_s * 1000, request_id="r", target="a", completed_at_ms=T0, quality=0.25)])
    changelog = fold.flush()
    totals = rows_of(changelog)[b"totals/0/0"]
    assert isinstance(totals, TotalsRow)
    assert (totals.targets[1].quality_n, totals.targets[1].quality_sum, totals.targets[1].late) == (1, 250_000, late)
    panes = [pane for row in rows_of(changelog).values() if isinstance(row, PaneRow) for pane in row.targets if pane.target == "a"]
    assert [(pane.quality_sum, pane.late_quality_n, pane.late_quality_sum) for pane in panes] == [(0, 1, 250_000) if late else (250_000, 0, 0)]


def test_feedback_that_is_itself_late_is_shown_in_the_pane_of_the_watermark() -> None:
    """A report that was under way for longer than panes are kept is shown where it came in, once, also when rows are restored."""
    fold = folded(started(KEPT_S + 50.0, "new", "b"))
    said = Feedback(at_ms=T0 + 1000, request_id="r", target="b", completed_at_ms=T0, satisfaction=0.75)
    fold.apply(1, T0 + KEPT_S * 1000 + 50_000, [said])
    changelog = fold.flush()
    again = PartitionFold.restored(0, rows_of(changelog).values())
    again.apply(1, T0 + KEPT_S * 1000 + 50_000, [said])
    again.apply(2, T0 + KEPT_S * 1000 + 50_000, [said])
    for flushed, n in ((changelog, 1), (again.flush(), 2)):
        (pane,) = (target for row in rows_of(flushed).values() if isinstance(row, PaneRow) for target in row.targets)
        assert (pane.late, pane.late_satisfaction_n, pane.late_satisfaction_sum, pane.late_quality_n) == (n, n, n * 750_000, 0)


def test_event_from_far_in_the_future_is_clamped_to_its_append_time() -> None:
    """More than 60 s ahead of the log's clock: counted where the log says, and counted as clamped."""
    fold = PartitionFold(0)
    fold.apply(0, T0, [started(60.001), started(60.0, "on time", "b")])
    rows = rows_of(fold.flush())
    assert closing_of(fold).clamped == 1
    assert {key for key in rows if key.startswith(b"pane/")} == {b"pane/0/1700000000000/0", b"pane/0/1700000060000/0"}


def test_event_from_the_future_does_not_push_the_watermark() -> None:
    """One emitter with a fast clock cannot expire the panes of the others."""
    fold = PartitionFold(0)
    fold.apply(0, T0, [started(50.0), started(100_000.0)])
    assert fold.watermark_ms == T0


def test_watermark_never_falls() -> None:
    """A broker whose clock went back does not bring expired panes back."""
    fold = PartitionFold(0)
    fold.apply(0, T0 + 5000, [started(5.0)])
    fold.apply(1, T0 + 4000, [started(6.0)])
    assert fold.watermark_ms == T0 + 5000


def test_offset_that_comes_again_changes_nothing() -> None:
    """Redelivery of what was applied is skipped, whatever it says."""
    fold = folded(started(0.0), ended(1.0, 0.0))
    before = fold.flush()
    fold.apply(1, T0, [ended(1.0, 0.0)], bad=3)
    fold.apply(0, T0, [started(5.0)])
    assert fold.flush() == [before[-1]]


def test_one_bad_object_does_not_spoil_its_array() -> None:
    """The good events of a record count, the bad ones are handed out with their reason and counted."""
    record = encode_events([started(0.0), ended(1.0, 0.0)])[:-1] + b',{"type":"request.started","at_ms":-1},7,{"type":"x"}]'
    events, bad = decode_events(record)
    fold = PartitionFold(0)
    fold.apply(0, T0 + 1000, events, len(bad))
    closing = closing_of(fold)
    assert (closing.events, closing.bad, closing.targets[0].ok) == (2, 3, 1)
    assert [raw for raw, _ in bad] == [b'{"type":"request.started","at_ms":-1}', b"7", b'{"type":"x"}']
    assert all(reason for _, reason in bad)


@pytest.mark.parametrize("record", [b"", b"[", b"nonsense", b"\xff\xfe", b'{"type":"request.started"'])
def test_record_that_is_no_json_is_one_bad_object(record: bytes) -> None:
    """Bytes that are not JSON are one dead letter and no event."""
    events, bad = decode_events(record)
    assert (events, [b.raw for b in bad]) == ([], [record])


def test_fault_of_the_caller_and_cancellation_count_for_no_ratio() -> None:
    """`failed` leaves out what the caller did; both are counted under their names."""
    totals = totals_of(folded(ended(1.0, 0.5, outcome="error", error_type="auth"), ended(1.1, 0.5, outcome="cancelled"), ended(1.2, 0.5, outcome="timeout")))
    assert (totals.caller_fault, totals.cancelled, totals.error, totals.failed) == (1, 1, 0, 1)


def test_totals_survive_the_panes() -> None:
    """Tombstones remove panes and nothing else: the totals still know what happened hours ago."""
    fold = folded(started(0.0), ended(1.0, 0.0, cost_usd=0.5))
    changelog = fold.flush() + folded(started(7200.0, "new", "b"), fold=fold).flush()
    rows = rows_of(changelog)
    assert [key for key in rows if key.startswith(b"pane/")] == [b"pane/0/1700007200000/0"]
    restored = PartitionFold.restored(0, rows.values())
    totals = totals_of(restored)
    assert (totals.started, totals.ok, totals.cost_micro_usd) == (1, 1, 500_000)


@pytest.mark.parametrize(("silent_s", "seen"), [(30.0, ["host-1"]), (30.001, [])])
def test_router_is_seen_until_it_falls_silent(silent_s: float, seen: list[str]) -> None:
    """The last sign of life of each emitter travels with the totals for 30 s of the watermark."""
    fold = folded(RouterStats(at_ms=T0, emitter="host-1", services=("chat",)), started(silent_s))
    assert [router.emitter for router in closing_of(fold).routers] == seen
