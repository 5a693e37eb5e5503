"""Closed windows as points: `provider_window` and `latency_hist`.

A correction is the same points again, with other figures: the newest is what stays. A record takes about a quarter of a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from routecast.analytics.digits import six_digits
from routecast.analytics.fleet.bars import BAR_OF, N_BARS
from routecast.analytics.pane import MILLION
from routecast.analytics.sketch import BUCKETS, Floats, decode_many, quantiles
from routecast.dashboards.influx.line_protocol import Point
from routecast.dashboards.influx.schema import ALL, LATENCY_HIST, PROVIDER_WINDOW, UNKNOWN
from routecast.models.metrics import Distribution, WindowRecord

_US: Final = 1_000_000
_QS: Final = (0.5, 0.9, 0.95, 0.99)


def window_points(record: WindowRecord) -> list[Point]:
    """The points of a window. Raises DecodeError where a sketch is none."""
    durations = (record.duration, record.ttft, record.tpot)
    sketch, buckets, counts = decode_many([duration.sketch for duration in durations])
    matrix = np.zeros((len(durations), BUCKETS), np.int64)
    matrix[sketch, buckets] = counts
    points = [Point(PROVIDER_WINDOW, (*_labels(record), record.window), record.end_ms, _values(record, _quantiles_s(durations, quantiles(matrix, _QS))))]
    if record.kind != "provider":  # whose bars would stand where the system's do
        bars = np.bincount(BAR_OF, matrix[0], N_BARS).astype(np.int64).tolist()
        target, _, _, service, _ = _labels(record)
        points.append(Point(LATENCY_HIST, (target, service, record.window), record.end_ms, tuple(bars)))
    return points


def _labels(record: WindowRecord) -> tuple[str, str, str, str, str]:
    """Target, provider, model, service, region."""
    if record.kind == "target":
        return record.id, record.provider or UNKNOWN, record.model or UNKNOWN, record.service or UNKNOWN, record.region or UNKNOWN
    return ALL, record.id if record.kind == "provider" else ALL, ALL, record.id if record.kind == "service" else ALL, ALL


def _quantiles_s(durations: Sequence[Distribution], found_us: Floats) -> list[list[float | None]]:
    """Never beyond the extremes that were seen; None where there is nothing."""
    return [
        [six_digits(min(max(value, duration.min_us), duration.max_us) / _US) if duration.n else None for value in row]
        for duration, row in zip(durations, found_us.tolist(), strict=True)
    ]


def _values(record: WindowRecord, found_s: Sequence[Sequence[float | None]]) -> tuple[int | float | None, ...]:
    """In the order of the registry."""
    (p50, p90, p95, p99), (ttft_p50, _, ttft_p95, _), (_, _, tpot_p95, _) = found_s
    judged = record.ok + record.error + record.timeout + record.rate_limited
    given_up = record.cancelled + record.caller_fault
    tokens, minutes, latency = record.input_tokens + record.output_tokens, record.covered_ms / 60_000, record.duration
    return (
        judged + given_up, record.error, record.timeout, record.rate_limited, given_up,
        _per(latency.sum_us / _US, latency.n), _per(latency.min_us / _US, latency.n and 1), p50, p90, p95, p99, _per(latency.max_us / _US, latency.n and 1),
        ttft_p50, ttft_p95, tpot_p95,
        _per(judged - record.ok, judged), _per(record.timeout, judged), _per(record.rate_limited, judged),
        _per(judged + given_up, minutes) or 0.0, _per(tokens, minutes) or 0.0,
        record.in_flight_max, record.queue_depth_max if record.queue_n else None,
        _per(record.quality_sum / MILLION, record.quality_n), _per(record.satisfaction_sum / MILLION, record.satisfaction_n),
        record.cost_micro_usd / MILLION, tokens,
        _per(record.cpu_sum / MILLION, record.cpu_n), _per(record.memory_sum / MILLION, record.memory_n),
        _per(record.network_us_sum / 1000, record.network_n), record.quality_n,
    )  # fmt: skip


def _per(amount: float, by: float) -> float | None:
    return six_digits(amount / by) if by else None
