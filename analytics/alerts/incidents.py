"""Which alerts are one incident, and which of them explains another, so that people are woken once for one thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from routecast.analytics.alerts.judge import HIGH
from routecast.models.errors import DecodeError
from routecast.models.insights import Subject
from routecast.models.severity import AlertKind

_TOGETHER_MS: Final = 300_000
"""Targets of a service that begin to fail within this of each other fail together."""


@dataclass(slots=True)
class Active:
    """An alert that has been raised and not cleared."""

    id: str
    version: int
    incident: str
    kind: AlertKind
    place: int
    """Of its subject."""
    subject: Subject
    rule: int
    severity: int
    started_ms: float
    calm_ms: float = 0.0
    """Since when its rule has been over; 0: it is not."""
    said_ms: float = 0.0
    """0: what is known now was not said."""
    said_value: float = 0.0
    inhibited_by: str = ""
    silenced_until_ms: float = 0.0
    """0: not silenced."""

    @property
    def heard(self) -> bool:
        """Whether it may wake somebody."""
        return self.severity >= HIGH and not self.inhibited_by and not self.silenced_until_ms


Saved = dict[str, Any]
"""An active alert as plain data."""


def saved(alert: Active) -> Saved:
    """Its fields."""
    return {**{name: getattr(alert, name) for name in Active.__slots__}, "subject": alert.subject.model_dump()}


def loaded(fields: Saved) -> Active:
    """What was saved. Raises DecodeError where it is something else."""
    try:
        plain: dict[str, Any] = {**fields}
        plain["subject"] = Subject.model_validate(fields["subject"])
        return Active(**plain)
    except (TypeError, KeyError, ValidationError) as error:
        raise DecodeError(f"checkpoint: not an active alert: {error}") from error


class Incidents:
    """To which incident a new alert belongs, by the active ones.

    To that of the same subject; a service to that of its targets, and they to its, unless another of them explains it; the system to
    that of any; what begins within five minutes of each other among the targets of a service, or of a service and the system, to one.
    Otherwise it is an incident of its own, named after it.
    """

    def __init__(self, active: Iterable[Active]) -> None:
        self._by_subject: dict[tuple[str, str], Active] = {}
        self._targets: dict[str | None, tuple[Active, Active]] = {}
        """By service, the alerts of its targets that started first and last."""
        self._first: Active | None = None
        for alert in sorted(active, key=lambda alert: (alert.started_ms, alert.id)):
            self.add(alert)

    def add(self, alert: Active) -> None:
        """Take an alert that began no earlier than the others."""
        self._by_subject.setdefault((alert.subject.kind, alert.subject.id), alert)
        self._first = self._first or alert
        if alert.subject.kind == "target":
            first, _ = self._targets.get(alert.subject.service, (alert, alert))
            self._targets[alert.subject.service] = (first, alert)

    def of(self, new: Active) -> str:
        """The incident of a new alert."""
        subject = new.subject
        first, last = self._targets.get(subject.service, (None, None))
        candidates = [self._by_subject.get((subject.kind, subject.id))]
        if subject.kind == "target":
            whole = self._by_subject.get(("service", subject.service or ""))
            candidates += [whole if whole and not whole.inhibited_by else None, _together(new, last)]
        elif subject.kind == "service":
            candidates += [first, _together(new, self._by_subject.get(("system", "system")))]
        else:
            candidates.append(self._first)
        return next((alert.incident for alert in candidates if alert), new.id)


def _together(new: Active, other: Active | None) -> Active | None:
    return other if other and new.started_ms - other.started_ms <= _TOGETHER_MS else None


def explained(active: Sequence[Active], targets: Mapping[str, int]) -> dict[str, str]:
    """By id of an alert, the id of the one that explains it, which is not explained itself; `targets` counts those with traffic by service.

    A target that fails explains that it is slow, bad or without traffic. Where at least half of the targets of a service have an alert of a kind, two or
    more, or all that it has, the service's alert explains theirs; where fewer have, the worst of them explains the service's. A service
    that fails explains everything of its targets then. Services explain the system. Nobody is explained by what is less severe.
    """
    found: dict[str, str] = {}
    by_place = {(alert.subject.kind, alert.subject.id, alert.kind): alert for alert in active}
    for service in sorted({alert.subject.service or "" for alert in active if alert.subject.kind != "system"}):
        members = [alert for alert in active if alert.subject.kind == "target" and (alert.subject.service or "") == service]
        _within(members, [alert for alert in active if alert.subject.kind == "service" and alert.subject.id == service], targets.get(service, 0), found)
    for alert in active:
        cause = by_place.get((alert.subject.kind, alert.subject.id, "error_rate"))
        if alert.kind != "error_rate" and cause is not None and cause.severity >= HIGH:
            found.setdefault(alert.id, cause.id)
    for alert in active:
        if alert.subject.kind == "system":
            _by_worst(alert, [other for other in active if other.kind == alert.kind and other.subject.kind == "service"], found)
    return {alert: _first(cause, found) for alert, cause in found.items()}


def _within(members: Sequence[Active], services: Sequence[Active], targets: int, found: dict[str, str]) -> None:
    """Explain a service by its targets, or them by it."""
    counts = Counter(alert.kind for alert in members)
    for service in services:
        same = [alert for alert in members if alert.kind == service.kind]
        everywhere = counts[service.kind] >= min(2, max(1, targets)) and 2 * counts[service.kind] >= targets
        if not everywhere:
            _by_worst(service, same, found)
            continue
        down = service.kind == "error_rate" and service.severity >= HIGH
        for alert in members if down else same:
            if alert.severity <= service.severity:
                found[alert.id] = service.id


def _by_worst(alert: Active, causes: Sequence[Active], found: dict[str, str]) -> None:
    worst = max(causes, key=lambda cause: (cause.severity, -cause.started_ms, cause.id), default=None)
    if worst is not None and worst.severity >= alert.severity:
        found.setdefault(alert.id, worst.id)


def _first(alert: str, found: Mapping[str, str]) -> str:
    """The end of a chain of causes."""
    seen = {alert}
    while alert in found and found[alert] not in seen:
        alert = found[alert]
        seen.add(alert)
    return alert
