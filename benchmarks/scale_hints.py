"""How long before a breach the hint to scale up comes, on recorded arrivals thinned so that their rate grows fourfold within the hour."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from traces import recorded

from routecast.analytics.capacity.scale import load_trend, scale_up

Floats = NDArray[np.float64]

AIM_MIN = 5.0
SEEN_MIN = 30.0
"""What an estimate looks back on."""
_MEAN_MIN = 5
"""A breach is a mean of so many minutes above what can be sustained."""
_BREACH_MIN = (44, 46)
"""Where on the ramp, without the trace's own bursts, it is expected."""


class Lead(NamedTuple):
    """Minutes since the start."""

    trace: str
    seed: int
    breach: int
    hint: int | None
    """The first of those that stand until the breach."""

    @property
    def ahead_min(self) -> int:
        """How long before; 0 where there was none."""
        return 0 if self.hint is None else self.breach - self.hint


def lead(trace: str, seed: int) -> Lead | None:
    """The lead on one thinning; None without the trace."""
    traffic = recorded(trace)
    if traffic is None:
        return None
    minutes: Floats = traffic.offsets_s / 60.0
    minutes = minutes[np.random.default_rng(seed).random(len(minutes)) < 0.25 + 0.75 * minutes / minutes[-1]]
    ends = np.arange(_MEAN_MIN, int(minutes[-1]) + 1)
    per_min = np.array([_count(minutes, end, _MEAN_MIN) / _MEAN_MIN for end in ends.tolist()])
    sustainable = float(per_min[(ends >= _BREACH_MIN[0]) & (ends <= _BREACH_MIN[1])].mean())
    breach = int(ends[per_min > sustainable][0])
    hint: int | None = None
    for end in range(breach, _MEAN_MIN, -1):
        seen = minutes[(minutes > end - SEEN_MIN) & (minutes <= end)] * 60_000.0
        if scale_up(load_trend(seen), sustainable, 10.0).action != "up":
            break
        hint = end
    return Lead(trace, seed, breach, hint)


def _count(minutes: Floats, end: float, wide: float) -> int:
    return int(((minutes > end - wide) & (minutes <= end)).sum())


def lines(traces: list[str], seeds: int) -> list[str]:
    """One for each trace."""
    said: list[str] = []
    for trace in traces:
        leads = [found.ahead_min for seed in range(seeds) if (found := lead(trace, seed)) is not None]
        if leads:
            mark = "met" if min(leads) >= AIM_MIN else "SHORT"
            listed = ", ".join(map(str, leads))
            said.append(f"hint to scale up on a ramp of {trace}: {listed} min before the breach (aim ≥ {AIM_MIN:.0f}: {mark})")
    return said
