"""What the fleet noticed of the troubles of a demonstration: each trouble beside the first states, changes and alerts that name its target."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from routecast.demo.demonstration import INCIDENTS, Injected
from routecast.models.insights import Alert, Change, Insight
from routecast.models.report import Noticed
from routecast.models.snapshot import RoutingSnapshot, State
from routecast.testing import Fleet

_AFTERMATH_S = 60.0
"""So long after its end a trouble still explains what is noticed: calls that began in it end."""
_TROUBLED: frozenset[State] = frozenset({"open", "rate_limited"})
LOOK_MS = 1_000.0
"""How often a journal should look."""


class _Seen(NamedTuple):
    """Something that was noticed."""

    at_s: float
    subject: str
    what: str


class Journal:
    """Keeps when states of targets, changes and alerts were first seen.

    Args:
        start_ms: of the demonstration, epoch ms.
        duration_s: virtual seconds of it.
    """

    def __init__(self, start_ms: float, duration_s: float) -> None:
        self._start_ms, self._duration_s = start_ms, duration_s
        self._seen: list[_Seen] = []
        self._known: set[str] = set()
        self._states: dict[str, State] = {}

    def look(self, fleet: Fleet) -> None:
        """Note what is new."""
        at_s = (fleet.now_ms - self._start_ms) / 1000.0
        self._seen += [*self._new_states(at_s, fleet.snapshot()), *self._new_insights(at_s, fleet.insights())]

    def _new_states(self, at_s: float, snapshot: RoutingSnapshot | None) -> Iterable[_Seen]:
        for target in snapshot.targets if snapshot is not None else ():
            if target.state != self._states.get(target.id) and target.state in _TROUBLED:
                yield _Seen(at_s, target.id, f"state {target.state}")
            self._states[target.id] = target.state

    def _new_insights(self, at_s: float, insights: Iterable[Insight]) -> Iterable[_Seen]:
        for insight in insights:
            if insight.key in self._known or not isinstance(insight, Change | Alert):
                continue
            self._known.add(insight.key)
            yield _Seen(at_s, insight.subject.id, _described(insight))

    def noticed(self) -> tuple[Noticed, ...]:
        """Each trouble and what named its target, the first of each kind."""
        return tuple(self._of(injected) for injected in INCIDENTS)

    def _of(self, injected: Injected) -> Noticed:
        begins_s, ends_s = injected.begins * self._duration_s, injected.ends * self._duration_s
        found: dict[str, float] = {}
        for seen in self._seen:
            if seen.subject == injected.run and begins_s <= seen.at_s < ends_s + _AFTERMATH_S:
                found.setdefault(seen.what, seen.at_s - begins_s)
        return Noticed(target=injected.run, trouble=injected.label, begins_s=begins_s, ends_s=ends_s, after_s=found)

    def elsewhere(self) -> tuple[str, ...]:
        """What was noticed of anybody without a trouble of its own at the time: load that came from others, or false."""
        return tuple(f"{seen.subject}: {seen.what} at {seen.at_s:.0f} s" for seen in self._seen if not self._explained(seen))

    def _explained(self, seen: _Seen) -> bool:
        d = self._duration_s
        return any(seen.subject == it.run and it.begins * d <= seen.at_s < it.ends * d + _AFTERMATH_S for it in INCIDENTS)


def _described(insight: Change | Alert) -> str:
    if isinstance(insight, Alert):
        return f"alert {insight.kind} {insight.severity}"
    return f"change {insight.metric} {'worse' if insight.worse else 'better'}"
