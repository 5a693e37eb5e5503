"""The metrics of a backtest in words: heads with units, and figures with their intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from routecast.models.backtest import SpellRow
from routecast.models.report import Estimate

Words = Callable[[float], str]


def seconds(ms: float) -> str:
    """Milliseconds as seconds, with about three digits."""
    return f"{ms / 1000:.3f}" if abs(ms) < 1_000 else f"{ms / 1000:.2f}" if abs(ms) < 99_950 else f"{ms / 1000:.0f}"


def percent(ratio: float) -> str:
    """A ratio in percent."""
    return f"{ratio:.1%}" if abs(ratio) >= 0.01 or ratio == 0 else f"{ratio:.2%}"


def plain_seconds(value: float) -> str:
    """Seconds."""
    return f"{value:.1f}"


def usd(value: float) -> str:
    """Dollars."""
    return f"{value:.4g}"


def two(value: float) -> str:
    """Two decimals."""
    return f"{value:.2f}"


def plain(value: float) -> str:
    """A figure in the unit of its metric."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


COLUMNS: Final[tuple[tuple[str, str, Words], ...]] = (
    ("mean_ms", "mean, s", seconds), ("p50_ms", "p50, s", seconds), ("p95_ms", "p95, s", seconds), ("p99_ms", "p99, s", seconds),
    ("time_to_success_ms", "time to success, s", seconds), ("regret_ms", "regret, s", seconds), ("failed_ratio", "failed", percent),
    ("rate_limited_ratio", "refused (429)", percent), ("usd_per_request", "cost, USD", usd), ("quality", "quality", two),
    ("largest_share", "largest share", percent), ("failover_s", "failover, s", plain_seconds), ("failback_s", "way back, s", plain_seconds),
    ("alert_precision", "alert precision", two), ("alert_recall", "alert recall", two),
)  # fmt: skip
"""Metric, its head, and its figures in words."""


def interval(found: Estimate | None, words: Words) -> str:
    """A figure with its interval; without one where there is a single seed, or nothing varies."""
    if found is None:
        return "–"
    value, low, high = words(found.value), words(found.low), words(found.high)
    return value if low == high else f"{value} ({low}–{high})"


def spell_words(it: SpellRow) -> str:
    """What was the matter."""
    return {
        "failing": f"{it.level:.0%} of the calls failed",
        "refusing": f"{it.level:.0%} refused (429)",
        "slow": f"answers took {it.level:.1f} times as long",
    }[it.kind]
