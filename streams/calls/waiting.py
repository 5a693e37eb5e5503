"""The waiting queue of a router: requests for which every usable target of the service is full stand in line until one has room.

Whoever leaves a target, a snapshot, and the driver's timer (ten times a second) let the first one in that finds room; it lets the next one
in as soon as its own call has begun. Nothing polls. Coroutines of any event loop and threads may wait side by side.
Lost in a crash: the line. A forked child begins with an empty one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from routecast.analytics.routing.admission import Level, has_room, is_calm, limit_of, luck_of
from routecast.analytics.routing.candidates import Candidates
from routecast.analytics.routing.patience import limited, serves
from routecast.analytics.routing.waiting import Drain, Waiting, WaitingLine
from routecast.models.config import Overflow
from routecast.models.errors import NoTarget, QueueFull

if TYPE_CHECKING:
    from routecast.streams.calls.attempts import Request
    from routecast.streams.calls.call import Call
    from routecast.streams.router import Router

_CLASSES = 512
"""Classes of requests whose usable targets are kept."""


class Ticket:
    """A place in the line and how to wake who holds it."""

    __slots__ = ("error", "request", "waiting", "wake")

    def __init__(self, request: Request, wake: Callable[[], object]) -> None:
        self.request = request
        self.waiting = request.waiting
        self.wake = wake
        self.error: QueueFull | None = None
        """Why it has to go; None where its turn has come."""


class WaitingQueue:
    """The line of one router. Memory: bounded by `overflow.queue`."""

    def __init__(self, router: Router, overflow: Overflow) -> None:
        self._router = router
        self._overflow = overflow
        self._lock = threading.Lock()
        self._line = WaitingLine(overflow.queue)
        self._tickets: dict[Waiting, Ticket] = {}
        self._drain = Drain(router.clock.monotonic_s())
        self._usable: dict[Candidates, _Usable] = {}
        self._phase = crc32(router.emitter.name.encode()) / 2**32
        self._snapshots = 0
        self._luck = luck_of(self._phase, 0)

    def __len__(self) -> int:
        return len(self._line)

    def ended(self) -> None:
        """A call of this router ended: its place is free."""
        self._drain.pending += 1
        if self._tickets:
            self.advance()

    def take_snapshot(self) -> None:
        """A new snapshot: what is free is shared out anew."""
        self._snapshots += 1
        self._usable.clear()
        self._luck = luck_of(self._phase, self._snapshots)
        self.advance()

    def advance(self, *, calm: bool = False) -> None:
        """Let the first one in that finds room; refuse those that cannot be answered in time any more.

        `calm`: also where the service is not even busy, though this router's quota is used up.
        """
        if not self._tickets:
            return
        now_s = self._router.clock.monotonic_s()
        with self._lock:
            while (waiting := self._line.next(partial(self._finds_room, calm))) is not None:
                ticket = self._tickets.pop(waiting)
                if waiting.deadline_s >= now_s + ticket.request.least_s:
                    ticket.request.calm = calm
                    ticket.wake()
                    return
                self._refuse(ticket, now_s)

    def keep_time(self) -> None:
        """Do what time alone brings about: deadlines in the line, and targets that have room again."""
        now_s = self._router.clock.monotonic_s()
        with self._lock:
            self._drain.per_s(now_s)
            for waiting in self._line.hopeless(now_s, 0.0) if self._tickets else ():
                self._refuse(self._tickets.pop(waiting), now_s)
        self.advance(calm=True)

    async def begin(self, request: Request) -> Call:
        """Begin the next attempt of `request` once a target has room; raises QueueFull, and what `Request.begin` raises.

        What cancels the caller takes it out of the line.
        """
        loop = asyncio.get_running_loop()
        while (call := self._admit(request)) is None:
            woken: asyncio.Future[None] = loop.create_future()
            ticket = Ticket(request, partial(_tell, loop, woken))
            try:
                if self._enter(ticket):
                    async with asyncio.timeout(max(0.0, request.left_s)):
                        await woken
            except TimeoutError:
                self._leave(ticket)
                raise self._full(request) from None
            except BaseException:
                self._leave(ticket)
                raise
            if ticket.error is not None:
                raise ticket.error
        return call

    def begin_sync(self, request: Request) -> Call:
        """The same for threads."""
        while (call := self._admit(request)) is None:
            woken = threading.Event()
            ticket = Ticket(request, woken.set)
            try:
                in_time = not self._enter(ticket) or woken.wait(max(0.0, request.left_s))
            except BaseException:
                self._leave(ticket)
                raise
            if not in_time:
                self._leave(ticket)
                raise self._full(request)
            if ticket.error is not None:
                raise ticket.error
        return call

    def _admit(self, request: Request) -> Call | None:
        """Begin an attempt where `request` need not stand in line: its turn has come, or nobody waits, and there is room.

        Room is looked for and taken in one step, or threads would take the same place.
        """
        if not self._overflow.enabled:
            return request.begin()
        with self._lock:
            if (self._tickets and not request.waited) or not self._room(request, calm=request.calm):
                return None
            call = request.begin()
        self.advance()
        return call

    def _enter(self, ticket: Ticket) -> bool:
        """Stand in line, and let in whoever finds room by now; False where `ticket` was answered at once."""
        now_s = self._router.clock.monotonic_s()
        with self._lock:
            waiting = ticket.waiting
            per_s = self._drain.per_s(now_s)
            gone = waiting if not self._line.in_time(waiting, now_s, per_s, ticket.request.least_s) else self._line.enter(waiting)
            if gone is not waiting:
                self._tickets[waiting] = ticket
                ticket.request.waited = True
            if gone is not None:
                self._refuse(ticket if gone is waiting else self._tickets.pop(gone), now_s)
        self.advance()
        return gone is not ticket.waiting

    def _leave(self, ticket: Ticket) -> None:
        """Give the place up, and pass on the turn that may have come meanwhile."""
        with self._lock:
            self._line.leave(ticket.waiting)
            self._tickets.pop(ticket.waiting, None)
        self.advance()

    def _refuse(self, ticket: Ticket, now_s: float) -> None:
        ticket.error = self._refusal(ticket.request, now_s)
        ticket.wake()

    def _full(self, request: Request) -> QueueFull:
        with self._lock:
            return self._refusal(request, self._router.clock.monotonic_s())

    def _refusal(self, request: Request, now_s: float) -> QueueFull:
        """With the time until there may be room: not before a rate limit lapses, where nothing but limits keeps its targets back."""
        retry_after_ms = self._line.retry_after_ms(self._drain.per_s(now_s))
        with suppress(NoTarget):
            if self._usable_by(request).back_later:
                with self._router.overlaying() as overlay:
                    retry_after_ms = max(retry_after_ms, overlay.lapses_in_ms(self._router.clock.now_ms()))
        return QueueFull(self._router.name_of_service, retry_after_ms)

    def _finds_room(self, calm: bool, waiting: Waiting) -> bool:  # noqa: FBT001 - the first parameter is bound
        return self._room(self._tickets[waiting].request, calm=calm)

    def _room(self, request: Request, *, calm: bool) -> bool:
        """Whether there is room, or waiting would bring none: then the request goes to the least bad, as ever."""
        try:
            usable = self._usable_by(request)
        except NoTarget:
            return True
        if not usable.targets:
            return not usable.back_later
        own, then = self._router.contention.own, self._router.contention.at_publish
        service = Level(usable.limit, usable.in_flight, sum([own[i] for i in usable.targets]), sum([then[i] for i in usable.targets]))
        if calm and is_calm(service, self._overflow.limit):
            return True
        return has_room(service, max(self._router.contention.share, usable.least_share), self._luck)

    def _usable_by(self, request: Request) -> _Usable:
        found = self._router.considered(request.requirements, request.tried)
        usable = self._usable.get(found)
        if usable is None:
            if len(self._usable) >= _CLASSES:
                self._usable.clear()
            usable = self._usable[found] = _usable(found, self._overflow)
        return usable


class _Usable(NamedTuple):
    """What does not change while a snapshot and the router's own word on its targets stand."""

    targets: Sequence[int]
    """Those that serve; none where one of them takes any number."""
    limit: float
    in_flight: float
    least_share: float
    back_later: bool
    """Whether waiting is worth while though none serves: a rate limit will lapse."""


def _usable(found: Candidates, overflow: Overflow) -> _Usable:
    view = found.view
    serving = [i for i in found.table.index if serves(view.entries[i])]
    limits = [limit_of(view.targets[i], view.entries[i], overflow) for i in serving]
    known = [limit for limit in limits if limit is not None]
    back_later = not serving and any(limited(view.entries[i]) for i in found.table.index)
    routers = view.snapshot.routers if view.snapshot else 1
    return _Usable(serving if len(known) == len(limits) else (), sum(known), sum(view.entries[i].in_flight for i in serving), 1.0 / max(1, routers), back_later)


def _tell(loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None]) -> None:
    """Wake a coroutine of any loop; one whose loop has ended waits no more."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_set, woken)


def _set(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
