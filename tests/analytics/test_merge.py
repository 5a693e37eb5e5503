"""Merging: consistent cuts of partitions, in any order and however often, and the load that follows from them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fleet.load import LoadTracker
from routecast.analytics.fold import PartitionFold, Record
from routecast.analytics.merge import Merge, SlotNews
from routecast.analytics.sketch import decode_counts
from routecast.models.errors import DecodeError
from routecast.models.events import Completed, Event, Outcome, RouterStats, Started
from routecast.models.rows import PANE_MS, SLOT_MS, PaneRow, TargetPane, TargetTotals, TotalsRow, decode_row, encode_row, pane_key, totals_key

T0 = 1_700_000_000_000.0
PANE = int(T0)

Step = tuple[float, float | None, int, Outcome, bool]
"""Start (s), duration (s; None: it never ends), target, outcome, whether the start is reported."""

outcomes = st.sampled_from(["ok", "ok", "error", "timeout", "rate_limited", "cancelled"])
minutes = st.tuples(st.integers(0, 3000).map(lambda tenth: tenth / 10), st.sampled_from([0.0, 0.7, 12.0, None]), st.integers(0, 3), outcomes, st.booleans())
"""Histories within the kept time, so that nothing is late whatever the order."""
hours = st.tuples(
    st.integers(0, 15_000).map(lambda tenth: tenth / 10), st.sampled_from([0.0, 0.7, 12.0, 606.0, 700.0, None]), st.integers(0, 3), outcomes, st.booleans()
)


def events_of(number: int, step: Step) -> list[Event]:
    """The events of one request."""
    start_s, duration_s, target, outcome, reported = step
    began = Started(at_ms=T0 + start_s * 1000, request_id=str(number), target=f"t{target}", provider="p")
    events: list[Event] = [began] if reported else []
    if duration_s is not None:
        events.append(
            Completed(
                at_ms=began.at_ms + duration_s * 1000, request_id=str(number), target=f"t{target}", started_at_ms=began.at_ms, start_reported=reported,
                duration_ms=duration_s * 1000 + number / 7, outcome=outcome, ttft_ms=number * 1.1, input_tokens=number,
                output_tokens=3, cost_usd=0.1 / (number + 1), quality=0.3,
            )
        )  # fmt: skip
    return events


def in_order(history: Sequence[Step]) -> list[Event]:
    """All events of a history by time."""
    return sorted((event for number, step in enumerate(history) for event in events_of(number, step)), key=lambda event: event.at_ms)


def merged(changelog: Iterable[Record]) -> Merge:
    """The merge of these changelog records."""
    merge = Merge()
    for key, value in changelog:
        merge.add(key, value)
    return merge


def changelog_of(partition: int, records: Sequence[Sequence[Event]], flush_every: int = 1) -> list[Record]:
    """The changelog of one partition whose log has these records, appended ten minutes after `T0`."""
    fold, changelog = PartitionFold(partition), list[Record]()
    for offset, events in enumerate(records):
        fold.apply(offset, T0 + 600_000, events)
        if offset % flush_every == 0:
            changelog += fold.flush()
    return changelog + fold.flush()


def sums_of(panes: Iterable[TargetPane]) -> dict[str, Counter[object]]:
    """Per target everything that adds up, sketches bucket by bucket, slots apart."""
    sums: dict[str, Counter[object]] = {}
    for pane in panes:
        total = sums.setdefault(pane.target, Counter())
        for name in pane.__struct_fields__:
            value = getattr(pane, name)
            if isinstance(value, int):
                total[name] += value
        for name in ("duration", "ttft", "tpot"):
            tally = getattr(pane, name)
            total[name, "n"] += tally.n
            total[name, "sum"] += tally.sum_us
            buckets, counts = decode_counts(tally.sketch)
            total.update({(name, bucket): count for bucket, count in zip(buckets.tolist(), counts.tolist(), strict=True)})
    return sums


def interleaved(changelogs: Sequence[list[Record]], rng: random.Random) -> list[Record]:
    """The records of several partitions mixed, each partition's in its order."""
    order = [i for i, changelog in enumerate(changelogs) for _ in changelog]
    rng.shuffle(order)
    remaining = [iter(changelog) for changelog in changelogs]
    return [next(remaining[i]) for i in order]


