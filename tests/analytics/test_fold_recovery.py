"""The fold through crashes: torn flushes, rows from stalled owners and events read again leave no trace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fold import PartitionFold, Record
from routecast.analytics.merge import Merge, SlotNews
from routecast.models.events import Completed, Event, Feedback, Outcome, Resources, RouterStats, Started
from routecast.models.rows import KEPT_MS, PaneRow, TotalsRow, decode_row, encode_row

T0 = 1_700_000_000_000.0
KEPT_S = 610
"""A pane is gone once the watermark is this far behind its start."""


class Sent(NamedTuple):
    """One record of the event log."""

    append_ms: float
    events: list[Event]


def started(at_s: float, request: str = "r", target: str = "a") -> Started:
    """A start, seconds after `T0`."""
    return Started(at_ms=T0 + at_s * 1000, request_id=request, target=target)


def ended(at_s: float, since_s: float, request: str = "r", target: str = "a", outcome: Outcome = "ok", **more: object) -> Completed:
    """A completion at `at_s` of what started at `since_s`."""
    duration_ms = round((at_s - since_s) * 1000, 3)
    event = Completed(at_ms=T0 + at_s * 1000, request_id=request, target=target, started_at_ms=T0 + since_s * 1000, duration_ms=duration_ms, outcome=outcome)
    return msgspec.structs.replace(event, **more)


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


@given(st.lists(steps, min_size=8, max_size=30), st.lists(crashes, min_size=2, max_size=12))
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
    fold = PartitionFold(0)
    fold.apply(0, T0, [started(0.0, target=f"t{i}") for i in range(300)])
    fold.flush()
    fold.apply(1, T0, [Resources(at_ms=T0, target="new", cpu=0.5)])
    assert b"totals/0/1" in dict(fold.flush())


def test_restored_fold_does_not_reach_into_the_rows_it_came_from() -> None:
    """The rows may be restored from again."""
    fold = PartitionFold(0)
    fold.apply(0, T0, [started(0.0)])
    flush = fold.flush()
    rows = [decode_row(key, value) for key, value in flush if value]
    PartitionFold.restored(0, rows).apply(1, T0, [started(0.0)])
    assert [encode_row(row) for row in rows] == [value for _, value in flush]


def test_restored_fold_takes_the_newest_of_rows_in_any_order() -> None:
    """An old row that a stalled owner wrote last does not win over the one with the higher fence."""
    fold, flushes = PartitionFold(0), list[list[Record]]()
    for offset in range(2):
        fold.apply(offset, T0, [started(0.0), RouterStats(at_ms=T0, emitter=f"e{offset}")])
        flushes.append(fold.flush())
    old, new = (list(rows_of(flush).values()) for flush in flushes)
    restored = PartitionFold.restored(0, new + old)
    assert restored.offset == 1
    assert rows_of(restored.flush())[b"totals/0/0"] == rows_of(flushes[1])[b"totals/0/0"]


@given(st.lists(steps, min_size=5, max_size=40))
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


def looks_at(log: Sequence[Sent], looks: Sequence[int], flushes: frozenset[int]) -> list[tuple[list[SlotNews], list[SlotNews], object]]:
    """What a leader finds at each of these offsets where the fold flushes there and at others besides."""
    fold, merge = PartitionFold(0), Merge()
    found: list[tuple[list[SlotNews], list[SlotNews], object]] = []
    for offset, record in enumerate(log):
        fold.apply(offset, record.append_ms, record.events)
        if offset in flushes or offset in looks:
            for key, value in fold.flush():
                merge.add(key, value)
        if offset in looks:
            found.append((merge.take_news(), merge.all_slots(), merge.target_totals()))
            merge.expire(record.append_ms - 30_000 - KEPT_MS)
    return found


@given(st.lists(steps, min_size=2, max_size=25), st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_what_a_cut_holds_does_not_depend_on_flushes(history: list[Step], looks: set[int], flushes: set[int]) -> None:
    """Whoever folds up to the same offset has the same rows and the same news, also of panes that expired since: replay rests on it."""
    log = log_of(history)
    assert looks_at(log, sorted(looks), frozenset(flushes)) == looks_at(log, sorted(looks), frozenset())


def test_the_last_change_of_a_pane_is_written_though_it_has_expired() -> None:
    """A leader whose clock is behind the brokers' still counts it, as if there had been a flush in between."""
    log = [Sent(T0 + 600_000.0, [started(0.0)]), Sent(T0 + 615_000.0, [started(615.0)])]
    (seen,), (other,) = (looks_at(log, [1], flushes) for flushes in (frozenset({0}), frozenset[int]()))
    assert seen == other
    assert [(news.slot_ms, news.started) for news in other[0]] == [(T0, 1), (T0 + 615_000, 1)]
