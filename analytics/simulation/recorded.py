"""A simulated target that answers as a recorded provider did: its latencies in their order, its tails, its refusals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from routecast.analytics.simulation.servers import Call, Done, Server
from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.virtual_target import Condition, VirtualTarget
from routecast.models.events import Outcome


class Answer(NamedTuple):
    """One recorded request, as far as it can be replayed at another length."""

    rate_limited: bool
    ttft_ms: float
    """Time to first token; 0 where it was refused."""
    tpot_ms: float
    """Time per output token after the first."""

    def service_ms(self, output_tokens: float) -> float:
        """How long an answer of this many tokens takes when it meets no queue."""
        return self.ttft_ms + self.tpot_ms * max(0.0, output_tokens - 1.0)


@dataclass(frozen=True)
class Storm:
    """While it lasts, the recorded refusals are answered too; otherwise the successes alone repeat."""

    from_ms: float
    until_ms: float
    retry_after_s: float | None = None
    """What refusals say; None: the time until it is over."""

    def headers(self, now_ms: float) -> dict[str, str]:
        """Headers of a refusal."""
        return {"retry-after": str(math.ceil((self.until_ms - now_ms) / 1000.0) if self.retry_after_s is None else self.retry_after_s)}


class RecordedTarget:
    """`VirtualTarget` whose service times come from recorded answers.

    Args:
        queue: virtual time.
        inner: slots, conditions and patience.
        answers: at least one success, in recorded order.
        tokens_per_work_ms: turns the work a trial asks for into output tokens.
        storm: when the refusals among the answers happen; never where None.
    """

    def __init__(self, queue: EventQueue, inner: VirtualTarget, answers: Sequence[Answer], tokens_per_work_ms: float, storm: Storm | None) -> None:
        self._queue = queue
        self._inner = inner
        self._all = list(answers)
        self._served = [answer for answer in answers if not answer.rate_limited]
        self._tokens_per_work_ms = tokens_per_work_ms
        self.storm = storm
        """When it refuses as recorded."""
        self._next_served = self._next_in_storm = 0
        self.ended_ttft_ms = 0.0
        """Time to first token, without the wait, of the call that ended last; right while its `done` runs."""
        self.ended_headers: Mapping[str, str] = {}
        """Headers of the call that ended last; right while its `done` runs."""
        self.ended_service_ms = 0.0
        """Service time of the call that ended last; right while its `done` runs."""
        self.ended_tokens = 0
        """Output tokens of the call that ended last; right while its `done` runs."""

    @property
    def server(self) -> Server:
        """What does the work."""
        return self._inner.server

    @property
    def available(self) -> bool:
        """Whether a call made now can succeed."""
        return self._inner.available

    @property
    def condition(self) -> Condition:
        """What is the matter with it now, beside what was recorded."""
        return self._inner.condition

    @condition.setter
    def condition(self, condition: Condition) -> None:
        self._inner.condition = condition

    def submit(self, work_ms: float, done: Done) -> Call:
        """Begin a call of as many tokens as the work stands for, answered as the next recorded request was."""
        answer = self._next()
        if answer.rate_limited and self.storm is not None:
            return self._queue.after(0.0, self._refuse, done, self.storm.headers(self._queue.now_ms))
        tokens = work_ms * self._tokens_per_work_ms
        service_ms = answer.service_ms(tokens)
        first = answer.ttft_ms / service_ms if service_ms else 0.0
        return self._inner.submit(service_ms, partial(self._end, service_ms * self.condition.slowdown, first, round(tokens), self._queue.now_ms, done))

    def _refuse(self, done: Done, headers: Mapping[str, str]) -> None:
        self.ended_headers, self.ended_service_ms, self.ended_ttft_ms = headers, 0.0, 0.0
        done("rate_limited")

    def _end(self, service_ms: float, first: float, tokens: int, begun_ms: float, done: Done, outcome: Outcome) -> None:
        """The service took no longer than the call: one that waited for the end of a slow-down was served faster than it began."""
        self.ended_service_ms = min(service_ms, self._queue.now_ms - begun_ms)
        self.ended_ttft_ms, self.ended_tokens = first * self.ended_service_ms, tokens
        self.ended_headers = self._inner.ended_headers
        done(outcome)

    def _next(self) -> Answer:
        if self.storm is not None and self.storm.from_ms <= self._queue.now_ms < self.storm.until_ms:
            self._next_in_storm += 1
            return self._all[(self._next_in_storm - 1) % len(self._all)]
        self._next_served += 1
        return self._served[(self._next_served - 1) % len(self._served)]
