"""A target of a scene in virtual time: it serves by its law and fails, refuses and slows down when it was recorded to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

from routecast.analytics.backtest.scene import SceneTarget
from routecast.analytics.backtest.spells import OUTAGE, Spell
from routecast.analytics.simulation.contended import Contended
from routecast.analytics.simulation.servers import Call, Done, Queueing, Server
from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.virtual_target import RequestLimit
from routecast.models.events import Outcome

_NO_HEADERS: Mapping[str, str] = {}


class SimulatedTarget:
    """What the requests of a scene call.

    Args:
        queue: virtual time; it stands at the arrival of the first request.
        target: of the scene.
    """

    def __init__(self, queue: EventQueue, target: SceneTarget) -> None:
        self._queue, self._target = queue, target
        law = target.law
        self.server: Server = Contended(queue, law.slots, law.slowness) if law.slope > 0 else Queueing(queue, law.slots)
        if law.slope > 0:
            self.server.slots = law.most
        self._limit = RequestLimit(queue, target.requests_per_s) if target.requests_per_s else None
        self._fail_ratio, self._refuse_ratio = target.fail_ratio, 0.0
        self.ended_headers: Mapping[str, str] = _NO_HEADERS
        """Headers of the call that ended last; right while its `done` runs."""
        self._alone_ms: list[float] = target.alone_ms.tolist()
        self._luck: list[float] = target.luck.tolist()
        self._fail_ms: list[float] = target.fail_ms.tolist() if target.fail_ms is not None else [0.0]
        start_ms = queue.now_ms
        for spell in target.spells:
            if spell.until_ms > 0:
                queue.at(start_ms + max(0.0, spell.from_ms), self._begin, spell)
                if spell.until_ms < math.inf:
                    queue.at(start_ms + spell.until_ms, self._end, spell)

    def _begin(self, spell: Spell) -> None:
        if spell.kind == "slow":
            self.server.slowdown = spell.level
        elif spell.kind == "failing":
            self._fail_ratio = spell.level
        else:
            self._refuse_ratio = spell.level

    def _end(self, spell: Spell) -> None:
        if spell.kind == "slow":
            self.server.slowdown = 1.0
        elif spell.kind == "failing":
            self._fail_ratio = self._target.fail_ratio
        else:
            self._refuse_ratio = 0.0

    @property
    def available(self) -> bool:
        """Whether a call made now is likely to succeed: its failures and refusals are few and its limit has room."""
        return max(self._fail_ratio, self._refuse_ratio) < OUTAGE and (self._limit is None or self._limit.remaining > 0)

    def submit(self, request: int, done: Done) -> Call:
        """Begin a call for the request of this number; `done` gets its outcome, once, from the queue."""
        headers, luck = _NO_HEADERS, self._luck[request]
        if self._limit is not None:
            let_in = self._limit.take()
            headers = self._limit.headers()
            if not let_in:
                return self._queue.after(0.0, self._tell, done, headers, "rate_limited")
        if luck < self._refuse_ratio:
            return self._queue.after(0.0, self._tell, done, {"retry-after-ms": f"{self._target.retry_after_ms:.0f}"}, "rate_limited")
        if luck < self._fail_ratio:
            return self._fail(request, luck / self._fail_ratio, done, headers)
        return self.server.submit(self._alone_ms[request], partial(self._tell, done, headers))

    def _fail(self, request: int, luck: float, done: Done, headers: Mapping[str, str]) -> Call:
        outcome: Outcome = "timeout" if luck < self._target.timeouts else "error"
        fail_ms = self._fail_ms[request % len(self._fail_ms)]
        return self._queue.after(fail_ms, self._tell, done, headers, outcome)

    def _tell(self, done: Done, headers: Mapping[str, str], outcome: Outcome) -> None:
        self.ended_headers = headers
        done(outcome)
