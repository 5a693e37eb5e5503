from __future__ import annotations

from typing import Any

import msgspec
import pytest

from routecast.models.rows import (
    KEPT_MS,
    PANE_MS,
    SLOT_MS,
    SLOTS,
    PaneRow,
    RouterSeen,
    Slot,
    Tally,
    TargetPane,
    TargetTotals,
    TotalsRow,
    decode_row,
    encode_row,
    pane_key,
    totals_key,
)

TALLY = Tally(3, 3_000_000, 900_000, 1_100_000, b"\x01\x02")
NUMBERED: dict[str, Any] = {field.name: i for i, field in enumerate(msgspec.structs.fields(TargetPane), 1)}
SHAPED: dict[str, Any] = {"target": "a", "duration": TALLY, "ttft": TALLY, "tpot": Tally(), "slots": (Slot(0, 1, 2, 3, 4, 5, 6, 7), Slot(19))}
PANE = TargetPane(**(NUMBERED | SHAPED))
PANE_ROW = PaneRow(2, 1_700_000_000_000, 1, 17, [PANE])
TOTALS_ROW = TotalsRow(
    2, 0, 17, 1.5e12, [TargetTotals("a", "p", "m", "s", "eu", started=9, ok=5, late=1, satisfaction_sum=7)], 10, 2, 1, [RouterSeen("e", 1.0, ("s",))]
)


@pytest.mark.parametrize(("key", "row"), [(pane_key(2, 1_700_000_000_000, 1), PANE_ROW), (totals_key(2, 0), TOTALS_ROW)], ids=["pane", "totals"])
def test_what_is_written_is_what_is_read(key: bytes, row: PaneRow | TotalsRow) -> None:
    """The key says which of the two it is; equal rows give equal bytes."""
    assert decode_row(key, encode_row(row)) == row
    assert encode_row(decode_row(key, encode_row(row))) == encode_row(row)


def test_keys_are_unique_by_partition_pane_and_chunk() -> None:
    """Compaction keeps one record for each key."""
    keys = {pane_key(p, ms, c) for p in range(3) for ms in (0, 10_000) for c in range(3)} | {totals_key(p, c) for p in range(3) for c in range(3)}
    assert len(keys) == 3 * 2 * 3 + 3 * 3


@pytest.mark.parametrize("value", [b"", b"\x00", b"not a row", encode_row(TOTALS_ROW)[:-3], msgspec.msgpack.encode([1, 2])], ids=repr)
def test_bytes_that_are_no_row_are_refused(value: bytes) -> None:
    """Whatever their key."""
    for key in (pane_key(0, 0, 0), totals_key(0, 0)):
        with pytest.raises(msgspec.DecodeError):
            decode_row(key, value)


def test_rows_of_before_there_were_tokens_and_late_figures_are_still_read() -> None:
    """The log is compacted: rows of an earlier version stay in it, count no tokens, and nothing as late."""
    row = msgspec.msgpack.decode(encode_row(PANE_ROW))
    for pane in row[-1]:
        pane[25:] = [[slot[:8] for slot in pane[25]]]
    read = decode_row(pane_key(2, 1_700_000_000_000, 1), msgspec.msgpack.encode(row))
    assert isinstance(read, PaneRow)
    assert read.targets[0].slots == (Slot(0, 1, 2, 3, 4, 5, 6, 7), Slot(19))
    assert read.targets[0].slots[0].tokens_n == 0


def test_slots_fill_a_pane() -> None:
    """Ten seconds in halves, kept for sixty panes."""
    assert SLOTS * SLOT_MS == PANE_MS == 10_000
    assert KEPT_MS % PANE_MS == 0


def test_what_counts_against_reliability() -> None:
    """Errors, timeouts and rate limits; neither cancellations nor the caller's own faults."""
    assert TargetTotals("a", error=1, timeout=10, rate_limited=100, cancelled=1000, caller_fault=10_000, ok=100_000, lost=1_000_000).failed == 111
