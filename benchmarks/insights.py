"""Costs of trends and alerts at a thousand targets, and the size of their state."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

import numpy as np
import study_trend
from alert_months import config, looks
from core import Row
from study_alerts import state_bytes

from routecast.analytics.alerts.alerts import Alerts
from routecast.analytics.changes.trends import TrendTracker
from routecast.analytics.checkpoint import pack, state_of
from routecast.analytics.insights.insights import Insights
from routecast.analytics.insights.roster import Roster
from routecast.models.insights import Subject

_TARGETS = 1000
_QUIET = 420
"""Periods of ten seconds before everything fails."""
_DOWN = 40


def _cpu_ms(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000.0


def _spread(ranked: Sequence[float]) -> str:
    return f"p50 {ranked[len(ranked) // 2]:.1f}, p99 {ranked[int(len(ranked) * 0.99)]:.1f}, most {ranked[-1]:.1f} ms"


def rows() -> list[Row]:
    """What an update of both takes in peace and while everything fails, and an analysis."""
    alerts, trends = Alerts(config(_TARGETS)), TrendTracker()
    everything = Insights(config(_TARGETS), Roster(config(_TARGETS)))
    checks: list[float] = []
    updates: list[float] = []
    ticks: list[float] = []
    subjects: Sequence[Subject] = ()
    for number, look in enumerate(islice(looks(1, [], days=1, breaker=False, targets=_TARGETS, per_min=40.0 * _TARGETS), _QUIET + _DOWN)):
        period = look.period
        if number >= _QUIET:
            period = period._replace(ok=0.0 * period.ok, error=period.requests, duration_n=0.0 * period.ok, duration_ms=0.0 * period.ok)
        checks.append(_cpu_ms(partial(alerts.check, period, look.states)))
        updates.append(_cpu_ms(partial(trends.update, period)))
        ticks += [_cpu_ms(partial(everything.tick, period.end_ms + 1000.0 * s, [], None if s else period, look.states)) for s in range(10)]
        subjects = period.subjects
    analysis = sorted(_cpu_ms(trends.fitted) for _ in range(7))[3]
    found = trends.fitted()
    words = _cpu_ms(lambda: trends.trends(found, subjects, range(len(subjects))))
    quiet, down = sorted(checks[60:_QUIET]), checks[_QUIET:]
    peace, trouble = sorted(ticks[600 : 10 * _QUIET]), sorted(ticks[10 * _QUIET :])
    return [
        Row(f"a tick with everything of alerts, trends and streamed changes, {_TARGETS:,} targets, in peace", _spread(peace), "< 100 ms"),
        Row("the same while everything fails", _spread(trouble), "< 100 ms"),
        Row(f"alerts, {_TARGETS:,} targets, a check in peace", f"p50 {quiet[len(quiet) // 2]:.1f} ms, p99 {quiet[int(len(quiet) * 0.99)]:.1f} ms", "≤ 25 ms"),
        Row("the same while everything fails", f"p50 {np.median(down):.0f} ms, most {max(down):.0f} ms", "p50 ≤ 25 ms"),
        Row("trends, update", f"p50 {np.median(updates):.2f} ms", ""),
        Row(f"trends, analysis of {len(found.n):,} series, once a minute", f"{analysis:.0f} ms", "≤ 25 ms"),
        Row("describing them, in parts of 100 subjects a tick", f"{words / len(subjects) * 100:.1f} ms a part", ""),
        Row(f"state of trends, {_TARGETS:,} targets, packed", f"{len(pack(state_of(trends))) / 1000:,.0f} kB", ""),
        *(Row(f"state of alerts, {targets:,} targets, packed", f"{state_bytes(targets) / 1000:,.0f} kB", "") for targets in (20, _TARGETS)),
        *study_trend.rows(),
    ]
