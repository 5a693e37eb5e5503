"""Real routers as the policy of a trial: they choose and report, the simulation answers, and the true counts are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from routecast.analytics.simulation.recorded import RecordedTarget
from routecast.analytics.simulation.trial import Simulation
from routecast.models.decision import Decision
from routecast.models.events import Outcome
from routecast.models.report import Explained
from routecast.models.requirements import Requirements
from routecast.streams.calls.call import Call
from routecast.streams.router import Router


class Moment(NamedTuple):
    """When a decision is to be explained."""

    when: str
    at_s: float
    """Virtual seconds since the start."""
    requirements: Requirements | None = None


class _Handle(NamedTuple):
    call: Call
    target: int


class RouterPolicy:
    """Routers that are asked for every attempt of a trial, and told how it ended.

    Args:
        simulation: whose targets answer.
        names: of the targets, in the order of the simulation.
        router: the router of a number.
        moments: when a decision of router 0 is explained.
        speed: how much faster the simulation's clock goes than that of the routers.
    """

    def __init__(
        self, simulation: Simulation, names: Sequence[str], router: Callable[[int], Router], moments: Sequence[Moment] = (), speed: float = 1.0
    ) -> None:
        self._targets = simulation.targets
        self._names = names
        self._number = {name: i for i, name in enumerate(names)}
        self._router = router
        self._speed = speed
        self._decision: Decision | None = None
        self._tried: Collection[int] = ()
        self._failed = ""
        """Request whose attempt ended last: a trial goes on with it at once."""
        self._open: set[_Handle] = set()
        self.truth: Counter[tuple[str, str]] = Counter()
        """Attempts by target and outcome."""
        self.explained: list[Explained] = []
        for moment in moments:
            simulation.queue.after(moment.at_s * 1000.0, self._explain, moment)

    def choose(self, router: int, tried: Collection[int]) -> int:
        """The router's decision."""
        self._decision = self._router(router).choose(tried=[self._names[i] for i in tried])
        self._tried = tried
        return self._number[self._decision.target]

    def started(self, router: int, target: int) -> _Handle:
        """Report the start of what was just chosen."""
        if self._decision is None:
            raise RuntimeError("a trial starts what it has chosen")
        self.truth[self._names[target], "started"] += 1
        request = self._failed if self._tried else ""
        handle = _Handle(self._router(router).start(self._decision, request_id=request, attempt=len(self._tried) + 1, stream=True), target)
        self._open.add(handle)
        return handle

    def finished(self, handle: _Handle, duration_ms: float, outcome: Outcome) -> None:
        """Report the end, with the time to first token as the caller would have seen it, and the tokens."""
        self._open.discard(handle)
        self.truth[self._names[handle.target], outcome] += 1
        target = self._targets[handle.target]
        if outcome == "ok" and isinstance(target, RecordedTarget):
            handle.call.first_chunk(after_ms=(duration_ms - target.ended_service_ms + target.ended_ttft_ms) / self._speed)
            handle.call.tokens(output=target.ended_tokens)
        headers = target.ended_headers if self._speed == 1.0 and outcome in {"ok", "rate_limited"} else {}
        if headers:
            handle.call.headers(headers, status=429 if outcome == "rate_limited" else 200)
        handle.call.finish(outcome)
        self._failed = handle.call.request_id

    def give_up(self) -> None:
        """Report calls that are still open as cancelled: nobody waits for them any more."""
        for handle in list(self._open):
            self.finished(handle, 0.0, "cancelled")

    def _explain(self, moment: Moment) -> None:
        decision = self._router(0).choose(moment.requirements)
        self.explained.append(Explained(at_s=moment.at_s, when=moment.when, decision=decision.explain()))
