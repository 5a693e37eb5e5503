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
from ticks import collected_as_in_a_worker

from routecast.analytics.alerts.alerts import Alerts
from routecast.analytics.changes.trends import METRICS, TrendTracker
from routecast.analytics.checkpoint import pack, state_of
from routecast.analytics.insights.insights import Insights
from routecast.analytics.insights.roster import Roster
from routecast.models.insights import Subject, Trend

_TARGETS = 1000
_QUIET = 420
"""Periods of ten seconds before everything fails."""
_DOWN = 40
_PART = 100


def _cpu_ms(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000.0


def _spread(ranked: Sequence[float]) -> str:
    return f"p50 {ranked[len(ranked) // 2]:.1f}, p99 {ranked[int(len(ranked) * 0.99)]:.1f}, most {ranked[-1]:.1f} ms"


class _Times:
    """CPU time of the parts in peace and while everything fails."""

    def __init__(self) -> None:
        self.alerts, self.trends = Alerts(config(_TARGETS)), TrendTracker()
        self._everything = Insights(config(_TARGETS), Roster(config(_TARGETS)))
        self.checks: list[float] = []
        self.updates: list[float] = []
        self.ticks: list[float] = []
        self.subjects: Sequence[Subject] = ()

    def measure(self, quiet: Callable[[], None]) -> None:
        """Play everything; `quiet` is called between ticks."""
        for number, look in enumerate(islice(looks(1, [], days=1, breaker=False, targets=_TARGETS, per_min=40.0 * _TARGETS), _QUIET + _DOWN)):
            period, self.subjects = look.period, look.period.subjects
            if number >= _QUIET:
                period = period._replace(ok=0.0 * period.ok, error=period.requests, duration_n=0.0 * period.ok, duration_ms=0.0 * period.ok)
            self.checks.append(_cpu_ms(partial(self.alerts.check, period, look.states)))
            self.updates.append(_cpu_ms(partial(self.trends.update, period)))
            for s in range(10):
                self.ticks.append(_cpu_ms(partial(self._everything.tick, period.end_ms + 1000.0 * s, [], None if s else period, look.states)))
                quiet()


def rows() -> list[Row]:
    """What an update of both takes in peace and while everything fails, and an analysis; garbage is collected when a worker collects it."""
    times = _Times()
    with collected_as_in_a_worker() as quiet:
        times.measure(quiet)
    trends, subjects = times.trends, times.subjects
    parts = [range(first, min(first + _PART, len(subjects))) for first in range(0, len(subjects), _PART)]
    analyses = [sorted(_cpu_ms(partial(_analysed, trends, subjects, places)) for _ in range(7))[3] for places in parts]
    series = len(METRICS) * len(subjects)
    quiet_checks, down = sorted(times.checks[60:_QUIET]), times.checks[_QUIET:]
    peace, trouble = sorted(times.ticks[600 : 10 * _QUIET]), sorted(times.ticks[10 * _QUIET :])
    return [
        Row(f"a tick with everything of alerts, trends and streamed changes, {_TARGETS:,} targets, in peace", _spread(peace), "< 100 ms"),
        Row("the same while everything fails", _spread(trouble), "< 100 ms"),
        Row(f"alerts, {_TARGETS:,} targets, a check in peace", _short(quiet_checks), "≤ 25 ms"),
        Row("the same while everything fails", f"p50 {np.median(down):.0f} ms, most {max(down):.0f} ms", "p50 ≤ 25 ms"),
        Row("trends, update", f"p50 {np.median(times.updates):.2f} ms", ""),
        Row(f"trends, a part of {_PART} subjects, three a tick; all {series:,} series, once a minute", _parted(analyses), "≤ 25 ms a tick"),
        Row(f"state of trends, {_TARGETS:,} targets, packed", f"{len(pack(state_of(trends))) / 1000:,.0f} kB", ""),
        *(Row(f"state of alerts, {targets:,} targets, packed", f"{state_bytes(targets) / 1000:,.0f} kB", "") for targets in (20, _TARGETS)),
        *study_trend.rows(),
    ]


def _analysed(trends: TrendTracker, subjects: Sequence[Subject], places: Sequence[int]) -> list[Trend]:
    return trends.trends(trends.fitted(places), [subjects[place] for place in places])


def _short(ranked: Sequence[float]) -> str:
    return f"p50 {ranked[len(ranked) // 2]:.1f} ms, p99 {ranked[int(len(ranked) * 0.99)]:.1f} ms"


def _parted(analyses: Sequence[float]) -> str:
    return f"{max(analyses):.1f} ms; {sum(analyses):.0f} ms"
