"""What a pane row, or a part of a window that is closed, says of its targets: integers, one row a target, with sketches kept sparse.

Columns add up in any order to the same integers. A target takes 280 bytes and 8 for every bucket that holds any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.sketch import BUCKETS, decode_many
from routecast.models.rows import SLOT_MS, PaneRow, Slot, TargetPane

Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]

DURATIONS: Final = ("duration", "ttft", "tpot")
CELLS: Final = len(DURATIONS) * BUCKETS
"""Cells of a target: the buckets of its three sketches, one sketch after the other."""

_COUNTED = (
    "ok", "error", "timeout", "rate_limited", "cancelled", "caller_fault", "input_tokens", "output_tokens", "cost_micro_usd", "quality_n",
    "quality_sum", "satisfaction_n", "satisfaction_sum", "cpu_n", "cpu_sum", "memory_n", "memory_sum", "network_n", "network_us_sum", "queue_n",
    "late", "late_quality_n", "late_quality_sum", "late_satisfaction_n", "late_satisfaction_sum",
)  # fmt: skip
SUMS: Final = (*_COUNTED, *(f"{name}_n" for name in DURATIONS), *(f"{name}_us" for name in DURATIONS), "open")
"""What adds up; `open` are requests that started here and have not ended."""
HIGHS: Final = ("last_slot_ms", "queue_depth_max", *(f"{name}_max_us" for name in DURATIONS))
"""Of these the largest counts; 0 where there is none."""
LOWS: Final = tuple(f"{name}_min_us" for name in DURATIONS)
"""Of these the least counts; `NO_LOW` where there is none."""
NO_LOW: Final = np.iinfo(np.int64).max


class Columns(NamedTuple):
    """Figures of some targets, each of which occurs once."""

    numbers: Ints
    """The number of each target, given by whoever keeps the columns."""
    sums: Ints
    """[targets × SUMS]."""
    highs: Ints
    lows: Ints
    cells: SmallInts
    """Cells that hold any: number of the target × CELLS + cell."""
    counts: SmallInts
    """How many each of them holds."""


def columns_of(rows: Sequence[PaneRow], number_of: Callable[[str], int]) -> list[Columns]:
    """The columns of each of these rows: about 6 µs a target.

    Raises DecodeError where a sketch is not one.
    """
    panes = [pane for row in rows for pane in row.targets]
    numbers = np.array([number_of(pane.target) for pane in panes], np.int64)
    figures = chain.from_iterable(_figures(row.pane_ms, pane) for row in rows for pane in row.targets)
    table = np.fromiter(figures, np.int64).reshape(len(panes), len(LOWS) + len(HIGHS) + len(SUMS))
    lows, highs, sums = np.split(table, (len(LOWS), len(LOWS) + len(HIGHS)), axis=1)
    lows = np.where(sums[:, _N] > 0, lows, NO_LOW)
    sketch, buckets, counts = decode_many([sketch for pane in panes for sketch in _sketches(pane)])
    targets, durations = np.divmod(sketch, len(DURATIONS))
    cells = (numbers[targets] * CELLS + durations * BUCKETS + buckets).astype(np.int32)
    small = counts.astype(np.int32)
    borders = np.cumsum([0, *(len(row.targets) for row in rows)])
    held = targets.searchsorted(borders)
    return [
        Columns(numbers[i:j].copy(), sums[i:j].copy(), highs[i:j].copy(), lows[i:j].copy(), cells[k:m].copy(), small[k:m].copy())
        for (i, j), (k, m) in zip(pairwise(borders.tolist()), pairwise(held.tolist()), strict=True)
    ]


def _figures(pane_ms: int, pane: TargetPane) -> tuple[int, ...]:
    slots = pane.slots
    last_slot_ms = pane_ms + slots[-1].slot * SLOT_MS if slots else 0
    return (*_lows(pane), last_slot_ms, *_rest(pane), sum(map(_started, slots)) - sum(map(_ended, slots)))


_N = [SUMS.index(f"{name}_n") for name in DURATIONS]
_started: Callable[[Slot], int] = attrgetter("started")
_ended: Callable[[Slot], int] = attrgetter("ended")
_lows: Callable[[TargetPane], tuple[int, ...]] = attrgetter(*(f"{name}.min_us" for name in DURATIONS))
_rest: Callable[[TargetPane], tuple[int, ...]] = attrgetter(
    "queue_depth_max", *(f"{name}.max_us" for name in DURATIONS), *_COUNTED, *(f"{name}.n" for name in DURATIONS), *(f"{name}.sum_us" for name in DURATIONS)
)
_sketches: Callable[[TargetPane], tuple[bytes, ...]] = attrgetter(*(f"{name}.sketch" for name in DURATIONS))