def pane_record(fence: int, pane_ms: int = PANE, started: int = 1, partition: int = 0) -> Record:
    """A pane row of one target with `started` requests in its first slot."""
    fold = PartitionFold(partition)
    for offset in range(started):
        fold.apply(offset, pane_ms, [Started(at_ms=pane_ms, request_id=str(offset), target="a")])
    row = next(merge_rows(fold.flush()))
    return pane_key(partition, pane_ms, 0), encode_row(msgspec.structs.replace(row, fence=fence))


def totals_record(fence: int, started: int = 1, partition: int = 0) -> Record:
    """A closing row."""
    return totals_key(partition, 0), encode_row(TotalsRow(partition, 0, fence, T0, [TargetTotals("a", started=started)]))


def panes_of(merge: Merge) -> dict[int, list[TargetPane]]:
    """The merged panes of all targets and partitions, by the time of their start."""
    return {pane_ms: [pane for _, row in sorted(chunks.items()) for pane in row.targets] for pane_ms, chunks in sorted(merge.panes.items())}


def started_in(merge: Merge) -> list[int]:
    """Starts in the merged panes, pane by pane."""
    return [sum(slot.started for slot in pane.slots) for panes in panes_of(merge).values() for pane in panes]


@given(st.lists(minutes, max_size=30), st.integers(1, 4), st.integers(1, 5), st.randoms())
def test_any_order_and_any_partitioning_give_the_same_bytes(history: list[Step], partitions: int, size: int, rng: random.Random) -> None:
    """Events shuffled over partitions, records, flushes: merged counts, sums, sketches, slots and totals are those of one plain log."""
    shuffled = [events_of(number, step) for number, step in enumerate(history)]
    plain = merged(changelog_of(0, [[event] for events in shuffled for event in events]))
    rng.shuffle(shuffled)
    logs: list[list[Event]] = [[] for _ in range(partitions)]
    for events in shuffled:
        rng.choice(logs).extend(events)
    changelogs = [changelog_of(p, [log[i : i + size] for i in range(0, len(log), size)], size) for p, log in enumerate(logs)]
    spread = merged(interleaved(changelogs, rng))
    assert spread.target_totals() == plain.target_totals()
    assert spread.take_news() == plain.take_news()
    found, expected = panes_of(spread), panes_of(plain)
    assert {pane_ms: sums_of(panes) for pane_ms, panes in found.items()} == {pane_ms: sums_of(panes) for pane_ms, panes in expected.items()}


