"""Who insights are about: targets, services and the system, each at a place that it keeps, and their periods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np

from routecast.analytics.windows.columns import Ints
from routecast.analytics.windows.groups import SYSTEM
from routecast.analytics.windows.period import Floats, Period, period_of
from routecast.analytics.windows.window import WindowStats
from routecast.models.config import Config
from routecast.models.insights import Subject

_SUMS: Final = Period._fields[Period._fields.index("subjects") + 1 :]


class Roster:
    """Places of subjects. The system comes first, then targets and services, those of the configuration in its order, others as they appear.

    Places are state: whoever keeps figures by place takes them over together with these.

    Args:
        config: services with their objectives, and targets.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_names",)

    def __init__(self, config: Config) -> None:
        self._within_ms = {service: config.routing_for(service).objective.within_ms for service in sorted(config.services)}
        self._other_ms = config.routing.objective.within_ms
        self._names: list[list[str]] = [["system", SYSTEM.id]]
        """Kind and id by place."""
        self._configured = [_target(target.id, target.provider, target.model, target.service, target.region) for target in config.target]
        self._places_of(self._configured)

    def period(self, start_ms: float, end_ms: float, targets: Sequence[Subject], stats: WindowStats) -> Period:
        """The figures of [start_ms, end_ms) of every subject, from those of the targets, a row each; a target belongs to its service alone.

        Sums are made in the order of places, so that the order of `targets` leaves no trace.
        """
        places = self._places_of(targets)
        own = np.array([places["target", target.id] for target in targets], np.int64)
        order = np.argsort(own)
        within_ms = np.array([self._within_ms.get(target.service or "", self._other_ms) for target in targets])
        found = period_of(start_ms, end_ms, targets, stats, within_ms)
        service = np.array([places["service", target.service] if target.service else 0 for target in targets], np.int64)
        sums = {name: self._summed(getattr(found, name)[order], own[order], service[order]) for name in _SUMS}
        return Period(start_ms=start_ms, end_ms=end_ms, subjects=tuple(self._subjects(targets)), **sums)

    def _summed(self, values: Floats, own: Ints, service: Ints) -> Floats:
        n = len(self._names)
        total: Floats = np.zeros(n)
        np.add.at(total, own, values)
        np.add.at(total, service, values)
        total[0] = values.sum()
        return total

    def _places_of(self, targets: Sequence[Subject]) -> dict[tuple[str, str], int]:
        """The place of everybody, of those that are new behind the others: by name, targets before services."""
        places = {(kind, name): place for place, (kind, name) in enumerate(self._names)}
        services = sorted({target.service for target in targets if target.service})
        ids = [target.id for target in targets] if targets is self._configured else sorted(target.id for target in targets)
        for kind, name in [*(("target", name) for name in ids), *(("service", name) for name in services)]:
            if (kind, name) not in places:
                places[kind, name] = len(self._names)
                self._names.append([kind, name])
        return places

    def _subjects(self, targets: Sequence[Subject]) -> list[Subject]:
        known = {target.id: target for target in targets}
        return [_subject(kind, name, known) for kind, name in self._names]


def _subject(kind: str, name: str, targets: dict[str, Subject]) -> Subject:
    if kind == "target":
        return targets.get(name) or Subject(kind="target", id=name)
    return Subject(kind="service", id=name, service=name) if kind == "service" else SYSTEM


def _target(name: str, provider: str | None, model: str | None, service: str | None, region: str | None) -> Subject:
    return Subject(kind="target", id=name, provider=provider, model=model, service=service, region=region)
