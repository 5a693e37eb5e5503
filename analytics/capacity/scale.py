"""When to add capacity and when to take some away: the trend of the load against what can be sustained.

Up, at the latest fifteen minutes before the trend meets what can be sustained, so that an autoscaler has five even where the trend is known late;
down where half of everything would keep the limit at the present load and the load does not rise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.capacity.service_law import TargetFit
from routecast.analytics.capacity.sustainable import Search
from routecast.models.capacity import ScaleHint

Floats = NDArray[np.float64]

AHEAD_MIN: Final = 15.0
"""A breach that is nearer is announced."""
_PARTS = 15
_LEAST_MIN = 5.0
_MOST_ALIKE = 0.9
_SURE = 2.0
"""Standard errors by which a trend must differ from none."""
_HALF = 0.5
_ROUNDING = 1e-9
_SPARE = 1.2
"""Half of everything must hold so many times the present load."""


class LoadTrend(NamedTuple):
    """A straight line through the arrivals."""

    now_per_min: float
    """At the end of the recording."""
    per_min2: float
    """Requests per minute that come on top in a minute; 0 where that is not sure."""
    ahead_min: float
    """How far it is drawn on: as far as it has been watched, fifteen minutes at most."""


def load_trend(at_ms: Floats) -> LoadTrend:
    """Least squares through the rates of fifteen equal parts of the recording, with a standard error that knows their correlation (AR(1)).

    Under five minutes of arrivals nothing is known of a trend.
    """
    counts, edges = np.histogram(at_ms, _PARTS)
    span_min = float(edges[-1] - edges[0]) / 60_000.0
    rates = counts * _PARTS / span_min
    if span_min < _LEAST_MIN:
        return LoadTrend(float(rates.mean()), 0.0, 0.0)
    centred = (np.arange(_PARTS) - (_PARTS - 1) / 2) * span_min / _PARTS
    slope = float((centred * rates).sum() / (centred**2).sum())
    rest = rates - rates.mean() - slope * centred
    again = max(0.0, min(_MOST_ALIKE, float((rest[1:] * rest[:-1]).sum() / max(1e-12, float((rest**2).sum())))))
    error = math.sqrt(float((rest**2).sum()) / (_PARTS - 2) / float((centred**2).sum()) * (1.0 + again) / (1.0 - again))
    if abs(slope) <= _SURE * error:
        return LoadTrend(float(rates.mean()), 0.0, 0.0)
    return LoadTrend(max(0.0, float(rates.mean() + slope * span_min / 2)), slope, min(AHEAD_MIN, span_min))


def scale_hint(trend: LoadTrend, fits: Sequence[TargetFit], search: Search, sustainable_per_min: float, seed: int) -> ScaleHint:
    """What an autoscaler may do about it."""
    most, per_min = sum(fit.law.most for fit in fits), search.arrivals.per_min
    hint = scale_up(trend, sustainable_per_min, most)
    if hint.action == "up" or trend.per_min2 > 0:
        return hint
    half = [scaled(fit, _HALF) for fit in fits]
    if not search.holds(half, max(per_min, trend.now_per_min) * _SPARE / per_min, seed):
        return hint
    return ScaleHint(action="down", slots=-math.floor(most * _HALF), reason="half of the capacity would keep the limit with a fifth to spare")


def scale_up(trend: LoadTrend, sustainable_per_min: float, most: float) -> ScaleHint:
    """The hint where only growth counts; `most` is the calls' worth of work that all targets do at once."""
    over = trend.now_per_min >= sustainable_per_min
    in_min = 0.0 if over else (sustainable_per_min - trend.now_per_min) / trend.per_min2 if trend.per_min2 > 0 else None
    if in_min is None:
        return ScaleHint(action="none", reason="the limit is not in sight")
    if in_min > trend.ahead_min and not over:
        return ScaleHint(action="none", in_min=in_min, reason=f"the limit would be reached in {in_min:.0f} min if the load went on rising")
    expected = trend.now_per_min + max(0.0, trend.per_min2) * trend.ahead_min
    slots = max(1, math.ceil(most * (expected / sustainable_per_min - 1.0) - _ROUNDING))
    when = "is reached" if over else f"will be reached in {in_min:.0f} min"
    reason = f"the limit {when}: {expected:.0f} requests/min in {trend.ahead_min:.0f} min if the load goes on, {sustainable_per_min:.0f} can be sustained"
    return ScaleHint(action="up", slots=slots, in_min=in_min, reason=reason)


def scaled(fit: TargetFit, factor: float) -> TargetFit:
    """A target of the same kind that does `factor` times as much at once, limits included."""
    law = fit.law
    per_s = None if fit.requests_per_s is None else fit.requests_per_s * factor
    smaller = law._replace(slots=max(1.0, law.slots * factor), knee=law.knee * factor, slope=law.slope / factor)
    return fit.with_law(smaller, requests_per_s=per_s)
