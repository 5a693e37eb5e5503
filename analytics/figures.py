"""Figures people read, from the integers of a window: rates, ratios, means, quantiles with their interval.

Made for all subjects of a window at once: 20 µs each. What is published has six significant digits and no more.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.columns import DURATIONS, Ints
from routecast.analytics.interval import sketch_intervals
from routecast.analytics.pane import MILLION
from routecast.analytics.sketch import BUCKETS, quantiles
from routecast.analytics.window import Window, WindowStats
from routecast.models.details import WindowDetails

Floats = NDArray[np.float64]
Described = dict[str, Any]
"""`WindowDetails` as a mapping: models are made of many at once, which takes a tenth of the time."""

_QS: Final = (0.5, 0.9, 0.95, 0.99)
_DIGITS: Final = 6
_DURATION: Final = ("n", "mean_ms", "min_ms", "max_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p95_low_ms", "p95_high_ms")
_UNBOUNDED: Final = _DURATION[:-2]
_NO_DURATION: Final[Described] = {"n": 0}
_JUDGED: Final = ("ok", "error", "timeout", "rate_limited")


def quantiles_ms(stats: WindowStats, qs: tuple[float, ...]) -> Floats:
    """[subjects × durations × qs] Quantiles, ms, never beyond the extremes that were seen; NaN where there is nothing."""
    found_us = quantiles(stats.sketches.reshape(-1, BUCKETS), qs).reshape(*stats.sketches.shape[:2], len(qs))
    least_us, most_us = stats.lows[:, :, None], stats.highs[:, -len(DURATIONS) :, None]
    return np.minimum(np.maximum(found_us, least_us), most_us) / 1000


def significant(values: Floats) -> Floats:
    """Rounded to six significant digits, the nearest floating point numbers to these decimals; NaN stays."""
    known = np.isfinite(values) & (values != 0)
    size = np.abs(np.where(known, values, 1.0))
    places = _DIGITS - 1 - np.floor(np.log10(size)).astype(np.int64)
    finer, coarser = 10.0 ** np.maximum(places, 0), 10.0 ** np.maximum(-places, 0)
    return np.where(known, np.rint(values * finer / coarser) / finer * coarser, values)


def details_of(window: Window) -> list[WindowDetails]:
    """The figures of every subject of a window."""
    return [WindowDetails.model_validate(figures) for figures in described(window)]


def described(window: Window) -> list[Described]:
    """The same, ready to be read by the model."""
    stats = window.stats
    durations = [_durations(stats, place) for place in range(len(DURATIONS))]
    judgements, resources, late = _judgements(stats), _resources(stats), _late(stats)
    return [
        {
            "start_ms": window.start_ms,
            "end_ms": window.end_ms,
            **row,
            "latency": durations[0][i],
            "ttft": durations[1][i],
            "tpot": durations[2][i],
            "quality": judgements["quality"][i],
            "satisfaction": judgements["satisfaction"][i],
            "resources": resources[i],
            "late": late[i],
        }
        for i, row in enumerate(_flat(window))
    ]


def _flat(window: Window) -> list[Described]:
    """Counts, rates and ratios of every subject."""
    stats, minutes = window.stats, (window.end_ms - window.start_ms) / 60_000
    judged = sum((stats.sum(name) for name in _JUDGED), np.zeros(len(stats), np.int64))
    requests = judged + stats.sum("cancelled") + stats.sum("caller_fault")
    length = np.full(len(stats), minutes)
    columns: dict[str, list[Any]] = {
        "last_update_ms": [value or None for value in stats.high("last_slot_ms").tolist()],
        "requests": requests.tolist(),
        "requests_per_min": _per(requests, length, none=0.0),
        "judged": judged.tolist(),
        "success_ratio": _per(stats.sum("ok"), judged),
        "error_ratio": _per(stats.sum("error"), judged),
        "timeout_ratio": _per(stats.sum("timeout"), judged),
        "rate_limit_ratio": _per(stats.sum("rate_limited"), judged),
        "in_flight_max": [None] * len(stats) if window.peaks is None else window.peaks.tolist(),
        "tokens_per_min": _per(stats.sum("input_tokens") + stats.sum("output_tokens"), length, none=0.0),
        "input_tokens": stats.sum("input_tokens").tolist(),
        "output_tokens": stats.sum("output_tokens").tolist(),
        "cost_usd": (stats.sum("cost_micro_usd") / MILLION).tolist(),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _durations(stats: WindowStats, place: int) -> list[Described]:
    """The distribution of one duration of every subject."""
    name = DURATIONS[place]
    n = stats.sum(f"{name}_n")
    some = np.flatnonzero(n)
    if not some.size:
        return [_NO_DURATION] * len(stats)
    rows: slice | Ints = some if some.size < len(stats) else slice(None)  # a copy of all sketches is 16 kB a subject
    sketches = stats.sketches[rows, place]
    least, most = stats.lows[rows, place], stats.high(f"{name}_max_us")[rows]
    mean = stats.sum(f"{name}_us")[rows] / n[rows]
    found = np.clip(quantiles(sketches, _QS), least[:, None], most[:, None])
    low, high = sketch_intervals(sketches, 0.95)
    ends = np.maximum(low, least), np.minimum(high, most)
    table = significant(np.column_stack([mean, least, most, found, *ends]) / 1000).tolist()
    bounded = np.isfinite(low).tolist()
    described: list[Described] = [_NO_DURATION] * len(stats)
    for i, *figures, known in zip(some.tolist(), n[some].tolist(), *zip(*table, strict=True), bounded, strict=True):
        described[i] = dict(zip(_DURATION if known else _UNBOUNDED, figures, strict=False))
    return described


def _late(stats: WindowStats) -> list[Described | None]:
    columns = stats.sum("late").tolist(), _judgement(stats, "late_quality"), _judgement(stats, "late_satisfaction")
    return [{"n": n, "quality": quality, "satisfaction": satisfaction} if n else None for n, quality, satisfaction in zip(*columns, strict=True)]


def _judgements(stats: WindowStats) -> dict[str, list[Described]]:
    return {name: _judgement(stats, name) for name in ("quality", "satisfaction")}


def _judgement(stats: WindowStats, name: str) -> list[Described]:
    n = stats.sum(f"{name}_n")
    means = _per(stats.sum(f"{name}_sum") / MILLION, n)
    return [{"n": count, "mean": mean} for count, mean in zip(n.tolist(), means, strict=True)]


def _resources(stats: WindowStats) -> list[Described]:
    depth, reported = stats.high("queue_depth_max").tolist(), stats.sum("queue_n").tolist()
    columns = {
        "cpu_ratio": _per(stats.sum("cpu_sum") / MILLION, stats.sum("cpu_n")),
        "memory_ratio": _per(stats.sum("memory_sum") / MILLION, stats.sum("memory_n")),
        "network_ms": _per(stats.sum("network_us_sum") / 1000, stats.sum("network_n")),
        "queue_depth": [value if n else None for value, n in zip(depth, reported, strict=True)],
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _per(amount: Ints | Floats, by: Ints | Floats, none: float | None = None) -> list[float | None]:
    """Amount ÷ by; `none` where there is nothing to divide by."""
    found = significant(amount / np.where(by == 0, 1, by)).tolist()
    return [value if there else none for value, there in zip(found, by.tolist(), strict=True)]
