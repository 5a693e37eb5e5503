"""The figures of one run of a policy, and their intervals over several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.backtest.play import OUTCOMES, Played
from routecast.analytics.changes.student import two_sided_quantile
from routecast.models.backtest import METRICS, Figures
from routecast.models.report import Estimate

_REFUSED: Final = OUTCOMES.index("rate_limited")


def figures_of(played: Played) -> dict[str, float]:
    """The metrics that follow from the attempts alone; NaN where nothing tells."""
    counts, attempts = np.arange(len(played.time_ms)) >= played.scene.first, played.request >= played.scene.first
    answered = counts & ~played.failed
    times = played.time_ms[answered]
    p50, p95, p99 = np.quantile(times, [0.5, 0.95, 0.99]).tolist() if len(times) else [math.nan] * 3
    return {
        "mean_ms": float(times.mean()) if len(times) else math.nan, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99,
        "time_to_success_ms": float(played.to_success_ms[counts].mean()), "failed_ratio": float(played.failed[counts].mean()),
        "rate_limited_ratio": float((played.outcome[attempts] == _REFUSED).mean()), "usd_per_request": _usd(played, answered),
        "quality": _quality(played, answered), "largest_share": max(shares_of(played).values()),
    }  # fmt: skip


def shares_of(played: Played) -> dict[str, float]:
    """Per target, its share of the attempts."""
    mine = played.target[played.request >= played.scene.first]
    counts = np.bincount(mine, minlength=len(played.scene.targets)) / max(1, len(mine))
    return dict(zip(played.scene.names, counts.tolist(), strict=True))


def _usd(played: Played, answered: NDArray[np.bool_]) -> float:
    requests = np.flatnonzero(answered)
    usd = np.stack([target.usd for target in played.scene.targets])[played.served[requests], requests]
    return float(usd.mean()) if len(usd) else math.nan


def _quality(played: Played, answered: NDArray[np.bool_]) -> float:
    known = np.array([math.nan if target.quality is None else target.quality for target in played.scene.targets])
    served = played.served[answered]
    return float(known[served].mean()) if len(served) else math.nan


def estimate(values: Sequence[float]) -> Estimate | None:
    """The mean over the seeds with Student's 95 % interval; None where a seed does not know it. One seed has no interval of its own: low = high."""
    found = np.array([value for value in values if not math.isnan(value)])
    if not len(found):
        return None
    mean = float(found.mean())
    freedom = len(found) - 1
    half = 0.0 if freedom == 0 else float(two_sided_quantile(0.05, np.array(float(freedom)))) * float(found.std(ddof=1)) / math.sqrt(len(found))
    return Estimate(value=mean, low=mean - half, high=mean + half)


def ratio_estimate(values: Sequence[float], base: Sequence[float]) -> Estimate | None:
    """The mean ratio of pairs, interval by Student on the logarithm; None where a pair has none."""
    pairs = [(a, b) for a, b in zip(values, base, strict=True) if a > 0 and b > 0]
    logs = estimate([math.log(a / b) for a, b in pairs])
    return logs and Estimate(value=math.exp(logs.value), low=math.exp(logs.low), high=math.exp(logs.high))


_SHARES: Final = frozenset({"failed_ratio", "rate_limited_ratio", "quality", "largest_share", "alert_precision", "alert_recall"})


def figures(runs: Sequence[Mapping[str, float]]) -> Figures:
    """The metrics over all seeds; intervals keep within what a metric can be."""
    return Figures.model_validate({name: _within(name, estimate([run.get(name, math.nan) for run in runs])) for name in METRICS})


def _within(name: str, found: Estimate | None) -> Estimate | None:
    if found is None or name == "regret_ms":
        return found
    return Estimate(value=found.value, low=max(0.0, found.low), high=min(1.0, found.high) if name in _SHARES else found.high)
