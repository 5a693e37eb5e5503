"""Figures people read, from the integers of a window: rates, ratios, means, quantiles with their interval.

Made for all subjects of a window at once: 20 µs each. What is published has six significant digits and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.digits import significant
from routecast.analytics.interval import sketch_intervals
from routecast.analytics.pane import MILLION
from routecast.analytics.sketch import BUCKETS, quantiles
from routecast.analytics.windows.columns import DURATIONS, Ints
from routecast.analytics.windows.window import Window, WindowStats
from routecast.models.details import WindowDetails

Floats = NDArray[np.float64]
Described = dict[str, Any]
"""`WindowDetails` as a mapping, which is made and written in a tenth of the time that models take."""

_QS: Final = (0.5, 0.9, 0.95, 0.99)
_DURATION: Final = ("n", "mean_ms", "min_ms", "max_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p95_low_ms", "p95_high_ms")
_UNBOUNDED: Final = _DURATION[:-2]
_JUDGED: Final = ("ok", "error", "timeout", "rate_limited")


def quantiles_ms(stats: WindowStats, qs: tuple[float, ...]) -> Floats:
    """[subjects × durations × qs] Quantiles, ms, never beyond the extremes that were seen; NaN where there is nothing."""
    found_us = quantiles(stats.sketches.reshape(-1, BUCKETS), qs).reshape(*stats.sketches.shape[:2], len(qs))
    least_us, most_us = stats.lows[:, :, None], stats.highs[:, -len(DURATIONS) :, None]
    return np.minimum(np.maximum(found_us, least_us), most_us) / 1000


def details_of(window: Window) -> list[WindowDetails]:
    """The figures of every subject of a window."""
    return [WindowDetails.model_validate(figures) for figures in described(window)]


def described(window: Window) -> Iterator[Described]:
    """The same one after the other, as mappings without what is not known."""
    stats, span = window.stats, {"start_ms": window.start_ms, "end_ms": window.end_ms}
    durations = [_durations(stats, name, place) for place, name in enumerate(DURATIONS)]
    columns = _flat(window), *durations, _judgements(stats, "quality"), _judgements(stats, "satisfaction"), _resources(stats), _late(stats)
    for flat, latency, ttft, tpot, quality, satisfaction, resources, late in zip(*columns, strict=True):
        found = {**span, **flat, "latency": latency, "ttft": ttft, "tpot": tpot, "quality": quality, "satisfaction": satisfaction, "resources": resources}
        yield {**found, "late": late} if late else found


def _flat(window: Window) -> Iterator[Described]:
    """Counts, rates and ratios of every subject."""
    stats, minutes = window.stats, (window.end_ms - window.start_ms) / 60_000
    judged = sum((stats.sum(name) for name in _JUDGED), np.zeros(len(stats), np.int64))
    requests = judged + stats.sum("cancelled") + stats.sum("caller_fault")
    length = np.full(len(stats), minutes)
    return _rows(
        last_update_ms=[value or None for value in stats.high("last_slot_ms").tolist()],
        requests=requests.tolist(),
        requests_per_min=_per(requests, length, none=0.0),
        judged=judged.tolist(),
        success_ratio=_per(stats.sum("ok"), judged),
        error_ratio=_per(stats.sum("error"), judged),
        timeout_ratio=_per(stats.sum("timeout"), judged),
        rate_limit_ratio=_per(stats.sum("rate_limited"), judged),
        in_flight_max=[None] * len(stats) if window.peaks is None else window.peaks.tolist(),
        tokens_per_min=_per(stats.sum("input_tokens") + stats.sum("output_tokens"), length, none=0.0),
        input_tokens=stats.sum("input_tokens").tolist(),
        output_tokens=stats.sum("output_tokens").tolist(),
        cost_usd=(stats.sum("cost_micro_usd") / MILLION).tolist(),
    )


def _rows(**columns: Sequence[Any]) -> Iterator[Described]:
    """A mapping for each subject, of what is known of it."""
    names = tuple(columns)
    for row in zip(*columns.values(), strict=True):
        yield {name: value for name, value in zip(names, row, strict=True) if value is not None}


def _durations(stats: WindowStats, name: str, place: int) -> Iterator[Described]:
    """The distribution of one duration of every subject."""
    n = stats.sum(f"{name}_n")
    some = np.flatnonzero(n)
    rows: slice | Ints = some if some.size < len(stats) else slice(None)  # a copy of all sketches is 16 kB a subject
    sketches = stats.sketches[rows, place]
    least, most = stats.lows[rows, place], stats.high(f"{name}_max_us")[rows]
    mean = stats.sum(f"{name}_us")[rows] / n[rows]
    found = np.clip(quantiles(sketches, _QS), least[:, None], most[:, None])
    low, high = sketch_intervals(sketches, 0.95)
    ends = np.maximum(low, least), np.minimum(high, most)
    table = significant(np.column_stack([mean, least, most, found, *ends]) / 1000).tolist()
    known = zip(table, np.isfinite(low).tolist(), strict=True)
    for count in n.tolist():
        if count:
            figures, bounded = next(known)
            yield dict(zip(_DURATION if bounded else _UNBOUNDED, (count, *figures), strict=False))
        else:
            yield {"n": 0}


def _late(stats: WindowStats) -> Iterator[Described | None]:
    columns = stats.sum("late").tolist(), _judgements(stats, "late_quality"), _judgements(stats, "late_satisfaction")
    return ({"n": n, "quality": quality, "satisfaction": satisfaction} if n else None for n, quality, satisfaction in zip(*columns, strict=True))


def _judgements(stats: WindowStats, name: str) -> Iterator[Described]:
    n = stats.sum(f"{name}_n")
    return _rows(n=n.tolist(), mean=_per(stats.sum(f"{name}_sum") / MILLION, n))


def _resources(stats: WindowStats) -> Iterator[Described]:
    depth, reported = stats.high("queue_depth_max").tolist(), stats.sum("queue_n").tolist()
    return _rows(
        cpu_ratio=_per(stats.sum("cpu_sum") / MILLION, stats.sum("cpu_n")),
        memory_ratio=_per(stats.sum("memory_sum") / MILLION, stats.sum("memory_n")),
        network_ms=_per(stats.sum("network_us_sum") / 1000, stats.sum("network_n")),
        queue_depth=[value if n else None for value, n in zip(depth, reported, strict=True)],
    )


def _per(amount: Ints | Floats, by: Ints | Floats, none: float | None = None) -> list[float | None]:
    """Amount ÷ by; `none` where there is nothing to divide by."""
    found = significant(amount / np.where(by == 0, 1, by)).tolist()
    return [value if there else none for value, there in zip(found, by.tolist(), strict=True)]
