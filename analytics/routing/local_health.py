"""A router's own breaker: what its calls say of each target, from closed over open and probing back, and how it heeds the fleet's word.

Closed: a multi-CUSUM on its own outcomes (`breaker`). Open: 5 s, doubled with each further failure up to the configured longest wait, with full
jitter (uniform between nothing and that). Then probes, one at a time; a sequential probability ratio test (Wald 1945; good 98 %, bad 50 %,
α = β = 1 %) closes after seven clean successes, each failure costs five; the share ramps up from 10 to 100 % in 30 s. A trip
before the ramp is over counts as a further failure.

While the fleet holds the target open, this router sends it nothing. While the fleet probes it, routers share the probes, two a second
all together; one whose own probe fails stays away for its own wait, so that a router without network does not spoil the test of the others.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from enum import Enum
from typing import Literal, NamedTuple

from routecast.analytics.routing.breaker import OwnCusum
from routecast.analytics.routing.overlay import Overlay, Own
from routecast.models.snapshot import State

FIRST_OPEN_MS = 5_000.0
MOST_DOUBLINGS = 10
RAMP_MS = 30_000.0
RAMP_FROM = 0.1
CLOSES_AT = math.log(0.99 / 0.01)
SUCCESS_STEP, FAILURE_STEP = math.log(0.98 / 0.5), math.log(0.02 / 0.5)

_RAMP_STEP_MS = 3_000.0
_POOLED_PROBE_MS = 500.0
"""Between two probes of the whole fleet."""
_AFTER_FAILURE_MS = 1_000.0
_OPEN, _HELD = Own("open", 0.0), Own("recovering", 0.0)

Phase = Enum("Phase", ["CLOSED", "OPEN", "PROBING", "POOLED"])
"""Closed; open; probing alone; waiting for the fleet's verdict."""


class Change(NamedTuple):
    """Something to tell the fleet."""

    target: int
    state: Literal["open", "closed"]
    reason: str


class _Target:
    """One target as this router's breaker sees it."""

    __slots__ = ("closed_ms", "cusum", "due_ms", "evidence", "phase", "published", "since_ms", "step_ms", "times_open", "tripped", "until_ms")

    def __init__(self) -> None:
        self.cusum = OwnCusum()
        self.phase = Phase.CLOSED
        self.published: State = "unknown"
        self.times_open = 0
        self.evidence = 0.0
        self.until_ms = math.inf  # end of the wait
        self.since_ms = math.inf  # calls that started earlier are no probes
        self.due_ms = math.inf  # of the next probe
        self.closed_ms = -math.inf  # begin of the ramp
        self.step_ms = math.inf  # of the ramp, the next
        self.tripped = False  # whether the fleet was told

    @property
    def next_ms(self) -> float:
        return min(self.until_ms, self.due_ms, self.step_ms)


