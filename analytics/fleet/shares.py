"""Planned shares: the split of a service's traffic at which one more request costs the same everywhere.

The waiting time follows Sakasegawa's approximation of a queue with ĉ slots (Sakasegawa 1977); marginal costs are tabulated over the
utilisation and the common multiplier is found by bisection.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from routecast.models.config import TargetConfig
from routecast.models.rows import TargetTotals

Floats = NDArray[np.float64]

_KAPPA = 0.5
_FULLEST = 0.97
_RATE_LIMIT_USE = 0.92
_STEPS = 28
"""Halvings of a bracket of some ten e-folds: the multiplier is found to 1e-7."""
_RHO: Floats = 1.0 - np.geomspace(1.0, 0.002, 241)
"""Utilisations 0…0.998, denser where the queue grows."""


def planned_shares(rate_per_s: float, cost_s: Floats, service_s: Floats, capacity: Floats, rate_limit_per_s: Floats) -> Floats:
    """Share of each target, Σ = 1, all ≥ 0.

    `rate_per_s` is clipped to 97 % of what all can serve; no target gets more than 92 % of its rate limit (inf = none) while the
    others have room.
    """
    slots = np.minimum(capacity, 3.0 + 1.3 * rate_per_s * service_s)
    full_per_s = slots / service_s
    rate = min(rate_per_s, _FULLEST * float(full_per_s.sum()))
    most = np.minimum(1.0, _RATE_LIMIT_USE * rate_limit_per_s / rate)
    table = cost_s[:, None] * (1.0 + (_KAPPA / slots)[:, None] * _delay(slots))
    per_rho = full_per_s / rate
    low, high = np.log(cost_s.min() * 0.5), np.log(table[:, -1].max() * 1.01)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if float(_shares_at(np.exp(middle), table, per_rho, most).sum()) < 1.0:
            low = middle
        else:
            high = middle
    planned = _between(_shares_at(np.exp(low), table, per_rho, most), _shares_at(np.exp(high), table, per_rho, most))
    shares: Floats = planned / planned.sum()
    return shares


def limits_per_s(targets: Sequence[TargetConfig], totals: Sequence[TargetTotals], tokens: float) -> Floats:
    """Requests per second that each target's rate limits allow, at so many tokens a request; inf where there is none.

    What headers told (`totals`, in the same order) wins over the configuration.
    """
    told = [(known.limits[1] or t.requests_per_min, known.limits[2] or t.tokens_per_min) for t, known in zip(targets, totals, strict=True)]
    return np.array([min(requests or math.inf, (of_tokens or math.inf) / max(1.0, tokens)) / 60 for requests, of_tokens in told])


def _between(below: Floats, above: Floats) -> Floats:
    """Shares whose sum is 1, from those at both ends of the bracket; where all are at their limits the sum stays below.

    An idle target costs the same up to a good part of its capacity: within the bracket its share may jump from nothing to that.
    """
    room = float(above.sum() - below.sum())
    part = min(1.0, (1.0 - float(below.sum())) / room) if room > 0 else 1.0
    return below + part * (above - below)


def _delay(slots: Floats) -> Floats:
    """[targets × utilisations] d/dρ-weighted delay: ρ^p·((p+1)(1−ρ)+ρ)/(1−ρ)², p = √(2(ĉ+1)) − 1."""
    p = (np.sqrt(2.0 * (slots + 1.0)) - 1.0)[:, None]
    return _RHO**p * ((p + 1.0) * (1.0 - _RHO) + _RHO) / (1.0 - _RHO) ** 2


def _shares_at(multiplier: float, table: Floats, per_rho: Floats, most: Floats) -> Floats:
    """Shares at which every target's marginal cost is the multiplier (targets dearer than it get nothing)."""
    last = len(_RHO) - 1
    below = np.clip((table < multiplier).sum(axis=1) - 1, 0, last - 1)
    rows = np.arange(len(table))
    left, right = table[rows, below], table[rows, below + 1]
    part = np.clip((multiplier - left) / np.maximum(right - left, 1e-300), 0.0, 1.0)
    rho = _RHO[below] + part * (_RHO[below + 1] - _RHO[below])
    return np.minimum(np.where(multiplier > table[:, 0], rho, 0.0) * per_rho, most)
