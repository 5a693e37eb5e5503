"""Records of closed windows from the integers of a window, and back: merged in any order, read as figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Final, NamedTuple

import numpy as np

from routecast.analytics.sketch import BUCKETS, decode_many, encode_rows
from routecast.analytics.windows.columns import CELLS, DURATIONS, HIGHS, LOWS, NO_LOW, SUMS, Columns, Ints
from routecast.analytics.windows.figures import details_of
from routecast.analytics.windows.window import Window, WindowStats
from routecast.models.details import WindowDetails
from routecast.models.insights import Subject
from routecast.models.metrics import ClosedWindow, Distribution, WindowRecord

_NOTHING: Final = Distribution()
_OF_DURATIONS: Final = frozenset(f"{name}_{part}" for name in DURATIONS for part in ("n", "us", "min_us", "max_us"))
_COUNTS: Final = tuple(name for name in SUMS if name not in _OF_DURATIONS and name != "open")
_MARKS: Final = tuple(name for name in HIGHS if name not in _OF_DURATIONS)
_COUNT_PLACES: Final = [SUMS.index(name) for name in _COUNTS]
_MARK_PLACES: Final = [HIGHS.index(name) for name in _MARKS]


class Span(NamedTuple):
    """Which window it is, how much of it is known, and the version of what is said of it."""

    window: ClosedWindow
    start_ms: int
    end_ms: int
    covered_ms: int
    version: int


def records_of(span: Span, subjects: Sequence[Subject], stats: WindowStats, peaks: Ints) -> list[WindowRecord]:
    """The records of these subjects, a row each: about 15 µs each."""
    counts = stats.sums[:, _COUNT_PLACES].tolist()
    marks = stats.highs[:, _MARK_PLACES].tolist()
    durations = zip(*(_distributions(stats, place) for place in range(len(DURATIONS))), strict=True)
    shared: dict[str, Any] = span._asdict()
    return [
        WindowRecord(
            kind=subject.kind, id=subject.id, provider=subject.provider, model=subject.model, service=subject.service, region=subject.region,
            in_flight_max=peak, **shared, **dict(zip(_COUNTS, row, strict=True)), **dict(zip(_MARKS, last, strict=True)),
            **dict(zip(DURATIONS, distributions, strict=True)),
        )
        for subject, row, last, distributions, peak in zip(subjects, counts, marks, durations, peaks.tolist(), strict=True)
    ]  # fmt: skip


def _distributions(stats: WindowStats, place: int) -> list[Distribution]:
    name = DURATIONS[place]
    n, us, high = stats.sum(f"{name}_n").tolist(), stats.sum(f"{name}_us").tolist(), stats.high(f"{name}_max_us").tolist()
    rows = zip(n, us, stats.lows[:, place].tolist(), high, encode_rows(stats.sketches[:, place]), strict=True)
    return [Distribution(n=count, sum_us=total, min_us=least, max_us=most, sketch=sketch) if count else _NOTHING for count, total, least, most, sketch in rows]


def columns_of_records(records: Sequence[WindowRecord], numbers: Ints) -> Columns:
    """What these records hold, each of another number; what was open is not known.

    Raises DecodeError where a sketch is not one.
    """
    sums, highs = np.zeros((len(records), len(SUMS)), np.int64), np.zeros((len(records), len(HIGHS)), np.int64)
    lows = np.full((len(records), len(LOWS)), NO_LOW, np.int64)
    sums[:, _COUNT_PLACES] = _table(records, _counts, len(_COUNTS))
    highs[:, _MARK_PLACES] = _table(records, _marks, len(_MARKS))
    for place, name in enumerate(DURATIONS):
        n, us, least, most = _table(records, _figures[name], 4).T
        sums[:, SUMS.index(f"{name}_n")], sums[:, SUMS.index(f"{name}_us")] = n, us
        highs[:, HIGHS.index(f"{name}_max_us")] = most
        lows[:, place] = np.where(n > 0, least, NO_LOW)
    sketch, buckets, counts = decode_many([getattr(record, name).sketch for record in records for name in DURATIONS])
    owner, duration = np.divmod(sketch, len(DURATIONS))
    cells = numbers[owner] * CELLS + duration * BUCKETS + buckets
    return Columns(numbers, sums, highs, lows, cells.astype(np.int32), counts.astype(np.int32))


def _table(records: Sequence[WindowRecord], figures: Callable[[WindowRecord], tuple[int, ...]], width: int) -> Ints:
    return np.fromiter(chain.from_iterable(map(figures, records)), np.int64).reshape(len(records), width)


_counts: Callable[[WindowRecord], tuple[int, ...]] = attrgetter(*_COUNTS)
_marks: Callable[[WindowRecord], tuple[int, ...]] = attrgetter(*_MARKS)
_figures: dict[str, Callable[[WindowRecord], tuple[int, ...]]] = {
    name: attrgetter(f"{name}.n", f"{name}.sum_us", f"{name}.min_us", f"{name}.max_us") for name in DURATIONS
}


def merged(records: Sequence[WindowRecord]) -> Window:
    """One window of all these, of any windows and subjects that do not overlap; its length is that from the first known moment to the last.

    Raises ValueError where there are none, DecodeError where a sketch is not one.
    """
    stats = WindowStats(1)
    for record in records:
        stats.add(columns_of_records([record], np.zeros(1, np.int64)))
    peak = max(record.in_flight_max for record in records)
    return Window(min(record.end_ms - record.covered_ms for record in records), max(record.end_ms for record in records), stats, np.array([peak]))


def figures_of(*records: WindowRecord) -> WindowDetails:
    """The figures people read, of one record or of several together; `in_flight_max` is the largest of them."""
    return details_of(merged(records))[0]
