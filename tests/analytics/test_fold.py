"""The fold: what bad, late, duplicate and future events do, and that no crash and no redelivery leaves a trace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fold import PartitionFold, Record
from routecast.models.events import Completed, Event, Feedback, Outcome, Resources, RouterStats, Started, decode_events, encode_events
from routecast.models.rows import PaneRow, TargetTotals, TotalsRow, decode_row

T0 = 1_700_000_000_000.0
KEPT_S = 610
"""A pane is gone once the watermark is this far behind its start."""


class Sent(NamedTuple):
    """One record of the event log."""

    append_ms: float
    events: list[Event]


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


def figures_of(changelog: Iterable[Record]) -> dict[bytes, PaneRow | TotalsRow]:
    """The final rows without their fences, which tell when a row was written and not what is in it."""
    plain: dict[bytes, PaneRow | TotalsRow] = {}
    for key, row in rows_of(changelog).items():
        plain[key] = msgspec.structs.replace(row, fence=0)
        if isinstance(row, TotalsRow) and row.chunk:
            plain[key] = msgspec.structs.replace(plain[key], watermark_ms=0.0)
    return plain


def totals_of(fold: PartitionFold, target: str = "a") -> TargetTotals:
    """Totals of a target as the next flush writes them."""
    rows = [row for row in rows_of(fold.flush()).values() if isinstance(row, TotalsRow)]
    return next(totals for row in rows for totals in row.targets if totals.target == target)


def closing_of(fold: PartitionFold) -> TotalsRow:
    """The row that closes the next flush."""
    row = rows_of(fold.flush())[b"totals/0/0"]
    assert isinstance(row, TotalsRow)
    return row


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
    """What is older than the kept panes is added to the totals, counted as late, and opens no pane."""
    fold = folded(started(700.0, "new", "b"))
    fold.apply(1, T0 + 700_000, [started(1.0), ended(2.0, 1.0, quality=0.5)])
    rows = rows_of(fold.flush())
    assert [key for key in rows if key.startswith(b"pane/")] == [b"pane/0/1700000700000/0"]
    row = rows[b"totals/0/0"]
    assert isinstance(row, TotalsRow)
    late = row.targets[1]
    assert (late.started, late.ok, late.lost, late.late, late.quality_n, late.duration_us) == (1, 1, 0, 2, 1, 1_000_000)


@pytest.mark.parametrize(("behind_s", "late"), [(KEPT_S - 0.001, 0), (KEPT_S, 1)])
def test_feedback_finds_its_pane_or_counts_as_late(behind_s: float, late: int) -> None:
    """Feedback goes to the pane of its request; once that has expired, to the totals alone."""
    fold = folded(started(behind_s, "new", "b"))
    fold.apply(1, T0 + behind_s * 1000, [Feedback(at_ms=T0 + behind_s * 1000, request_id="r", target="a", completed_at_ms=T0, quality=0.25)])
    changelog = fold.flush()
    totals = rows_of(changelog)[b"totals/0/0"]
    assert isinstance(totals, TotalsRow)
    assert (totals.targets[1].quality_n, totals.targets[1].quality_sum, totals.targets[1].late) == (1, 250_000, late)
    panes = [pane for row in rows_of(changelog).values() if isinstance(row, PaneRow) for pane in row.targets if pane.target == "a"]
    assert [pane.quality_sum for pane in panes] == [250_000] * (1 - late)


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


Step = tuple[float, float | None, float, int, Outcome, bool]
"""Start (s), duration (s; None: it never ends), delay of delivery (s), target, outcome, whether the start is reported."""

steps = st.tuples(
    st.integers(0, 14_000).map(lambda tenth: tenth / 10),
    st.sampled_from([0.0, 0.4, 3.0, 30.0, 605.0, 700.0, None]),
    st.sampled_from([0.0, 0.0, 0.0, 5.0, 620.0]),
    st.integers(0, 2),
    st.sampled_from(["ok", "ok", "error", "timeout", "rate_limited", "cancelled"]),
    st.booleans(),
)
crashes = st.tuples(st.integers(1, 8), st.floats(0, 1), st.integers(0, 5))
"""Records until the flush, share of its rows that survive (1: no crash), and how much earlier the reading starts again."""


def log_of(history: Sequence[Step]) -> list[Sent]:
    """The event log of a history, in the order of delivery: two events a record where they fall together, with feedback and reports."""
    sent: list[tuple[float, Event]] = []
    for i, (start_s, duration_s, delay_s, number, outcome, reported) in enumerate(history):
        target, end_s = f"t{number}", start_s + (duration_s or 0.0)
        if reported:
            sent.append((start_s + delay_s, started(start_s, str(i), target)))
        if duration_s is not None:
            sent.append((end_s + delay_s, ended(end_s, start_s, str(i), target, outcome, start_reported=reported, ttft_ms=1.5, output_tokens=3)))
            sent.append(
                (end_s + 300.0, Feedback(at_ms=T0 + (end_s + 300.0) * 1000, request_id=str(i), target=target, completed_at_ms=T0 + end_s * 1000, quality=0.3))
            )
        sent.append((start_s, RouterStats(at_ms=T0 + start_s * 1000, emitter=f"e{i % 3}")))
        sent.append((start_s + 1.0, Resources(at_ms=T0 + start_s * 1000, target=f"resource{number}", cpu=0.5)))
    sent.sort(key=lambda item: item[0])
    return [Sent(T0 + 1000 * sent[min(i + 1, len(sent) - 1)][0], [event for _, event in sent[i : i + 2]]) for i in range(0, len(sent), 2)]


def apply_all(fold: PartitionFold, log: Sequence[Sent], start: int, stop: int) -> None:
    """Apply these records of the log."""
    for offset in range(start, min(stop, len(log))):
        fold.apply(offset, log[offset].append_ms, log[offset].events)


def disturbed(log: Sequence[Sent], plan: Sequence[tuple[int, float, int]]) -> list[Record]:
    """The changelog of owners that crash in the middle of flushes, each restoring from what the one before left behind."""
    changelog: list[Record] = []
    fold, position = PartitionFold(0), 0
    for count, surviving, back in plan:
        apply_all(fold, log, position, position + count)
        position = min(position + count, len(log))
        flush = fold.flush()
        changelog += flush[: round(surviving * len(flush))]
        if surviving < 1:
            fold = PartitionFold.restored(0, [decode_row(key, value) for key, value in changelog if value is not None])
            position = max(0, fold.offset + 1 - back)
    apply_all(fold, log, position, len(log))
    return changelog + fold.flush()


@given(st.lists(steps, max_size=25), st.lists(crashes, max_size=12))
def test_crashes_torn_flushes_and_redelivery_leave_no_trace(history: list[Step], plan: list[tuple[int, float, int]]) -> None:
    """Whatever prefix of whatever flush survives, and from wherever the log is read again, the rows are those of a quiet run."""
    log = log_of(history)
    assert figures_of(disturbed(log, plan)) == figures_of(disturbed(log, []))


@pytest.mark.parametrize("surviving", [0.1 * i for i in range(10)])
def test_torn_flush_does_not_move_targets_between_chunks(surviving: float) -> None:
    """A flush that brings the second chunk and is torn anywhere: every target is found in the chunk it had, with nothing lost."""
    log = [Sent(T0, [started(0.001 * i, target=f"t{i}"), Resources(at_ms=T0, target=f"only resources {i}")]) for i in range(400)]
    plan = [(100, 1.0, 0), (250, surviving, 3), (10, surviving, 0)]
    assert figures_of(disturbed(log, plan)) == figures_of(disturbed(log, []))


@pytest.mark.parametrize("surviving", [0.1 * i for i in range(10)])
def test_torn_flush_books_no_loss_and_no_feedback_twice(surviving: float) -> None:
    """Chunks that were written and chunks that were not read the same events again, and each takes only what it does not have."""
    begun = [Sent(T0, [started(0.001 * i, target=f"t{i}")]) for i in range(300)]
    judged = [Feedback(at_ms=T0 + 700_000, request_id="r", target=f"t{i}", completed_at_ms=T0 + 699_000, quality=1.0) for i in range(300)]
    log = [*begun, *(Sent(T0 + 700_000, [started(700.0, target=f.target), f]) for f in judged)]
    plan = [(300, 1.0, 0), (300, surviving, 0), (50, surviving, 20)]
    assert figures_of(disturbed(log, plan)) == figures_of(disturbed(log, []))


def test_target_that_only_reports_resources_has_a_place_in_its_chunk() -> None:
    """A new target is written with the totals of its chunk, so that a restart finds it where it was."""
    fold = folded(*(started(0.0, target=f"t{i}") for i in range(300)))
    fold.flush()
    folded(Resources(at_ms=T0, target="new", cpu=0.5), fold=fold)
    assert b"totals/0/1" in dict(fold.flush())


def test_restored_fold_does_not_reach_into_the_rows_it_came_from() -> None:
    """The rows may be restored from again."""
    rows = list(rows_of(folded(started(0.0)).flush()).values())
    folded(started(1.0), fold=PartitionFold.restored(0, rows))
    assert totals_of(PartitionFold.restored(0, rows)).started == 1


def test_restored_fold_takes_the_newest_of_rows_in_any_order() -> None:
    """An old row that a stalled owner wrote last does not win over the one with the higher fence."""
    fold = folded(started(0.0))
    old = [decode_row(key, value) for key, value in fold.flush() if value]
    new = [decode_row(key, value) for key, value in folded(started(1.0), fold=fold).flush() if value]
    assert totals_of(PartitionFold.restored(0, new + old)).started == 2


@given(st.lists(steps, max_size=40))
def test_open_is_started_less_ended_less_lost_at_every_step(history: list[Step]) -> None:
    """In flight needs no memory of requests: after each record totals and kept slots agree, and both with a list of what is open."""
    fold, open_ = PartitionFold(0), dict[str, float]()
    changelog: list[Record] = []
    for offset, (append_ms, events) in enumerate(log_of(history)):
        fold.apply(offset, append_ms, events)
        for event in events:
            if isinstance(event, Started):
                open_[event.request_id] = event.at_ms
            elif isinstance(event, Completed):
                open_.pop(event.request_id, None)
        open_ = {request: at_ms for request, at_ms in open_.items() if at_ms // 10_000 * 10_000 + KEPT_S * 1000 > fold.watermark_ms}
        changelog += fold.flush()
        rows = rows_of(changelog).values()
        totals = [t for row in rows if isinstance(row, TotalsRow) for t in row.targets]
        ended_ = sum(t.ok + t.failed + t.cancelled + t.caller_fault for t in totals)
        slots = [slot for row in rows if isinstance(row, PaneRow) for pane in row.targets for slot in pane.slots]
        assert sum(t.started - t.lost for t in totals) - ended_ == sum(s.started - s.ended for s in slots) == len(open_)