@given(st.lists(hours, min_size=5, max_size=40), st.lists(st.integers(0, 2), min_size=40, max_size=40))
def test_load_equals_the_truth_at_every_step_and_returns_to_zero(history: list[Step], partition_of: list[int]) -> None:
    """Through fold, rows and merge: in flight per target is a count of what is open, with lost, overdue and unreported requests."""
    folds = [PartitionFold(partition) for partition in range(3)]
    merge, tracker, now_ms = Merge(), LoadTracker(4), T0
    open_: dict[str, tuple[int, int]] = {}
    for event in in_order(history):
        assert isinstance(event, Started | Completed)
        fold = folds[partition_of[int(event.request_id)]]
        now_ms = max(now_ms, event.at_ms)
        start_ms = int(event.at_ms if isinstance(event, Started) else event.started_at_ms)
        if isinstance(event, Started):
            open_[event.request_id] = (int(event.target[1:]), start_ms // SLOT_MS * SLOT_MS)
        elif start_ms // PANE_MS * PANE_MS + 610_000 > max(fold.watermark_ms, event.at_ms):
            open_.pop(event.request_id, None)
        fold.apply(fold.offset + 1, event.at_ms, [event])
        _tell(tracker, merge, fold.flush(), now_ms)
        kept = [target for target, slot_ms in open_.values() if slot_ms // PANE_MS * PANE_MS + PANE_MS > now_ms - 600_000]
        assert tracker.in_flight().tolist() == [kept.count(target) for target in range(4)]
    for fold in folds:
        fold.apply(fold.offset + 1, now_ms + 700_000, [RouterStats(at_ms=now_ms + 700_000, emitter="e")])
        _tell(tracker, merge, fold.flush(), now_ms + 700_000)
    assert tracker.in_flight().tolist() == [0, 0, 0, 0]
    for totals in merge.target_totals().values():
        assert totals.started == totals.lost + totals.ok + totals.failed + totals.cancelled


def _tell(tracker: LoadTracker, merge: Merge, changelog: list[Record], now_ms: float) -> None:
    for key, value in changelog:
        merge.add(key, value)
    tracker.advance(now_ms)
    for news in merge.take_news():
        tracker.add(int(news.target[1:]), news)


@given(st.lists(minutes, min_size=5, max_size=20), st.lists(st.tuples(st.integers(1, 6), st.floats(0, 1)), min_size=1, max_size=6))
def test_owners_that_crash_within_a_flush_leave_no_trace(history: list[Step], plan: list[tuple[int, float]]) -> None:
    """A leader that reads everything, torn flushes and their repair included, ends with what a quiet run gives, and with the same news."""
    records = [[event] for event in in_order(history)]
    changelog, fold = list[Record](), PartitionFold(0)
    for count, surviving in plan:
        for offset in range(fold.offset + 1, min(fold.offset + 1 + count, len(records))):
            fold.apply(offset, T0 + 600_000, records[offset])
        flush = fold.flush()
        changelog += flush[: int(surviving * len(flush))]
        rows = [*merge_rows(changelog)]
        fold = PartitionFold.restored(0, rows)
    for offset in range(fold.offset + 1, len(records)):
        fold.apply(offset, T0 + 600_000, records[offset])
    disturbed, quiet = merged(changelog + fold.flush()), merged(changelog_of(0, records))
    assert disturbed.target_totals() == quiet.target_totals()
    assert disturbed.take_news() == quiet.take_news()
    assert [*map(sums_of, panes_of(disturbed).values())] == [*map(sums_of, panes_of(quiet).values())]


def merge_rows(changelog: Iterable[Record]) -> Iterator[PaneRow | TotalsRow]:
    """All rows of a changelog, old versions too."""
    for key, value in changelog:
        if value is not None:
            yield decode_row(key, value)


def test_rows_count_only_when_their_flush_is_closed() -> None:
    """Until the totals row of chunk 0 arrives, nothing of a flush is seen."""
    merge = Merge()
    assert not merge.add(*pane_record(fence=5))
    assert (started_in(merge), merge.take_news(), merge.offsets) == ([], [], {})
    assert merge.add(*totals_record(fence=5))
    assert (started_in(merge), len(merge.take_news()), merge.offsets) == ([1], 1, {0: 5})


def test_row_of_a_later_flush_waits_for_its_own_close() -> None:
    """A row with a fence above the closing row belongs to a flush that was torn: it counts once a close reaches it."""
    merge = merged([pane_record(fence=3), pane_record(fence=9, started=4), totals_record(fence=5)])
    assert started_in(merge) == []
    merge.add(*totals_record(fence=9))
    assert started_in(merge) == [4]


def test_higher_fence_wins_whatever_comes_last() -> None:
    """An owner that was thought dead and writes an old row changes nothing."""
    merge = merged([pane_record(fence=9, started=4), totals_record(fence=9, started=4)])
    merge.add(*pane_record(fence=5, started=2))
    assert not merge.add(*totals_record(fence=5, started=2))
    merge.add(*totals_record(fence=10, started=4))
    assert (started_in(merge), merge.target_totals()["a"].started) == ([4], 4)


def test_higher_fence_wins_among_rows_that_wait() -> None:
    """The row of a torn flush is not replaced by an older one before its flush is closed."""
    merge = merged([pane_record(fence=9, started=4), pane_record(fence=7, started=2), totals_record(fence=9)])
    assert started_in(merge) == [4]


def test_higher_fence_wins_among_totals() -> None:
    """An older row of a later chunk does not take back what was counted."""
    new, old = (TotalsRow(0, 1, fence, T0, [TargetTotals("b", started=fence)]) for fence in (9, 5))
    merge = merged([(totals_key(0, 1), encode_row(new)), totals_record(fence=9), (totals_key(0, 1), encode_row(old)), totals_record(fence=10)])
    assert merge.target_totals()["b"].started == 9


def test_order_of_partitions_does_not_decide_the_labels() -> None:
    """Where partitions disagree on a provider, the lowest partition is believed, whichever came first."""
    rows = [(totals_key(p, 0), encode_row(TotalsRow(p, 0, 1, T0, [TargetTotals("a", provider=f"p{p}")]))) for p in (2, 0, 1)]
    assert merged(rows).target_totals()["a"].provider == "p0"


def test_news_are_differences() -> None:
    """A row that replaces another brings only what it has more; the same row again brings nothing."""
    merge = merged([pane_record(fence=1, started=1), totals_record(fence=1)])
    merge.take_news()
    for _ in range(2):
        merge.add(*pane_record(fence=4, started=3))
        merge.add(*totals_record(fence=4))
    assert merge.take_news() == [SlotNews("a", PANE, 2, 2, 0, 0, 0, 0, 0)]
    assert merge.take_news() == []


def test_tombstone_removes_what_is_on_its_way_and_nothing_that_counts() -> None:
    """Garbage collection may come before or after a tick; what is in the tables expires by the tick's time alone."""
    merge = merged([pane_record(fence=1), totals_record(fence=1), (pane_key(0, PANE, 0), None)])
    assert started_in(merge) == [1]
    merge.expire(PANE + PANE_MS)
    assert merge.panes == {}
    fresh = merged([pane_record(fence=2), (pane_key(0, PANE, 0), None), totals_record(fence=2)])
    assert fresh.panes == {}


@given(st.lists(minutes, max_size=30))
def test_load_rebuilt_from_kept_panes_is_the_load_that_was_followed(history: list[Step]) -> None:
    """A new leader that reads the tables knows what the old one knew, at every half-second."""
    fold, merge, followed, now_ms = PartitionFold(0), Merge(), LoadTracker(4), T0
    for event in in_order(history):
        now_ms = max(now_ms, event.at_ms)
        fold.apply(fold.offset + 1, event.at_ms, [event])
        _tell(followed, merge, fold.flush(), now_ms)
        merge.expire(now_ms - 600_000)
        rebuilt = LoadTracker(4)
        rebuilt.advance(now_ms)
        for item in merge.all_slots():
            rebuilt.add(int(item.target[1:]), item)
        slots = range(int(now_ms) - 620_000, int(now_ms) + 60_000, SLOT_MS)
        assert rebuilt.in_flight_at(slots).tolist() == followed.in_flight_at(slots).tolist()


def test_expired_pane_does_not_come_back() -> None:
    """A partition whose clock lags may still write a pane the leader has expired: it is no news and no pane."""
    merge = merged([pane_record(fence=1), totals_record(fence=1)])
    merge.take_news()
    merge.expire(PANE + PANE_MS)
    assert started_in(merge) == []
    for record in (pane_record(fence=2, started=5), pane_record(fence=2, pane_ms=PANE + PANE_MS), totals_record(fence=2)):
        merge.add(*record)
    assert started_in(merge) == [1]
    assert [news.slot_ms for news in merge.take_news()] == [PANE + PANE_MS]


def test_routers_are_counted_while_they_give_signs_of_life() -> None:
    """Each emitter's last report, within 30 s."""
    fold = PartitionFold(0)
    fold.apply(0, T0 + 40_000, [RouterStats(at_ms=T0 + at_s * 1000, emitter=f"e{at_s}") for at_s in (0, 10, 40)])
    merge = merged(fold.flush())
    assert (merge.routers(T0 + 40_000), merge.routers(T0 + 41_000), merge.routers(T0 + 75_000)) == (2, 1, 0)


def test_routers_are_counted_for_the_services_they_route() -> None:
    """One that names none stands under the empty name; one that names a service twice counts once; silent ones not at all."""
    fold = PartitionFold(0)
    told = [("a", ("chat",)), ("b", ("chat", "chat", "search")), ("c", ())]
    fold.apply(0, T0 + 40_000, [RouterStats(at_ms=T0 + 40_000, emitter=emitter, services=services) for emitter, services in told])
    merge = merged(fold.flush())
    assert merge.routers_by_service(T0 + 40_000) == {"chat": 2, "search": 1, "": 1}
    assert merge.routers_by_service(T0 + 75_000) == {}


@pytest.mark.parametrize("record", [(b"pane/0/0/0", b"\xc1"), (b"totals/0/0", b"{}"), (b"totals/0/0", b"")])
def test_record_that_is_no_row_names_its_key(record: tuple[bytes, bytes]) -> None:
    """A foreign record in the changelog is an error that says which."""
    with pytest.raises(DecodeError, match=str(record[0])):
        Merge().add(*record)
