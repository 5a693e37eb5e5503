"""Runs over time: response times and shares of the traffic in equal stretches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.backtest.play import Played
from routecast.models.backtest import Series

Floats = NDArray[np.float64]

STEPS: Final = 96
"""Stretches of a run."""


class Track(NamedTuple):
    """One run over time; not a number where nothing arrived."""

    step_ms: float
    p50_ms: Floats
    p95_ms: Floats
    shares: dict[str, tuple[float, ...]]


def track(played: Played) -> Track:
    """Response times by the stretch of the arrival, of requests that succeeded, and shares by that of the attempt."""
    step_ms = max(1.0, float(played.scene.requests.at_ms[-1])) / STEPS
    step = _steps(played.scene.requests.at_ms, step_ms)
    found = np.full((2, STEPS), np.nan)
    for i in range(STEPS):
        times = played.time_ms[(step == i) & ~played.failed]
        if len(times):
            found[:, i] = np.quantile(times, [0.5, 0.95])
    return Track(step_ms, found[0], found[1], _shares(played, step_ms))


def series(tracks: Sequence[Track]) -> Series:
    """The first run, with the least and the most of all runs beside its 95th percentile."""
    first, every = tracks[0], np.stack([it.p95_ms for it in tracks])
    missing = ~np.isfinite(every)
    low, high = (np.where(missing, fill, every) for fill in (np.inf, -np.inf))
    return Series(
        step_s=first.step_ms / 1000.0, p50_ms=_plain(first.p50_ms), p95_ms=_plain(first.p95_ms), p95_low_ms=_plain(low.min(axis=0)),
        p95_high_ms=_plain(high.max(axis=0)), shares=first.shares,
    )  # fmt: skip


def _shares(played: Played, step_ms: float) -> dict[str, tuple[float, ...]]:
    counts = np.zeros((len(played.scene.targets), STEPS))
    np.add.at(counts, (played.target, _steps(played.begun_ms, step_ms)), 1.0)
    shares = counts / np.maximum(1.0, counts.sum(axis=0))
    return {name: tuple(np.round(row, 4).tolist()) for name, row in zip(played.scene.names, shares, strict=True)}


def _steps(at_ms: Floats, step_ms: float) -> NDArray[np.int64]:
    return np.minimum((at_ms / step_ms).astype(np.int64), STEPS - 1)


def _plain(values: Floats) -> tuple[float | None, ...]:
    return tuple(round(value, 1) if np.isfinite(value) else None for value in values.tolist())
