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
    """Whether any policy beats the first one in mean time to success, and what a request takes under the first."""
    first, *others = runs
    mean = estimate([run["time_to_success_ms"] for run in runs[first]])
    takes = f"A request takes {_seconds(mean)} to succeed under {first}"
    if not others:
        return f"{takes}. Give a second --policy to compare it with."
    if len(runs[first]) == 1:
        return f"{_single(first, found)} {takes}. One seed has no interval: give --seeds 4 or more to know what is chance."
    return f"{_lead(first, found)} {takes}."


def _lead(first: str, found: Sequence[Difference]) -> str:
    known = [(it.name, it.mean) for it in found if it.mean is not None]
    better = [name for name, mean in sorted(known, key=lambda pair: pair[1].value) if mean.high < 1.0]
    if better:
        return f"{_listed(better)} {'is' if len(better) == 1 else 'are'} quicker than {first}."
    tied = [name for name, mean in known if mean.low <= 1.0]
    if tied and len(known) == 1:
        return f"{tied[0]} cannot be told apart from {first}."
    if tied:
        return f"None of them is quicker than {first}, and {_listed(tied)} cannot be told apart from it."
    return f"{first} is the quickest of these {len(known) + 1} policies."


def _single(first: str, found: Sequence[Difference]) -> str:
    least = min((it for it in found if it.mean is not None), key=lambda it: it.mean.value if it.mean else math.inf, default=None)
    quickest = least.name if least is not None and least.mean is not None and least.mean.value < 1.0 else first
    return f"{quickest} was the quickest in the one run that was played."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def compared(it: Difference) -> str:
    """One policy beside the first one, in a sentence."""
    if it.mean is None:
        return f"{it.name}: nothing tells how it compares with {it.to}."
    value, low, high = it.mean.value, it.mean.low, it.mean.high
    interval = "" if low == high else f" ({low:.2f}–{high:.2f})"
    if low < high and low <= 1.0 <= high:
        return f"{it.name} cannot be told apart from {it.to}: {value:.2f} times as long{interval}."
    return f"{it.name} takes {value:.2f} times as long as {it.to}{interval}."


def _seconds(found: Estimate | None) -> str:
    if found is None:
        return "unknown time"
    interval = "" if found.low == found.high else f" ({found.low / 1000:.2f}–{found.high / 1000:.2f})"
    return f"{found.value / 1000:.2f} s{interval}"
