"""Alerts: raised once, updated when their severity or reason changes, cleared once; people are woken once for an incident.

| rule | value |
|---|---|
| fires | `judge.py` says that it holds |
| is said | when it begins and ends, when its severity, its reason or who may be woken changes, when its figure is another by half, and every hour |
| clears | it has been over for five minutes, and no other of the same severity holds; then the past is forgiven, so that the next blip is a blip |
| wakes | high or critical, neither explained by another alert (`incidents.py`) nor silenced; once for an incident, when it becomes critical, when it is over |
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.alerts.alert_words import Words, ended, moved, words_of
from routecast.analytics.alerts.counts import Counts
from routecast.analytics.alerts.incidents import Active, Incidents, Saved, explained, loaded, saved
from routecast.analytics.alerts.judge import HIGH, Judge
from routecast.analytics.alerts.rules import HOUR_MS, KINDS, rules_of
from routecast.analytics.alerts.silences import Match, Silences
from routecast.analytics.alerts.traffic import UsualTraffic
from routecast.analytics.checkpoint import Stateful
from routecast.analytics.windows.groups import SYSTEM
from routecast.analytics.windows.period import Period
from routecast.models.config import Config
from routecast.models.insights import Alert, Subject
from routecast.models.severity import SEVERITIES, Severity
from routecast.models.snapshot import State

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

CALM_MS: Final = 300_000
"""Peace that ends an alert."""
_FIGURES_MS: Final = 300_000
"""Figures alone are said no more often than this."""
SAY_AGAIN_MS: Final = 3_600_000
"""An alert of which there is nothing new is said this often: who reads knows by it that somebody still follows it."""

_ORDER: Final = {"target": 0, "service": 1, "system": 2, "provider": 3}
"""Causes first."""

Spoken = Literal["raised", "updated", "cleared"]
Key = tuple[str, str, str]
"""Kind and id of the subject, and kind of the alert."""


class Alerts:
    """Alerts of targets, services and the system; advanced only by periods.

    Delivery: (id, version) names what was said. A leader that takes over from a checkpoint made after it was said goes on with it.

    Args:
        config: objectives, thresholds, and how often they are checked.
    """

    STATE: ClassVar[tuple[str, ...]] = ("saved", "_woken", "_end_ms")

    def __init__(self, config: Config) -> None:
        self._every_ms = float(config.intervals.alert_check_ms)
        self._rules = rules_of(config)
        self._counts = Counts()
        self._traffic = UsualTraffic(config.thresholds.throughput_per_min.minimum)
        self._judge = Judge(self._rules, self._counts)
        self._silences = Silences()
        self._active: dict[Key, Active] = {}
        self._woken: dict[str, int] = {}
        """By incident, the severity that somebody was last woken with."""
        self._end_ms = 0.0

    @property
    def parts(self) -> Mapping[str, Stateful]:
        """What makes up its state."""
        return {"alerts": self, "counts": self._counts, "traffic": self._traffic, "judge": self._judge, "silences": self._silences}

    def silence(self, match: Match, until_ms: float) -> None:
        """An operator wants to hear nothing of these until then; in the past: wants to hear of them again."""
        self._silences.add(match, until_ms)

    @property
    def saved(self) -> list[Saved]:
        """Active alerts as plain data."""
        return [saved(alert) for alert in self._active.values()]

    @saved.setter
    def saved(self, alerts: Sequence[Saved]) -> None:
        self._active = {_key(alert): alert for alert in map(loaded, alerts)}

    def check(self, period: Period, states: Mapping[str, State]) -> list[Alert]:
        """What is to be said after this period; `states` by target id. Nothing where it does not end after the last one, or no check is due.

        The caller's order of subjects must not change; new ones come behind the others.
        """
        before_ms = self._end_ms
        if period.end_ms <= before_ms:
            return []
        self._take(period, states)
        if period.end_ms // self._every_ms == before_ms // self._every_ms:
            return []
        holding = self._judge.holding()
        fresh, changed = self._raise(holding, period.subjects, states)
        cleared = self._settle(holding, period.subjects, states)
        changed |= self._explain(period.subjects)
        waking = self._wake(cleared)
        due = fresh | changed | waking
        said = [alert for alert in self._active.values() if alert.id in due or self._stale(alert)]
        states_of: dict[str, Spoken] = {**dict.fromkeys(fresh, "raised"), **{alert.id: "cleared" for alert in cleared}}
        words = words_of([*cleared, *said], self._judge, self._traffic.rate)
        return [self._said(alert, states_of.get(alert.id, "updated"), own, alert.id in waking) for alert, own in zip([*cleared, *said], words, strict=True)]

    def _stale(self, alert: Active) -> bool:
        age_ms = self._end_ms - alert.said_ms
        if alert.inhibited_by and alert.said_ms:
            return False
        return age_ms >= SAY_AGAIN_MS or (age_ms >= _FIGURES_MS and moved(alert, self._judge, float(self._traffic.rate[alert.place])))

    def _take(self, period: Period, states: Mapping[str, State]) -> None:
        self._end_ms = period.end_ms
        self._silences.advance(period.end_ms)
        for part in (self._counts, self._traffic, self._judge):
            part.grow(len(period.subjects))
        self._counts.update(period, *self._traffic.update(period, _expected(period.subjects, states)))
        self._judge.update(period, states)

    def _raise(self, holding: Ints, subjects: Sequence[Subject], states: Mapping[str, State]) -> tuple[set[str], set[str]]:
        """Begin alerts and make others more severe; ids of both."""
        fresh: set[str] = set()
        changed: set[str] = set()
        incidents = Incidents(self._active.values()) if (holding >= 0).any() else None
        order = sorted(np.argwhere(holding >= 0).tolist(), key=lambda at: (_ORDER[subjects[at[0]].kind], at))
        for place, kind in order:
            subject, number = subjects[place], int(holding[place, kind])
            if incidents is None or subject.kind == "provider" or states.get(subject.id) == "drained":
                continue
            severity = self._severity(number)
            known = self._active.get((subject.kind, subject.id, KINDS[kind]))
            if known is None:
                alert = self._begun(subject, place, kind, number, severity)
                alert.incident = incidents.of(alert)
                incidents.add(alert)
                self._active[_key(alert)] = alert
                fresh.add(alert.id)
            elif severity > known.severity:
                known.severity, known.rule, known.calm_ms = severity, number, 0.0
                changed.add(known.id)
        return fresh, changed

    def _begun(self, subject: Subject, place: int, kind: int, number: int, severity: int) -> Active:
        name = f"{KINDS[kind]}/{subject.kind}/{subject.id}/{self._end_ms:.0f}"
        alert_id = hashlib.sha256(name.encode()).hexdigest()[:12]
        return Active(alert_id, 0, alert_id, KINDS[kind], place, subject, number, severity, started_ms=self._end_ms)

    def _settle(self, holding: Ints, subjects: Sequence[Subject], states: Mapping[str, State]) -> list[Active]:
        """Make alerts less severe that have calmed down, and end them where nothing is left; those that ended."""
        ended_: list[Active] = []
        alerts = list(self._active.items())
        drained = np.array([key[0] == "target" and states.get(key[1]) == "drained" for key, _ in alerts], bool)
        places, numbers = (np.array(values, np.int64) for values in ([a.place for _, a in alerts], [a.rule for _, a in alerts]))
        for (key, alert), over in zip(alerts, self._judge.over(places, numbers, drained).tolist(), strict=True):
            if not over:
                alert.calm_ms = 0.0
            elif not alert.calm_ms:
                alert.calm_ms = self._end_ms
            elif self._end_ms - alert.calm_ms >= CALM_MS:
                held, lesser = int(holding[alert.place, KINDS.index(alert.kind)]), self._judge.lesser(alert.place, alert.rule)
                left = held if held >= 0 and self._severity(held) >= alert.severity else lesser
                if left >= 0:
                    alert.severity, alert.rule, alert.calm_ms = self._severity(left), left, 0.0
                    alert.said_ms = 0.0
                else:
                    del self._active[key]
                    ended_.append(alert)
                    if alert.severity >= HIGH:
                        self._forgive(alert, subjects)
        return ended_

    def _severity(self, rule: int) -> int:
        return SEVERITIES.index(self._rules[""][rule].severity)

    def _forgive(self, alert: Active, subjects: Sequence[Subject]) -> None:
        """Its own past, also where it is part of the service's and the system's."""
        own, kind = alert.subject, KINDS.index(alert.kind)
        wider: dict[str, set[tuple[str, str | None]]] = {"target": {("service", own.service), ("system", SYSTEM.id)}, "service": {("system", SYSTEM.id)}}
        self._counts.forgive(alert.place, kind, [place for place, subject in enumerate(subjects) if (subject.kind, subject.id) in wider.get(own.kind, set())])

    def _explain(self, subjects: Sequence[Subject]) -> set[str]:
        """Bring up to date who is explained by whom, and who is silenced; ids of those that changed."""
        changed: set[str] = set()
        busy = self._judge.window(HOUR_MS).n[:, 0] > 0.0 if self._active else ()
        targets = Counter(subject.service or "" for subject, some in zip(subjects, busy, strict=False) if some and subject.kind == "target")
        found = explained(list(self._active.values()), targets)
        for alert in self._active.values():
            cause = found.get(alert.id, "")
            until_ms = self._silences.until_ms(alert.kind, alert.subject, SEVERITIES[alert.severity]) or 0.0
            if (cause, until_ms) != (alert.inhibited_by, alert.silenced_until_ms):
                alert.inhibited_by, alert.silenced_until_ms = cause, until_ms
                changed.add(alert.id)
        return changed

    def _wake(self, cleared: Sequence[Active]) -> set[str]:
        """The alerts that are to wake somebody, or to tell that it is over."""
        waking: set[str] = set()
        by_incident: dict[str, list[Active]] = {}
        for alert in self._active.values():
            by_incident.setdefault(alert.incident, []).append(alert)
        for incident, alerts in by_incident.items():
            worst = max((alert for alert in alerts if alert.heard), key=lambda alert: (alert.severity, -alert.started_ms, alert.id), default=None)
            before = self._woken.get(incident, -1)
            if worst and worst.severity > before:
                self._woken[incident] = worst.severity
                waking.add(worst.id)
        for incident in [name for name in self._woken if not any(alert.severity >= HIGH for alert in by_incident.get(name, ()))]:
            del self._woken[incident]
            over = [alert for alert in (*cleared, *by_incident.get(incident, ())) if alert.incident == incident and not alert.silenced_until_ms]
            waking.update(alert.id for alert in sorted(over, key=lambda alert: bool(alert.inhibited_by))[:1])
        return waking

    def _said(self, alert: Active, state: Spoken, words: Words, notify: bool) -> Alert:  # noqa: FBT001 - of this file alone
        alert.version, alert.said_ms, alert.said_value = alert.version + 1, self._end_ms, words.value
        rule = self._judge.rule(alert.place, alert.rule)
        severity: Severity = SEVERITIES[alert.severity]
        return Alert(
            id=alert.id,
            version=alert.version,
            incident=alert.incident,
            notify=notify,
            kind=alert.kind,
            severity=severity,
            state=state,
            subject=alert.subject,
            rule=rule.rule,
            title=ended(alert, self._end_ms) if state == "cleared" else words.title,
            threshold=rule.threshold,
            value=words.value,
            target=rule.target,
            unit=rule.unit,
            started_ms=alert.started_ms,
            at_ms=self._end_ms,
            ended_ms=self._end_ms if state == "cleared" else None,
            inhibited_by=alert.inhibited_by,
            silenced_until_ms=alert.silenced_until_ms or None,
            evidence=words.evidence,
        )


def _key(alert: Active) -> Key:
    return alert.subject.kind, alert.subject.id, alert.kind


def _expected(subjects: Sequence[Subject], states: Mapping[str, State]) -> Flags:
    """Who is to have traffic: services with a target that is in service, and the system. How much a single target has is the work of routers."""
    serving = {subject.service for subject in subjects if subject.kind == "target" and states.get(subject.id, "ok") in {"ok", "degraded", "unknown"}}
    return np.array([subject.id in serving if subject.kind == "service" else subject.kind == "system" and bool(serving) for subject in subjects], bool)
