"""`Router.call`: choose, call, fail over, wait in the queue, until there is an answer or nothing more to try.

Delivery: `send` runs once per attempt; a request whose first attempt failed or timed out may have been carried out by that target all the
same, so what `send` does must bear repetition. Every attempt is started and ended in the log exactly once, whatever happens: success,
failure, time-out, cancellation. Lost in a crash: the requests under way; their open attempts are booked `lost` by the fold.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from routecast.analytics.routing.retry_budget import RetryBudget
from routecast.models.attempts import Answer
from routecast.models.config import Routing
from routecast.models.decision import Decision
from routecast.models.errors import QueueFull
from routecast.models.requirements import Requirements
from routecast.streams.calls.attempts import Ended, Options, Request
from routecast.streams.calls.call import Call
from routecast.streams.calls.hedging import attempt_hedged, attempt_once
from routecast.streams.calls.waiting import WaitingQueue

if TYPE_CHECKING:
    from routecast.streams.router import Router

Value = TypeVar("Value")
Send = Callable[[Decision, Call], Awaitable[Value]]
SendSync = Callable[[Decision, Call], Value]


class Caller:
    """Carries out requests for one router: its retry budget, its hedge budget and its waiting queue. Safe to use from several threads."""

    def __init__(self, router: Router, routing: Routing) -> None:
        self.router = router
        self.routing = routing
        self.queue = WaitingQueue(router, routing.overflow)
        self._numbers = count()
        self._lock = threading.Lock()
        now_s = router.clock.monotonic_s()
        self._retries = RetryBudget(routing.call.retry_ratio, routing.call.retry_reserve, now_s)
        self._hedges = RetryBudget(routing.hedging.token_ratio, 0.0, now_s)

    async def call(self, send: Send[Value], requirements: Requirements | None, options: Options) -> Answer[Value]:
        """Carry out a request with a coroutine function. Raises CallFailed, QueueFull, NoTarget."""
        request = self._request(requirements, options)
        answer: Answer[Value] | None = None
        while answer is None:
            try:
                call = await self.queue.begin(request)
            except QueueFull as error:
                raise request.refused(error) from request.cause
            attempt = attempt_hedged if request.hedged and request.requirements.urgency == "high" else attempt_once
            answer = request.settle(*await attempt(request, send, call))
        return answer

    def call_sync(self, send: SendSync[Value], requirements: Requirements | None, options: Options) -> Answer[Value]:
        """Carry out a request with a plain function, in this thread: nothing can interrupt `send`, so it must keep to `call.timeout_ms`."""
        request = self._request(requirements, options)
        answer: Answer[Value] | None = None
        while answer is None:
            try:
                call = self.queue.begin_sync(request)
            except QueueFull as error:
                raise request.refused(error) from request.cause
            answer = request.settle(call, _attempt_sync(send, call))
        return answer

    def _request(self, requirements: Requirements | None, options: Options) -> Request:
        request = Request(self, requirements, options, next(self._numbers))
        with self._lock:
            now_s = self.router.clock.monotonic_s()
            self._retries.deposit(now_s)
            self._hedges.deposit(now_s, request.tokens)
        return request

    def may_retry(self) -> bool:
        """Whether the budget has another attempt at the moment."""
        with self._lock:
            return self._retries.available >= 1.0

    def pay_retry(self) -> bool:
        """Take another attempt out of the budget."""
        with self._lock:
            return self._retries.withdraw(self.router.clock.monotonic_s())

    def pay_hedge(self, tokens: float) -> bool:
        """Take a hedge of so many tokens out of its own budget."""
        with self._lock:
            return self._hedges.withdraw(self.router.clock.monotonic_s(), tokens)


def _attempt_sync(send: SendSync[Value], call: Call) -> Ended[Value]:
    try:
        answer = send(call.decision, call)
        if isinstance(answer, Coroutine):
            answer.close()
            return Ended(None, TypeError("`send` is a coroutine function, and nothing awaits it here: use `await router.call(send)`"))
        return Ended(answer, None)
    except Exception as error:  # noqa: BLE001 - what `send` may raise is the application's business; it is classified and kept
        return Ended(None, error)
    except BaseException:
        call.finish("cancelled")
        raise
