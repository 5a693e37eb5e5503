"""What happened to subjects between two looks: the only thing that trends and alerts are made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.pane import MILLION
from routecast.analytics.sketch import count_above, log_sums
from routecast.analytics.windows.columns import DURATIONS
from routecast.analytics.windows.window import WindowStats
from routecast.models.insights import Subject

Floats = NDArray[np.float64]


_NONE: Floats = np.zeros(1)
"""Of every subject."""


class Period(NamedTuple):
    """Figures of [start_ms, end_ms), a row for each subject; every array is [subjects] unless it says otherwise.

    Subjects keep their place from one period to the next; new ones come behind them.
    """

    start_ms: float
    end_ms: float
    subjects: Sequence[Subject]
    ok: Floats
    error: Floats
    timeout: Floats
    rate_limited: Floats
    requests: Floats
    """Attempts that ended, `cancelled` and the caller's own faults among them."""
    slow: Floats
    """Successes that took longer than the objective, and timeouts."""
    duration_n: Floats
    duration_ms: Floats
    """Σ of successes and timeouts."""
    ttft_n: Floats
    ttft_ms: Floats
    tpot_n: Floats
    tpot_ms: Floats
    quality_n: Floats
    quality_sum: Floats
    cost_usd: Floats
    ttft_ln: Floats = _NONE
    """Σ ln of milliseconds; the next one of their squares."""
    ttft_ln2: Floats = _NONE
    tpot_ln: Floats = _NONE
    tpot_ln2: Floats = _NONE

    @property
    def judged(self) -> Floats:
        """Attempts that count for ratios."""
        return self.ok + self.error + self.timeout + self.rate_limited

    @property
    def failed(self) -> Floats:
        """Attempts that count against reliability."""
        return self.error + self.timeout + self.rate_limited


def period_of(start_ms: float, end_ms: float, subjects: Sequence[Subject], stats: WindowStats, within_ms: Floats) -> Period:
    """The period of these statistics; `within_ms` is the objective of each subject's service."""

    def count(name: str) -> Floats:
        return stats.sum(name).astype(float)

    def ms(name: str) -> Floats:
        return count(f"{name}_us") / 1000

    ok, error, timeout, rate_limited = (count(name) for name in ("ok", "error", "timeout", "rate_limited"))
    (ttft_ln, ttft_ln2), (tpot_ln, tpot_ln2) = (log_sums(stats.sketches[:, DURATIONS.index(name)]) for name in ("ttft", "tpot"))
    return Period(
        start_ms=start_ms,
        end_ms=end_ms,
        subjects=subjects,
        ok=ok,
        error=error,
        timeout=timeout,
        rate_limited=rate_limited,
        requests=ok + error + timeout + rate_limited + count("cancelled") + count("caller_fault"),
        slow=count_above(stats.sketches[:, 0], within_ms * 1000),
        duration_n=count("duration_n"),
        duration_ms=ms("duration"),
        ttft_n=count("ttft_n"),
        ttft_ms=ms("ttft"),
        tpot_n=count("tpot_n"),
        tpot_ms=ms("tpot"),
        quality_n=count("quality_n"),
        quality_sum=count("quality_sum") / MILLION,
        cost_usd=count("cost_micro_usd") / MILLION,
        ttft_ln=ttft_ln,
        ttft_ln2=ttft_ln2,
        tpot_ln=tpot_ln,
        tpot_ln2=tpot_ln2,
    )