class LocalHealth:
    """Breakers of one router; whoever calls it holds the router's lock. Says what it finds to the overlay.

    Args:
        n: how many targets.
        overlay: where to say it.
        rng: jitter.
        longest_open_ms: longest wait for a probe.
    """

    def __init__(self, n: int, overlay: Overlay, rng: random.Random, longest_open_ms: float) -> None:
        self._overlay = overlay
        self._rng = rng
        self._longest_open_ms = longest_open_ms
        self._targets = [_Target() for _ in range(n)]
        self._busy: dict[int, _Target] = {}
        self._interval_ms = _POOLED_PROBE_MS
        self.next_ms = math.inf
        """When to call `advance`, epoch ms."""
        self._news: list[Change] = []

    def take_news(self) -> list[Change]:
        """What the fleet must be told, once."""
        news, self._news = self._news, []
        return news

    def phase(self, i: int) -> Phase:
        """Where target `i` stands."""
        return self._targets[i].phase

    def usual(self, i: int) -> float:
        """Long-run failure ratio of target `i` as this router knows it."""
        return self._targets[i].cusum.usual

    def ok(self, i: int, started_ms: float, now_ms: float) -> None:
        """A call to target `i` that started then succeeded."""
        target = self._targets[i]
        if target.phase is Phase.CLOSED:
            target.cusum.ok()
        elif started_ms >= target.since_ms:
            self._probed(i, target, SUCCESS_STEP, now_ms)

    def failed(self, i: int, started_ms: float, now_ms: float, reason: str) -> None:
        """A call to target `i` failed, or is open for so long that it counts as failed; 429 and the caller's own faults are no failures."""
        target = self._targets[i]
        if target.phase is Phase.CLOSED:
            if target.cusum.failed():
                self._open(i, target, now_ms, reason)
        elif started_ms >= target.since_ms:
            self._probed(i, target, FAILURE_STEP, now_ms)

    def neither(self, i: int, started_ms: float, now_ms: float) -> None:
        """A call ended in a way that says nothing of the target: where it was a probe, another may go."""
        target = self._targets[i]
        if target.phase is not Phase.CLOSED and started_ms >= target.since_ms:
            self._next_probe(target, now_ms + _AFTER_FAILURE_MS)
            self.advance(now_ms)

    def asked(self, i: int, now_ms: float, patience_ms: float) -> None:
        """A decision probes target `i`; if nothing is heard of it for so long, another may."""
        target = self._targets[i]
        target.due_ms = now_ms + patience_ms
        self.advance(now_ms)

    def heed(self, states: Sequence[State], routers: int, now_ms: float) -> None:
        """Take the states of a new snapshot, made for so many live routers."""
        self._interval_ms = _POOLED_PROBE_MS * max(1, routers)
        for i, state in enumerate(states):
            target = self._targets[i]
            before, target.published = target.published, state
            if state == before:
                continue
            if state == "recovering" and target.phase is not Phase.OPEN:
                self._pool(i, target, now_ms)
            elif state == "open" and target.phase in {Phase.PROBING, Phase.POOLED}:
                target.phase, target.due_ms = Phase.POOLED, math.inf
            elif target.phase is Phase.POOLED and state != "open":
                if before == "recovering":
                    self._close(i, target, -math.inf)
                else:
                    self._probe(i, target, now_ms)
        self.advance(now_ms)

    def advance(self, now_ms: float) -> None:
        """Do what is due by now (epoch ms): end waits, ask for probes, ramp up."""
        for i, target in list(self._busy.items()):
            if target.phase is Phase.OPEN and now_ms >= target.until_ms:
                if target.published in {"open", "recovering"}:
                    self._pool(i, target, now_ms)
                else:
                    self._probe(i, target, now_ms)
            elif target.phase is Phase.CLOSED:
                self._ramp(i, target, now_ms)
        due = [(target.due_ms, i) for i, target in self._busy.items() if target.due_ms <= now_ms]
        self._overlay.ask(min(due)[1] if due else None)
        self.next_ms = min((target.next_ms for target in self._busy.values() if target.next_ms > now_ms), default=math.inf)

    def _open(self, i: int, target: _Target, now_ms: float, reason: str, *, told: bool = True) -> None:
        longest_ms = min(self._longest_open_ms, FIRST_OPEN_MS * 2.0 ** min(target.times_open, MOST_DOUBLINGS))
        target.phase, target.until_ms = Phase.OPEN, now_ms + self._rng.random() * longest_ms
        target.due_ms = target.since_ms = math.inf
        target.times_open += 1
        target.step_ms = math.inf
        self._busy[i] = target
        self._overlay.breaker(i, _OPEN)
        if told or target.tripped:
            target.tripped = True
            self._news.append(Change(i, "open", reason))
        self.advance(now_ms)

    def _probe(self, i: int, target: _Target, now_ms: float) -> None:
        target.phase, target.evidence, target.until_ms = Phase.PROBING, 0.0, math.inf
        target.since_ms = target.due_ms = now_ms
        self._overlay.breaker(i, _HELD)

    def _pool(self, i: int, target: _Target, now_ms: float) -> None:
        """Leave the verdict to the fleet; probes only while it probes."""
        target.phase, target.since_ms, target.until_ms, target.step_ms = Phase.POOLED, now_ms, math.inf, math.inf
        target.due_ms = now_ms + self._rng.random() * self._interval_ms if target.published == "recovering" else math.inf
        self._busy[i] = target
        self._overlay.breaker(i, _HELD)

    def _probed(self, i: int, target: _Target, step: float, now_ms: float) -> None:
        if target.phase is Phase.OPEN:
            return
        if target.phase is Phase.PROBING:
            target.evidence += step
        elif step < 0:
            self._open(i, target, now_ms, "probe failed", told=False)  # the fleet judges by all probes
            return
        if target.evidence <= -CLOSES_AT:
            self._open(i, target, now_ms, "probes failed")
        elif target.evidence >= CLOSES_AT:
            self._close(i, target, now_ms)
        else:
            self._next_probe(target, now_ms + (_AFTER_FAILURE_MS if step < 0 else 0.0))
        self.advance(now_ms)

    def _next_probe(self, target: _Target, earliest_ms: float) -> None:
        if target.phase is Phase.PROBING:
            target.due_ms = earliest_ms
        elif target.phase is Phase.POOLED and target.published == "recovering":
            target.due_ms = earliest_ms + (0.5 + self._rng.random()) * self._interval_ms

    def _close(self, i: int, target: _Target, ramp_from_ms: float) -> None:
        """Closed: from then on its share ramps up; −inf where the fleet ramps it up."""
        target.phase, target.evidence = Phase.CLOSED, 0.0
        target.due_ms = target.since_ms = target.until_ms = math.inf
        target.cusum.forget()
        target.closed_ms = target.step_ms = ramp_from_ms
        if target.tripped:
            target.tripped = False
            self._news.append(Change(i, "closed", "recovered"))
        self._ramp(i, target, ramp_from_ms)

    def _ramp(self, i: int, target: _Target, now_ms: float) -> None:
        if now_ms < target.step_ms:
            return
        ramp = RAMP_FROM + (1.0 - RAMP_FROM) * (now_ms - target.closed_ms) / RAMP_MS if math.isfinite(now_ms) else 1.0
        if ramp < 1.0:
            target.step_ms = now_ms + _RAMP_STEP_MS
            self._overlay.breaker(i, Own(None, ramp))
        else:
            target.times_open, target.step_ms = 0, math.inf
            del self._busy[i]
            self._overlay.breaker(i, None)
