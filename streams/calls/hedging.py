"""One attempt of a request, and the hedged one: a second target is asked when the first chunk of the first is late.

Hedging spends tokens to cut the tail (Dean and Barroso, The Tail at Scale, 2013), so it is held to urgent requests, to 5 % of the tokens,
and to times without an open breaker: then slowness is not chance, and load has enough to do. The first chunk decides; the other attempt is
cancelled and reported so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from routecast.analytics.routing.patience import hedge_after_ms
from routecast.models.decision import Decision
from routecast.streams.calls.attempts import Ended, Request
from routecast.streams.calls.call import Call

Value = TypeVar("Value")


async def attempt_once(_: Request, send: Callable[[Decision, Call], Awaitable[Value]], call: Call) -> tuple[Call, Ended[Value]]:
    """Run `send` for at most `call.timeout_ms`; what it returned or raised."""
    return call, await _run(send, call)


async def _run(send: Callable[[Decision, Call], Awaitable[Value]], call: Call) -> Ended[Value]:
    try:
        async with asyncio.timeout((call.timeout_ms or 0.0) / 1000.0):
            answer = send(call.decision, call)
            if not isinstance(answer, Awaitable):
                return Ended(None, TypeError(f"`send` returned {type(answer).__name__}, nothing to await: make it an `async def`, or use `call_sync`"))
            return Ended(await answer, None)
    except Exception as error:  # noqa: BLE001 - what `send` may raise is the application's business; it is classified and kept
        return Ended(None, error)
    except BaseException:
        call.finish("cancelled")
        raise


async def attempt_hedged(request: Request, send: Callable[[Decision, Call], Awaitable[Value]], call: Call) -> tuple[Call, Ended[Value]]:
    """The same with a hedge where it is due: the attempt that decided; the other one is reported already."""
    race = _Race(request, send)
    try:
        race.enter(call)
        if await race.is_late(hedge_after_ms(call.decision.entry)):
            hedge = request.hedge_beside(call)
            if hedge is not None:
                race.enter(hedge)
        return await race.decided()
    finally:
        await race.clear()


class _Race(Generic[Value]):
    """Attempts of one request that run at the same time."""

    def __init__(self, request: Request, send: Callable[[Decision, Call], Awaitable[Value]]) -> None:
        self._request = request
        self._send = send
        self._moved = asyncio.Event()
        self._tasks: dict[Call, asyncio.Task[Ended[Value]]] = {}

    def enter(self, call: Call) -> None:
        """Begin an attempt."""
        call.on_first_chunk = self._moved.set
        task = self._tasks[call] = asyncio.create_task(_run(self._send, call))
        task.add_done_callback(lambda _: self._moved.set())

    async def is_late(self, after_ms: float | None) -> bool:
        """Wait for the first chunk or the end; whether neither came in time. Never late without a time."""
        if after_ms is None:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(after_ms / 1000.0):
                await self._moved.wait()
        return not self._moved.is_set()

    async def decided(self) -> tuple[Call, Ended[Value]]:
        """Wait for a first chunk or an answer; the last attempt decides however it ends."""
        while (winner := self._winner()) is None:
            self._moved.clear()
            await self._moved.wait()
        for call, task in self._tasks.items():
            if call is not winner:
                self._request.lose(call)
                task.cancel()
        ended = await self._tasks[winner]
        del self._tasks[winner]
        return winner, ended

    def _winner(self) -> Call | None:
        for call, task in list(self._tasks.items()):
            if task.done() and len(self._tasks) > 1 and not self._request.succeeds(task.result()):
                self._request.note(call, task.result())
                del self._tasks[call]
        return next((call for call, task in self._tasks.items() if task.done() or call.answering), None)

    async def clear(self) -> None:
        """Leave nothing behind: neither a task nor an open call."""
        for call, task in self._tasks.items():
            call.finish("cancelled")
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
