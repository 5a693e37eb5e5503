"""Incidents, and what a run made of them: when a policy left a target and came back, and whether the alerts were right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.backtest.play import OUTCOMES, Played
from routecast.analytics.backtest.scene import Scene
from routecast.models.backtest import Failover, Incident, Raised
from routecast.models.insights import Alert
from routecast.models.severity import AlertKind

Bools = NDArray[np.bool_]

AFTERMATH_MS: Final = 60_000.0
"""So long after its end an incident still explains an alert: calls that began in it end."""
KINDS: Final = frozenset(get_args(AlertKind))
"""Words of labels that ask for an alert of that kind."""
_LEAST_SPELL_MS: Final = 5_000.0


def incidents_of(scene: Scene) -> tuple[Incident, ...]:
    """The spells of a scene as incidents, where nobody labelled any."""
    start_ms, span_ms = scene.requests.start_ms, float(scene.requests.at_ms[-1])
    found = [
        Incident(target=target.id, from_ms=start_ms + max(0.0, spell.from_ms), until_ms=start_ms + min(span_ms, spell.until_ms), kind=spell.kind)
        for target in scene.targets
        for spell in target.spells
        if spell.until_ms > 0 and spell.from_ms < span_ms and (spell.kind != "slow" or spell.level > 1)
    ]
    return tuple(sorted((it for it in found if it.until_ms - it.from_ms >= _LEAST_SPELL_MS), key=lambda it: it.from_ms))


def failovers(played: Played) -> tuple[Failover, ...]:
    """What became of each outage in the scene: the requests to it, probes aside, and the way back."""
    found: list[Failover] = []
    span_ms = float(played.scene.requests.at_ms[-1])
    for number, target in enumerate(played.scene.targets):
        mine = (played.target == number) & ~played.probe
        outages = [spell for spell in target.spells if spell.outage and 0 <= spell.from_ms < span_ms]
        found += [_failover(played, mine, target.id, spell.from_ms, min(spell.until_ms, span_ms)) for spell in outages]
    return tuple(sorted(found, key=lambda it: it.from_s))


def _failover(played: Played, mine: Bools, target: str, from_ms: float, until_ms: float) -> Failover:
    into = played.begun_ms[mine & (played.begun_ms >= from_ms) & (played.begun_ms < until_ms)]
    back = played.ended_ms[mine & (played.begun_ms >= until_ms) & (played.outcome == OUTCOMES.index("ok"))]
    return Failover(
        target=target, from_s=from_ms / 1000.0, until_s=until_ms / 1000.0, attempts=len(into),
        left_after_s=float(into.max() - from_ms) / 1000.0 if len(into) else None,
        back_after_s=float(back.min() - until_ms) / 1000.0 if len(back) else None,
    )  # fmt: skip


def mean_failover_s(found: Sequence[Failover]) -> tuple[float, float]:
    """Mean time out and mean time back; NaN where there is none. A target that nobody asked was left at once."""
    out = [it.left_after_s or 0.0 for it in found]
    back = [it.back_after_s for it in found if it.back_after_s is not None]
    return (float(np.mean(out)) if out else math.nan), (float(np.mean(back)) if back else math.nan)


def explains(incident: Incident, alert: Alert) -> bool:
    """Whether the incident is a reason for the alert: the target's, or its whole service's, at the time, of the kind where the label names one."""
    about = alert.subject.kind != "target" or alert.subject.id == incident.target
    right = incident.kind not in KINDS or incident.kind == alert.kind
    ended_ms = alert.ended_ms if alert.ended_ms is not None else math.inf
    return about and right and alert.started_ms <= incident.until_ms + AFTERMATH_MS and ended_ms >= incident.from_ms


def judged(alerts: Sequence[Alert], incidents: Sequence[Incident]) -> tuple[float, float]:
    """Precision and recall; NaN where there are no alerts, or no incidents. Alerts that another one explains count for nothing."""
    own = [alert for alert in alerts if not alert.inhibited_by]
    right = sum(any(explains(incident, alert) for incident in incidents) for alert in own)
    found = sum(any(explains(incident, alert) for alert in alerts) for incident in incidents)
    return (right / len(own) if own else math.nan), (found / len(incidents) if incidents else math.nan)


def raised(alerts: Sequence[Alert], incidents: Sequence[Incident], start_ms: float) -> tuple[Raised, ...]:
    """The alerts for people, in the order in which they began."""
    return tuple(
        Raised(
            target=alert.subject.id, kind=alert.kind, severity=alert.severity, from_s=(alert.started_ms - start_ms) / 1000.0,
            until_s=None if alert.ended_ms is None else (alert.ended_ms - start_ms) / 1000.0,
            explained=any(explains(incident, alert) for incident in incidents),
        )
        for alert in sorted(alerts, key=lambda alert: alert.started_ms)
    )  # fmt: skip
