"""How much somebody should look at a target: what is so now comes before what was so, however loudly that is still told.

An alert ends only after five minutes of peace, and a change once the detector is sure: until then the last minute says whether they still hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from routecast.dashboards.terminal.glance import Window
from routecast.models.insights import Alert, Change
from routecast.models.severity import Severity
from routecast.models.snapshot import State

WORTH_A_LOOK: Final = 15
_BY_STATE: Final[Mapping[State, int]] = {"open": 60, "rate_limited": 40, "recovering": 30, "degraded": 20, "drained": 10, "unknown": 5, "ok": 0}
_BY_ALERT: Final[Mapping[Severity, int]] = {"critical": 70, "high": 50, "medium": 25, "low": 15}
_WORSE: Final = 18
_FADING: Final = 15
_NEW_MS: Final = 120_000.0
"""What became worse within this comes before what has been so for longer: people and routing know the latter."""
_MANY: Final = 0.05
"""What fails comes before what is slow."""
_FADED: Final = 0.25
"""Of the way from usual to worse: a last minute that is nearer to usual shows nothing of the change any more."""


def trouble_of(state: State, alert: Alert | None, changes: Sequence[Change], minute: Window, at_ms: float) -> int:
    """0: well; the larger, the sooner somebody should look.

    Args:
        state: of the target.
        alert: the foremost about it.
        changes: those about it that last.
        minute: its figures of the last minute.
        at_ms: of the newest snapshot.
    """
    found = [_BY_STATE[state]]
    if alert is not None:
        found.append(_FADING if fades(alert, minute) else _BY_ALERT[alert.severity])
    worse = [change for change in changes if change.worse]
    lasting = [change.since_ms for change in worse if not faded(change, minute)]
    if worse:
        found.append(_WORSE + (at_ms - max(lasting) < _NEW_MS) + 2 * (failing(minute) > _MANY) if lasting else _FADING)
    return max(found)


def foremost(alerts: Sequence[Alert], minute: Window) -> Alert | None:
    """The most severe of those that still show, else the most severe; `alerts` are in that order."""
    return next((alert for alert in alerts if not fades(alert, minute)), next(iter(alerts), None))


def fades(alert: Alert, minute: Window) -> bool:
    """Whether what raised the alert is no longer seen: failures in the last minute, everything else in the evidence that was told last."""
    newest = alert.evidence[-1] if alert.evidence else None
    if newest is None or not newest.value:
        return False
    if alert.kind == "error_rate" and minute.judged:
        allowed = newest.bad / newest.n / newest.value if alert.unit == "burn_rate" and newest.n else 1.0
        return failing(minute) < alert.threshold * allowed
    return newest.value > alert.threshold if alert.unit == "score" else newest.value < alert.threshold


def faded(change: Change, minute: Window) -> bool:
    """Whether the last minute shows failures as they usually are; of other metrics the detector alone can tell."""
    if change.metric != "error_ratio" or not minute.judged:
        return False
    return failing(minute) <= change.before + _FADED * (change.after - change.before)


def failing(window: Window) -> float:
    """Errors, timeouts and refusals, 0..1."""
    return min(1.0, (window.failure_ratio or 0.0) + (window.rate_limit_ratio or 0.0))
