"""Columns of the table `windows` from records of closed windows. Columns, types and units: `routecast.models.tables`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.pane import MILLION
from routecast.analytics.sketch import BUCKETS, decode_many, quantiles
from routecast.analytics.tables.columns import Cells, Codes, numbers, times
from routecast.models.metrics import WindowRecord
from routecast.models.tables import WINDOWS

Floats = NDArray[np.float64]

_US: Final = 1e6
_JUDGED: Final = ("ok", "error", "timeout", "rate_limited")
_NAMES: Final = {"errors": "error", "timeouts": "timeout"}
_RATIOS: Final = {"success_ratio": "ok", "error_ratio": "error", "timeout_ratio": "timeout", "rate_limit_ratio": "rate_limited"}
_QUANTILES: Final = {
    "duration": {"latency_p50_s": 0.5, "latency_p90_s": 0.9, "latency_p95_s": 0.95, "latency_p99_s": 0.99},
    "ttft": {"ttft_p50_s": 0.5, "ttft_p95_s": 0.95},
    "tpot": {"tpot_p50_s": 0.5, "tpot_p95_s": 0.95},
}


class WindowColumns:
    """Makes batches of columns; 5 kB a record while it does."""

    def __init__(self) -> None:
        self.codes = {column.name: Codes() for column in WINDOWS if column.kind == "category"}
        """The categories of each column, by name; what a batch holds are their numbers."""

    def batch(self, records: Sequence[WindowRecord], end_ms: float) -> dict[str, Cells]:
        """The columns of these records; `end_ms` is when the recording ends, epoch ms."""
        cells: dict[str, Cells] = {name: codes.of([getattr(record, name) for record in records]) for name, codes in self.codes.items()}
        covered_s = numbers(records, "covered_ms", 1e3) - np.maximum(0.0, numbers(records, "end_ms", 1e3) - end_ms / 1e3)
        counts = {name: np.array([getattr(record, _NAMES.get(name, name)) for record in records], np.int64) for name in _COUNTS}
        judged = sum((numbers(records, name) for name in _JUDGED), np.zeros(len(records)))
        requests = judged + counts["cancelled"] + counts["caller_fault"]
        tokens = {name: _reported(records, name) for name in ("input_tokens", "output_tokens")}
        cells |= {**counts, **tokens}
        cells |= {
            "starts_at": times(record.start_ms for record in records),
            "ends_at": times(record.end_ms for record in records),
            "covered_s": covered_s,
            "requests": requests.astype(np.int64),
            "requests_per_min": _per(requests, covered_s / 60),
            "tokens_per_min": _per(_reported(records, "input_tokens", "output_tokens"), covered_s / 60),
            "in_flight_max": numbers(records, "in_flight_max"),
            "cost_usd": _reported(records, "cost_micro_usd") / MILLION,
        }
        cells |= {name: _per(numbers(records, outcome), judged) for name, outcome in _RATIOS.items()}
        cells |= {name: _per(numbers(records, f"{name}_sum", MILLION), numbers(records, f"{name}_n")) for name in ("quality", "satisfaction", "cpu", "memory")}
        cells |= {"network_s": _per(numbers(records, "network_us_sum", _US), numbers(records, "network_n"))}
        cells |= {"queue_depth": np.where(numbers(records, "queue_n") > 0, numbers(records, "queue_depth_max"), np.nan)}
        for name in _QUANTILES:
            cells |= _durations(records, name)
        return {column.name: cells[column.name] for column in WINDOWS}


_COUNTS: Final = ("ok", "errors", "timeouts", "rate_limited", "cancelled", "caller_fault")


def _durations(records: Sequence[WindowRecord], name: str) -> dict[str, Cells]:
    """Quantiles, never beyond the extremes that were seen; of the whole duration mean and extremes too."""
    found = [getattr(record, name) for record in records]
    n, least, most = numbers(found, "n"), numbers(found, "min_us"), numbers(found, "max_us")
    sketch, buckets, counts = decode_many([distribution.sketch for distribution in found])
    matrix = np.zeros((len(found), BUCKETS), np.int64)
    matrix[sketch, buckets] = counts
    asked = _QUANTILES[name]
    values = np.clip(quantiles(matrix, tuple(asked.values())), least[:, None], most[:, None])
    cells: dict[str, Cells] = {column: np.where(n > 0, values[:, place] / _US, np.nan) for place, column in enumerate(asked)}
    if name == "duration":
        known = np.minimum(n, 1)
        cells |= {"latency_mean_s": _per(numbers(found, "sum_us", _US), n), "latency_min_s": _per(least / _US, known), "latency_max_s": _per(most / _US, known)}
    return cells


def _reported(records: Sequence[WindowRecord], *names: str) -> Floats:
    """A sum of what was reported; NaN where it is 0, as nobody tells a thing that costs nothing from one of which nothing was said."""
    found = sum((numbers(records, name) for name in names), np.zeros(len(records)))
    known: Floats = np.where(found > 0, found, np.nan)
    return known


def _per(amount: Floats | NDArray[np.int64], by: Floats) -> Floats:
    found: Floats = np.divide(amount, by, out=np.full(len(by), np.nan), where=by > 0)
    return found
