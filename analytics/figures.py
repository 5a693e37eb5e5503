"""Figures people read, from the integers of a window: rates, ratios, means, quantiles with their interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.columns import DURATIONS, HIGHS, LOWS, SUMS, Ints
from routecast.analytics.history import Window
from routecast.analytics.interval import sketch_interval
from routecast.analytics.pane import MILLION
from routecast.analytics.sketch import BUCKETS, quantiles
from routecast.analytics.window import WindowStats
from routecast.models.details import Duration, Judgement, Resources, WindowDetails

Floats = NDArray[np.float64]

_QS: Final = (0.5, 0.9, 0.95, 0.99)


def quantiles_ms(stats: WindowStats, qs: tuple[float, ...]) -> Floats:
    """[subjects × durations × qs] Quantiles, ms, never beyond the extremes that were seen; NaN where there is nothing."""
    found_us = quantiles(stats.sketches.reshape(-1, BUCKETS), qs).reshape(*stats.sketches.shape[:2], len(qs))
    least_us, most_us = stats.lows[:, :, None], stats.highs[:, -len(DURATIONS) :, None]
    return np.minimum(np.maximum(found_us, least_us), most_us) / 1000


def details_of(window: Window) -> list[WindowDetails]:
    """The figures of every subject of a window: about 60 µs each."""
    stats = window.stats
    names = (*SUMS, *HIGHS, *LOWS)
    table = np.concatenate([stats.sums, stats.highs, stats.lows], axis=1).tolist()
    found = quantiles_ms(stats, _QS).tolist()
    return [_details(window, dict(zip(names, row, strict=True)), found[i], stats.sketches[i]) for i, row in enumerate(table)]


def _details(window: Window, row: Mapping[str, int], found: Sequence[Sequence[float]], sketches: Ints) -> WindowDetails:
    minutes = (window.end_ms - window.start_ms) / 60_000
    judged = row["ok"] + row["error"] + row["timeout"] + row["rate_limited"]
    requests = judged + row["cancelled"] + row["caller_fault"]
    latency, ttft, tpot = (_duration(name, row, found[place], sketches[place]) for place, name in enumerate(DURATIONS))
    return WindowDetails(
        start_ms=window.start_ms,
        end_ms=window.end_ms,
        last_update_ms=row["last_slot_ms"] or None,
        requests=requests,
        requests_per_min=_per(requests, minutes) or 0.0,
        judged=judged,
        success_ratio=_per(row["ok"], judged),
        error_ratio=_per(row["error"], judged),
        timeout_ratio=_per(row["timeout"], judged),
        rate_limit_ratio=_per(row["rate_limited"], judged),
        latency=latency,
        ttft=ttft,
        tpot=tpot,
        tokens_per_min=_per(row["input_tokens"] + row["output_tokens"], minutes) or 0.0,
        cost_usd=row["cost_micro_usd"] / MILLION,
        quality=Judgement(n=row["quality_n"], mean=_per(row["quality_sum"] / MILLION, row["quality_n"])),
        satisfaction=Judgement(n=row["satisfaction_n"], mean=_per(row["satisfaction_sum"] / MILLION, row["satisfaction_n"])),
        resources=_resources(row),
    )


def _resources(row: Mapping[str, int]) -> Resources:
    return Resources(
        cpu_ratio=_per(row["cpu_sum"] / MILLION, row["cpu_n"]),
        memory_ratio=_per(row["memory_sum"] / MILLION, row["memory_n"]),
        network_ms=_per(row["network_us_sum"] / 1000, row["network_n"]),
        queue_depth=row["queue_depth_max"] if row["queue_n"] else None,
    )


def _duration(name: str, row: Mapping[str, int], found: Sequence[float], sketch: Ints) -> Duration:
    n = row[f"{name}_n"]
    if not n:
        return Duration()
    least_ms, most_ms = row[f"{name}_min_us"] / 1000, row[f"{name}_max_us"] / 1000
    p50, p90, p95, p99 = map(_rounded, found)
    interval = sketch_interval(sketch, 0.95)
    return Duration(
        n=n,
        mean_ms=_rounded(row[f"{name}_us"] / n / 1000),
        min_ms=_rounded(least_ms),
        max_ms=_rounded(most_ms),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        p95_low_ms=_rounded(max(interval[0] / 1000, least_ms)) if interval else None,
        p95_high_ms=_rounded(min(interval[1] / 1000, most_ms)) if interval else None,
    )


def _per(amount: float, by: float) -> float | None:
    return _rounded(amount / by) if by else None


def _rounded(value: float) -> float:
    """Six significant digits: what is published, and no more."""
    return float(f"{value:.6g}")
