"""Whole routers and the whole pipeline as the policy of a backtest: `testing.Fleet` on the clock of the scene."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from heapq import heappush, heappushpop
from typing import NamedTuple

from routecast.analytics.backtest.play import Stage
from routecast.analytics.backtest.request_log import Asked
from routecast.analytics.backtest.scene import Scene
from routecast.analytics.backtest.simulated import SimulatedTarget
from routecast.analytics.simulation.trial import FAILURE_COST_S
from routecast.models.backtest import StateSpan, Worst
from routecast.models.config import Config
from routecast.models.decision import Decision
from routecast.models.events import Outcome
from routecast.models.insights import Alert
from routecast.models.requirements import Requirements
from routecast.streams.calls.call import Call
from routecast.testing import Fleet

LOOK_MS = 1_000.0
"""How often states are looked at, virtual time."""
WORST = 20
"""Decisions that are explained."""
_USUAL = frozenset({"ok", "unknown"})
_TOO_MANY_REQUESTS = 429


class Candidate(NamedTuple):
    """A policy under test."""

    name: str
    config: Config
    """With the targets of the service alone."""
    policy: str | None
    """Overrides the configured one; None: as configured."""


class _Handle(NamedTuple):
    request: int
    call: Call


class FleetPolicy:
    """Asks a router for every attempt and reports to it what became of it, as an application would.

    Args:
        stage: clock, scene and targets.
        candidate: what is tested.
        explain: whether the worst decisions are kept and explained.
    """

    def __init__(self, stage: Stage, candidate: Candidate, *, explain: bool = False) -> None:
        self._scene, self._queue = stage.scene, stage.queue
        self._names = stage.scene.names
        self._number = {name: i for i, name in enumerate(self._names)}
        self.fleet = Fleet(
            candidate.config, routers=stage.scene.requests.routers, seed=stage.scene.seed, service=stage.scene.service, policy=candidate.policy,
            queue=stage.queue,
        )  # fmt: skip
        self.states = StateLog(stage.scene)
        self.worst = WorstDecisions(stage.scene) if explain else None
        self._requests = _Columns(stage.scene)
        self._requirements: dict[Asked, Requirements | None] = {Asked(): None}
        self._decision: tuple[Decision, int] | None = None
        self._queue.after(LOOK_MS, self._look)

    def choose(self, request: int, tried: Collection[int]) -> int:
        """The decision of the request's router."""
        asked = self._scene.requests.asked.get(request, Asked())
        if asked not in self._requirements:
            self._requirements[asked] = Requirements(urgency=asked.urgency, caller_region=asked.caller_region or None)
        router = self.fleet.router(self._requests.router[request])
        decision = router.choose(self._requirements[asked], tried=[self._names[i] for i in tried])
        self._decision = decision, len(tried) + 1
        if self.worst is not None and not tried:
            self.worst.decided(request, decision)
        return self._number[decision.target]

    def started(self, request: int, target: int) -> _Handle:
        """Report the start of what was just chosen."""
        if self._decision is None:
            raise RuntimeError("an attempt begins with what was chosen for it")
        decision, attempt = self._decision
        asked, columns = self._scene.requests.asked.get(request, Asked()), self._requests
        call = self.fleet.router(columns.router[request]).start(
            decision, attempt=attempt, deadline_ms=None if asked.deadline_ms == math.inf else asked.deadline_ms, stream=True,
            input_tokens=columns.input_tokens[request] or None, urgency=asked.urgency,
        )  # fmt: skip
        del target
        return _Handle(request, call)

    def probes(self, handle: _Handle) -> bool:
        """Whether a breaker only wanted to know."""
        return handle.call.decision.forced == "probe"

    def finished(self, handle: _Handle, duration_ms: float, outcome: Outcome, target: SimulatedTarget) -> None:
        """Report the end, with headers, first chunk, tokens, cost and quality as far as the recording had them."""
        request, call = handle
        if target.ended_headers:
            call.headers(target.ended_headers, status=_TOO_MANY_REQUESTS if outcome == "rate_limited" else 200)
        if outcome == "ok":
            spec = self._scene.targets[self._number[call.decision.target]]
            share = float(spec.ttft_share[request])
            if share < 1.0:
                rest_ms = duration_ms if spec.law.slope > 0 else min(duration_ms, float(spec.alone_ms[request]) * target.server.slowdown)
                call.first_chunk(after_ms=duration_ms - (1.0 - share) * rest_ms)
            call.tokens(input=self._requests.input_tokens[request], output=self._requests.output_tokens[request])
            if not math.isnan(usd := float(spec.usd[request])):
                call.cost(usd)
            if spec.quality is not None:
                call.quality(spec.quality)
        call.finish(outcome)

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Every alert of the run, as it was last said."""
        return tuple(it for it in self.fleet.insights() if isinstance(it, Alert))

    def _look(self) -> None:
        self._queue.after(LOOK_MS, self._look)
        self.states.look(self.fleet)


class _Columns:
    """What is asked of every request, as plain numbers."""

    def __init__(self, scene: Scene) -> None:
        requests = scene.requests
        self.router: list[int] = requests.router.tolist()
        self.input_tokens: list[int] = requests.input_tokens.astype(int).tolist()
        self.output_tokens: list[int] = requests.output_tokens.astype(int).tolist()


class StateLog:
    """Unusual states of targets, as snapshots showed them."""

    def __init__(self, scene: Scene) -> None:
        self._start_ms, self._end_ms = scene.requests.start_ms, scene.requests.end_ms
        self._now: dict[str, tuple[str, float]] = {}
        self._spans: list[StateSpan] = []

    def look(self, fleet: Fleet) -> None:
        """Note what has changed."""
        snapshot = fleet.snapshot()
        at_s = (min(fleet.now_ms, self._end_ms) - self._start_ms) / 1000.0
        for target in snapshot.targets if snapshot is not None else ():
            state, since_s = self._now.get(target.id, ("", at_s))
            if state != target.state:
                self._note(target.id, state, since_s, at_s)
                self._now[target.id] = target.state, at_s

    def _note(self, target: str, state: str, from_s: float, until_s: float) -> None:
        if state and state not in _USUAL and until_s > from_s:
            self._spans.append(StateSpan(target=target, state=state, from_s=from_s, until_s=until_s))

    def spans(self) -> tuple[StateSpan, ...]:
        """All of them, those that last to the end included."""
        end_s = (self._end_ms - self._start_ms) / 1000.0
        for target, (state, since_s) in self._now.items():
            self._note(target, state, since_s, end_s)
        self._now.clear()
        return tuple(self._spans)


class WorstDecisions:
    """The first decisions of the requests that lost most beside the quickest target without load."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._best_ms: list[float] = [min(times) for times in zip(*(target.alone_ms.tolist() for target in scene.targets), strict=True)]
        self._open: dict[int, Decision] = {}
        self._kept: list[tuple[float, int, Worst]] = []

    def decided(self, request: int, decision: Decision) -> None:
        """Keep the decision until its request is over."""
        self._open[request] = decision

    def over(self, request: int, time_ms: float, failed: bool) -> None:  # noqa: FBT001 - an observer of `play`
        """Explain the decision if its request is among the worst so far."""
        decision = self._open.pop(request)
        lost_ms = time_ms + 1000.0 * FAILURE_COST_S * failed - self._best_ms[request]
        if request < self._scene.first or (len(self._kept) >= WORST and lost_ms <= self._kept[0][0]):
            return
        entry = (lost_ms, request, self._explained(request, decision, time_ms, failed=failed))
        if len(self._kept) < WORST:
            heappush(self._kept, entry)
        else:
            heappushpop(self._kept, entry)

    def _explained(self, request: int, decision: Decision, time_ms: float, *, failed: bool) -> Worst:
        at_s = float(self._scene.requests.at_ms[request]) / 1000.0
        return Worst(at_s=at_s, request=request, took_ms=time_ms, best_alone_ms=self._best_ms[request], failed=failed, decision=decision.explain())

    def worst(self) -> Iterator[Worst]:
        """The worst first."""
        for _, _, kept in sorted(self._kept, key=lambda entry: (-entry[0], entry[1])):
            yield kept
