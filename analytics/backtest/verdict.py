"""Differences between policies, and what they say in one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from routecast.analytics.backtest.metrics import estimate, ratio_estimate
from routecast.models.backtest import Difference
from routecast.models.report import Estimate

Runs = Mapping[str, Sequence[Mapping[str, float]]]
"""Policy → figures of each seed, in the order of the seeds."""


def differences(runs: Runs) -> tuple[Difference, ...]:
    """Every policy but the first beside the first, pair by pair of runs on the same requests and luck."""
    first, *others = runs
    return tuple(_difference(name, first, runs) for name in others)


def _difference(name: str, first: str, runs: Runs) -> Difference:
    mine, base = runs[name], runs[first]
    return Difference(
        name=name, to=first, mean=_ratio(mine, base, "time_to_success_ms"), p95=_ratio(mine, base, "p95_ms"),
        failed=estimate([a["failed_ratio"] - b["failed_ratio"] for a, b in zip(mine, base, strict=True)]),
    )  # fmt: skip


def _ratio(mine: Sequence[Mapping[str, float]], base: Sequence[Mapping[str, float]], metric: str) -> Estimate | None:
    return ratio_estimate([run.get(metric, math.nan) for run in mine], [run.get(metric, math.nan) for run in base])


def verdict(runs: Runs, found: Sequence[Difference]) -> str:
    """Who is best in mean time to success, by how much, and who cannot be told apart from the first policy."""
    first, *others = runs
    mean = estimate([run["time_to_success_ms"] for run in runs[first]])
    says = f"{first}: a request takes {_seconds(mean)} to succeed"
    if not others:
        return f"{says}. Give a second --policy to compare it with."
    parts = [_words(it) for it in found if it.mean is not None]
    seeds = len(runs[first])
    doubt = " One seed has no interval: give --seeds 4 or more to know what is chance." if seeds == 1 else ""
    return f"{says}. Beside it, on the same requests: {'; '.join(parts)}.{doubt}"


def _words(it: Difference) -> str:
    assert it.mean is not None  # noqa: S101 - the caller leaves the others out
    value, low, high = it.mean.value, it.mean.low, it.mean.high
    interval = "" if low == high else f" ({low:.2f}–{high:.2f})"
    if low < high and low <= 1.0 <= high:
        return f"{it.name} cannot be told apart, {value:.2f} times{interval}"
    return f"{it.name} takes {value:.2f} times as long{interval}"


def _seconds(found: Estimate | None) -> str:
    if found is None:
        return "unknown time"
    interval = "" if found.low == found.high else f" ({found.low / 1000:.3g}–{found.high / 1000:.3g})"
    return f"{found.value / 1000:.3g} s{interval}"
