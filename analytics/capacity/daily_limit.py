"""How long a daily limit lasts at the present rate. Days are those of UTC; a limit that lasts until midnight is never used up."""

from __future__ import annotations

import math
from typing import NamedTuple

from routecast.models.config import TargetConfig

_DAY_H = 24.0
_HOUR_MS = 3_600_000.0


class Used(NamedTuple):
    """What a target was asked for since midnight (UTC)."""

    requests: float
    tokens: float


def hours_left(config: TargetConfig, requests_per_min: float, tokens_per_min: float, at_ms: float, used: Used | None = None) -> float | None:
    """Hours until a daily limit of requests or tokens is used up; 0 where it is, None where none is configured or midnight comes first.

    Without `used`, the day until now counts as if it had been like the present.
    """
    day_h = at_ms / _HOUR_MS % _DAY_H
    left = [
        _left(config.requests_per_day, requests_per_min * 60.0, None if used is None else used.requests, day_h),
        _left(config.tokens_per_day, tokens_per_min * 60.0, None if used is None else used.tokens, day_h),
    ]
    soonest = min(left)
    return soonest if soonest < _DAY_H - day_h else None


def _left(limit: float | None, per_h: float, used: float | None, day_h: float) -> float:
    if limit is None:
        return math.inf
    rest = limit - (per_h * day_h if used is None else used)
    return 0.0 if rest <= 0 else rest / per_h if per_h > 0 else math.inf
