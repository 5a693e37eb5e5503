"""A simulated target: a server behind a rate limit, a condition that may be bad, and the patience of its callers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from random import Random

from routecast.analytics.simulation.servers import Call, Done, Server
from routecast.analytics.simulation.simulator import EventQueue
from routecast.models.events import Outcome


@dataclass(frozen=True, slots=True)
class Condition:
    """What is the matter with a target. It meets calls that begin under it; those under way end as they would have."""

    slowdown: float = 1.0
    """By how much service takes longer, > 0."""
    fail_ratio: float = 0.0
    """0..1: calls that fail at once; 1 = all."""
    hangs: bool = False
    """Calls are taken and never answered."""

    @property
    def down(self) -> bool:
        """Whether no call succeeds."""
        return self.hangs or self.fail_ratio >= 1.0


WELL = Condition()


class RequestLimit:
    """A limit of requests per second as providers keep it: a token bucket, full at the start, refilled evenly."""

    __slots__ = ("_at_ms", "_level", "_queue", "burst", "per_s")

    def __init__(self, queue: EventQueue, per_s: float, burst_s: float = 10.0) -> None:
        """Let `per_s` requests pass a second, and those of `burst_s` at once."""
        self.per_s = per_s
        self.burst = max(1.0, per_s * burst_s)
        self._queue = queue
        self._level = self.burst
        self._at_ms = queue.now_ms

    def take(self) -> bool:
        """Count one request; False when none was left."""
        left = self._refill()
        if left < 1.0:
            return False
        self._level = left - 1.0
        return True

    @property
    def remaining(self) -> int:
        """Requests that would be taken now."""
        return int(self._refill())

    @property
    def reset_ms(self) -> float:
        """Time until the bucket is full again."""
        return (self.burst - self._refill()) / self.per_s * 1000.0

    @property
    def retry_after_ms(self) -> float:
        """Time until the next request is taken; 0 = now."""
        return max(0.0, 1.0 - self._refill()) / self.per_s * 1000.0

    def headers(self) -> dict[str, str]:
        """What the answer to a request says that was just let in or refused, as OpenAI's do; a refusal also says when to come back."""
        said = {
            "x-ratelimit-limit-requests": f"{self.burst:.0f}",
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": f"{self.reset_ms:.0f}ms",
        }
        return said if self.remaining else said | {"retry-after-ms": f"{self.retry_after_ms:.0f}"}

    def _refill(self) -> float:
        now_ms = self._queue.now_ms
        self._level = min(self.burst, self._level + (now_ms - self._at_ms) * self.per_s / 1000.0)
        self._at_ms = now_ms
        return self._level


class VirtualTarget:
    """What a simulated caller calls.

    A refusal (`rate_limited`) and a failure (`error`) answer at once. A call open for `deadline_ms` ends as `timeout`, which frees
    what it held; without a deadline a call that hangs is open for ever.
    """

    def __init__(
        self,
        queue: EventQueue,
        server: Server,
        random: Random,
        *,
        limit: RequestLimit | None = None,
        deadline_ms: float = math.inf,
    ) -> None:
        self.server = server
        self.limit = limit
        self._queue = queue
        self._random = random
        self._deadline_ms = deadline_ms
        self._condition = WELL
        self._hanging: set[_Hanging] = set()
        self.ended_headers: Mapping[str, str] = {}
        """Headers of the call that ended last, as they were when it was let in; right while its `done` runs."""

    @property
    def in_flight(self) -> int:
        """Calls that were submitted and have neither ended nor been given up."""
        return self.server.in_flight + len(self._hanging)

    @property
    def condition(self) -> Condition:
        """What is the matter with it now."""
        return self._condition

    @condition.setter
    def condition(self, condition: Condition) -> None:
        self._condition = condition
        self.server.slowdown = condition.slowdown

    @property
    def available(self) -> bool:
        """Whether a call made now can succeed: it is not down and its limit has room."""
        return not self._condition.down and (self.limit is None or self.limit.remaining > 0)

    def submit(self, work_ms: float, done: Done) -> Call:
        """Begin a call that takes `work_ms` of a free target at full speed; `done` gets its outcome, once, from the queue."""
        if self._deadline_ms == math.inf:
            return self._answer(work_ms, done)
        guarded = _Guarded(done)
        guarded.call = self._answer(work_ms, guarded.end)
        guarded.timer = self._queue.after(self._deadline_ms, guarded.expire)
        return guarded

    def _answer(self, work_ms: float, done: Done) -> Call:
        condition = self._condition
        if self.limit is not None:
            let_in = self.limit.take()
            done = partial(self._tell, done, self.limit.headers())
            if not let_in:
                return self._queue.after(0.0, done, "rate_limited")
        if condition.hangs:
            return _Hanging(self._hanging)
        if condition.fail_ratio and self._random.random() < condition.fail_ratio:
            return self._queue.after(0.0, done, "error")
        return self.server.submit(work_ms, done)

    def _tell(self, done: Done, headers: Mapping[str, str], outcome: Outcome) -> None:
        self.ended_headers = headers
        done(outcome)


class _Hanging:
    """A call that will not be answered."""

    __slots__ = ("_among",)

    def __init__(self, among: set[_Hanging]) -> None:
        self._among = among
        among.add(self)

    def cancel(self) -> None:
        self._among.discard(self)


class _Guarded:
    """A call with a deadline."""

    __slots__ = ("call", "done", "timer")

    call: Call
    timer: Call

    def __init__(self, done: Done) -> None:
        self.done = done

    def end(self, outcome: Outcome) -> None:
        self.timer.cancel()
        self.done(outcome)

    def expire(self) -> None:
        self.call.cancel()
        self.done("timeout")

    def cancel(self) -> None:
        self.timer.cancel()
        self.call.cancel()
