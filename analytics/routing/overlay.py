"""What one router itself knows of its targets right now, laid over the newest snapshot.

A snapshot is up to a period old and speaks for the fleet. A breaker that trips here, a refusal with a time to come back, an empty bucket
must hold from the very next decision on. Such changes are rare: each replaces a few entries of the view, once, and costs a decision nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from routecast.analytics.routing.candidates import View
from routecast.models.snapshot import State, TargetScore

Value = TypeVar("Value")

LONGEST_LIMITED_MS = 300_000.0
"""However long a provider says to stay away."""


class Own(NamedTuple):
    """What the router's own breaker says of a target."""

    state: State | None
    """None: as published."""
    ramp: float
    """0..1: how much of its planned share it may take; 0: none for now."""


class Overlay:
    """The router's own word on its targets, by their number. Whoever changes it holds the router's lock; the router then lays it anew.

    Memory: nothing for a target of which there is nothing to say.
    """

    def __init__(self) -> None:
        self.dirty = False
        """Whether something changed since the view was laid."""
        self.next_ms = math.inf
        """When something lapses, epoch ms."""
        self.probe: int | None = None
        """The target that the next decision must try."""
        self._states: dict[int, Own] = {}
        self._limited_until_ms: dict[int, float] = {}
        self._headroom: dict[int, float] = {}

    def breaker(self, i: int, own: Own | None) -> None:
        """What the own breaker says of target `i`; None: nothing, the snapshot counts."""
        _put(self._states, i, own)
        self.dirty = True

    def own(self, i: int) -> Own | None:
        """What the own breaker says of target `i`."""
        return self._states.get(i)

    def ask(self, probe: int | None) -> None:
        """Which target the next decision must try."""
        self.dirty = self.dirty or probe != self.probe
        self.probe = probe

    def limited(self, i: int, until_ms: float, now_ms: float) -> None:
        """Target `i` refuses until this time (epoch ms), capped at 300 s from now; a time that has passed takes it back."""
        until_ms = min(until_ms, now_ms + LONGEST_LIMITED_MS)
        before = i in self._limited_until_ms
        _put(self._limited_until_ms, i, until_ms if until_ms > now_ms else None)
        self.next_ms = min(self._limited_until_ms.values(), default=math.inf)
        self.dirty = self.dirty or before != (until_ms > now_ms)

    def lapses_in_ms(self, now_ms: float) -> float:
        """Time until the first target refuses no more; 0 where none is known to."""
        return max(0.0, self.next_ms - now_ms) if self._limited_until_ms else 0.0

    def headroom(self, i: int, ratio: float | None) -> None:
        """The free part of the rate limits of target `i`, 0..1, as this router sees it; the less of this and the published one counts.

        None: nothing to say. Each call lays the view anew: tell steps, not every request.
        """
        if self._headroom.get(i) != ratio:
            _put(self._headroom, i, ratio)
            self.dirty = True

    def expire(self, now_ms: float) -> None:
        """Let go of what has lapsed by now."""
        if now_ms >= self.next_ms:
            for i in [i for i, until_ms in self._limited_until_ms.items() if until_ms <= now_ms]:
                self.limited(i, now_ms, now_ms)

    def laid_over(self, view: View) -> View:
        """The view with this router's own word."""
        self.dirty = False
        touched = {*self._states, *self._limited_until_ms, *self._headroom}
        if not touched and self.probe is None:
            return view
        entries = list(view.entries)
        for i in touched:
            entries[i] = self._entry(i, entries[i])
        return view._replace(entries=entries, probe=self.probe)

    def _entry(self, i: int, entry: TargetScore) -> TargetScore:
        own = self._states.get(i)
        state, ramp = entry.state, entry.ramp
        if state not in {"drained", "open"}:
            if own is not None:
                state, ramp = own.state or state, min(ramp, own.ramp)
            if i in self._limited_until_ms and state != "open":
                state = "rate_limited"
        return replace(entry, state=state, ramp=ramp, headroom=min(entry.headroom, self._headroom.get(i, 1.0)))


def _put(where: dict[int, Value], i: int, value: Value | None) -> None:
    if value is None:
        where.pop(i, None)
    else:
        where[i] = value
