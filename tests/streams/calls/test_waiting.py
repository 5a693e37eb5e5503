"""The waiting queue of a router, in virtual time and across threads."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from routecast.analytics.routing.overlay import Own
from routecast.analytics.simulation.simulator import EventQueue
from routecast.models.config import Config
from routecast.models.decision import Decision
from routecast.models.errors import CallFailed, QueueFull
from routecast.models.events import Urgency
from routecast.models.requirements import Requirements
from routecast.streams.calls.call import Call
from routecast.streams.clock import SystemClock
from routecast.streams.emitter import Emitter
from routecast.streams.router import Router
from routecast.testing import VirtualClock
from routecast.virtual_time import run

START_MS = 1_700_000_000_000.0


def _config(n: int = 1, capacity: int | None = 1, **routing: object) -> Config:
    targets = [{"id": f"t{i}", "provider": f"p{i}", "model": "m", "service": "chat"} | ({"capacity": capacity} if capacity else {}) for i in range(n)]
    return Config.model_validate({"target": targets, "routing": routing})


def _router(queue: EventQueue, n: int = 1, capacity: int | None = 1, **routing: object) -> Router:
    clock, luck = VirtualClock(queue), random.Random(1)
    return Router(_config(n, capacity, **routing), "chat", Emitter(clock, luck), clock, luck)


def _takes(seconds: float, order: list[Any] | None = None, name: object = None) -> Callable[[Decision, Call], Any]:
    async def send(decision: Decision, _: Call) -> str:
        if order is not None:
            order.append(name)
        await asyncio.sleep(seconds)
        return decision.target

    return send


async def _ticks(router: Router) -> None:
    while True:
        await asyncio.sleep(0.25)
        router.end_overdue()


def test_a_request_waits_while_every_target_is_full() -> None:
    """One target, one at a time: the second begins when the first has ended, and says how long it waited."""
    queue = EventQueue(START_MS)
    router = _router(queue)

    async def main() -> Any:
        return await asyncio.gather(*(router.call(_takes(2.0)) for _ in range(3)))

    answers = run(queue, main())
    assert [round(answer.waited_ms) for answer in answers] == [0, 2000, 4000]
    assert queue.now_ms - START_MS == pytest.approx(6000, abs=1)


def test_the_queue_is_served_by_urgency_then_deadline() -> None:
    """Whatever the order of arrival; those who come while others wait do not push in."""
    queue = EventQueue(START_MS)
    router = _router(queue)
    order: list[str] = []
    requests: list[tuple[str, Urgency, float]] = [
        ("first", "low", 60_000), ("low", "low", 9_000), ("later", "medium", 50_000), ("sooner", "medium", 20_000), ("urgent", "high", 55_000)
    ]  # fmt: skip

    async def main() -> None:
        await asyncio.gather(
            *(router.call(_takes(1.0, order, name), Requirements(urgency=urgency), deadline_ms=deadline) for name, urgency, deadline in requests)
        )

    run(queue, main())
    assert order == ["first", "urgent", "sooner", "later", "low"]


def test_the_queue_is_bounded_and_low_urgency_is_shed_first() -> None:
    """A newcomer takes the place of a less urgent one, which is told at once when to come again; equals are refused."""
    queue = EventQueue(START_MS)
    router = _router(queue, overflow={"queue": 2})
    refused: dict[str, float] = {}

    async def request(name: str, urgency: Urgency) -> None:
        try:
            await router.call(_takes(5.0), Requirements(urgency=urgency))
        except QueueFull as error:
            refused[name] = error.retry_after_ms

    async def main() -> int:
        tasks = [asyncio.create_task(request(name, urgency)) for name, urgency in names]
        await asyncio.sleep(0.1)
        waiting = router.stats().queue
        assert set(refused) == {"low", "another medium"}
        await asyncio.gather(*tasks)
        return waiting

    names: list[tuple[str, Urgency]] = [("served", "low"), ("low", "low"), ("medium", "medium"), ("high", "high"), ("another medium", "medium")]
    assert run(queue, main()) == 2
    assert all(after_ms >= 50 for after_ms in refused.values())
    assert router.stats().queue == 0


def test_without_a_queue_a_full_service_refuses_at_once() -> None:
    """The last step of the ladder; and switched off, nothing waits and nothing is refused."""
    queue = EventQueue(START_MS)

    async def two(router: Router) -> Any:
        return await asyncio.gather(*(router.call(_takes(1.0)) for _ in range(2)), return_exceptions=True)

    _, second = run(queue, two(_router(queue, overflow={"queue": 0})))
    assert isinstance(second, QueueFull)
    assert [answer.waited_ms for answer in run(queue, two(_router(queue, overflow={"enabled": False})))] == [0.0, 0.0]


@pytest.mark.parametrize(("limit", "at_once"), [(1.0, 4), (2.0, 8)])
def test_a_target_is_full_at_its_capacity_times_the_limit(limit: float, at_once: int) -> None:
    """As configured."""
    queue = EventQueue(START_MS)
    router = _router(queue, 2, 2, overflow={"limit": limit})
    most = 0

    async def send(decision: Decision, _: Call) -> str:
        nonlocal most
        most = max(most, sum(router.in_flight.values()))
        await asyncio.sleep(1)
        return decision.target

    async def main() -> None:
        await asyncio.gather(*(router.call(send) for _ in range(30)))

    run(queue, main())
    assert most == at_once


def test_a_capacity_nobody_knows_keeps_nobody_waiting() -> None:
    """Neither configured nor fitted from evidence."""
    queue = EventQueue(START_MS)
    router = _router(queue, 1, None)

    async def main() -> Any:
        return await asyncio.gather(*(router.call(_takes(1.0)) for _ in range(200)))

    assert {answer.waited_ms for answer in run(queue, main())} == {0.0}


def test_a_deadline_passes_in_the_queue() -> None:
    """The request is refused when its time is over, not later."""
    queue = EventQueue(START_MS)
    router = _router(queue)

    async def main() -> float:
        first = asyncio.ensure_future(router.call(_takes(50.0)))
        await asyncio.sleep(0.01)
        began_ms = queue.now_ms
        with pytest.raises(QueueFull):
            await router.call(_takes(1.0), deadline_ms=3000)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        return queue.now_ms - began_ms

    assert run(queue, main()) == pytest.approx(3000, abs=1)


def test_who_cannot_be_served_in_time_is_refused_at_once() -> None:
    """Twenty wait, one a second leaves: five seconds are not enough, unless the request is urgent."""
    queue = EventQueue(START_MS)
    router = _router(queue)

    async def main() -> Any:
        first = [asyncio.ensure_future(router.call(_takes(1.0))) for _ in range(30)]
        ticks = asyncio.create_task(_ticks(router))
        await asyncio.sleep(10.5)
        began_ms = queue.now_ms
        with pytest.raises(QueueFull) as refused:
            await router.call(_takes(1.0), Requirements(urgency="low"), deadline_ms=5000)
        assert queue.now_ms == began_ms
        assert refused.value.retry_after_ms == pytest.approx(20_000, rel=0.2)
        urgent = await router.call(_takes(1.0), Requirements(urgency="high"), deadline_ms=5000)
        ticks.cancel()
        await asyncio.gather(ticks, return_exceptions=True)
        await asyncio.gather(*first, return_exceptions=True)
        return [urgent.waited_ms]

    assert run(queue, main()) == [pytest.approx(500, abs=1)]


def test_a_cancelled_waiter_leaves_the_queue_and_passes_its_turn_on() -> None:
    """Cancelled at the very moment its turn has come, too."""
    queue = EventQueue(START_MS)
    router = _router(queue)

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        tasks = [asyncio.ensure_future(router.call(_takes(1.0))) for _ in range(4)]
        loop.call_later(0.5, tasks[2].cancel)

        def cancel_the_next() -> None:
            tasks[1].cancel()

        tasks[0].add_done_callback(lambda _: cancel_the_next())
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, third, fourth = run(queue, main())
    assert isinstance(second, asyncio.CancelledError)
    assert isinstance(third, asyncio.CancelledError)
    assert (first.waited_ms, round(fourth.waited_ms)) == (0.0, 1000)
    assert router.stats().queue == 0


def test_a_rate_limit_that_lapses_lets_requests_in() -> None:
    """Nothing ends and no snapshot comes: the driver's timer is enough."""
    queue = EventQueue(START_MS)
    router = _router(queue, 1, None)
    with router.overlaying() as overlay:
        overlay.limited(0, queue.now_ms + 5000, queue.now_ms)

    async def main() -> float:
        ticks = asyncio.create_task(_ticks(router))
        answer = await router.call(_takes(1.0))
        ticks.cancel()
        await asyncio.gather(ticks, return_exceptions=True)
        return answer.waited_ms

    assert run(queue, main()) == pytest.approx(5000, abs=260)


def test_who_cannot_wait_for_a_rate_limit_hears_when_it_lapses() -> None:
    """Not how fast the line moves: nothing moves before."""
    queue = EventQueue(START_MS)
    router = _router(queue, 2, None)
    with router.overlaying() as overlay:
        overlay.limited(0, queue.now_ms + 20_000, queue.now_ms)
        overlay.limited(1, queue.now_ms + 30_000, queue.now_ms)
    with pytest.raises(QueueFull) as refused:
        run(queue, router.call(_takes(1.0), deadline_ms=3000))
    assert refused.value.retry_after_ms == pytest.approx(17_000, abs=1)


def test_a_newcomer_does_not_push_in() -> None:
    """It comes the moment there is room again, before anybody else has noticed: who waits goes first all the same."""
    queue = EventQueue(START_MS)
    router = _router(queue)
    order: list[str] = []
    with router.overlaying() as overlay:
        overlay.limited(0, queue.now_ms + 5000, queue.now_ms)

    async def main() -> None:
        first = asyncio.ensure_future(router.call(_takes(1.0, order, "first")))
        await asyncio.sleep(5.01)
        await asyncio.gather(first, router.call(_takes(1.0, order, "newcomer")))

    run(queue, main())
    assert order == ["first", "newcomer"]


def test_an_outage_is_no_overload() -> None:
    """Where all targets are open, waiting would bring nothing: the least bad one is asked."""
    queue = EventQueue(START_MS)
    router = _router(queue, 1, None)
    with router.overlaying() as overlay:
        overlay.breaker(0, Own("open", 0.0))
    assert run(queue, router.call(_takes(1.0))).waited_ms == 0.0


@pytest.mark.parametrize(("deadline_ms", "outcomes"), [(60_000, ["error", "ok"]), (2000, ["error"])])
def test_a_retry_waits_too_and_says_what_was_tried(deadline_ms: float, outcomes: list[str]) -> None:
    """The other target is busy for 20 s; without the time to wait for it, the error speaks of the attempt that was made."""
    queue = EventQueue(START_MS)
    router = _router(queue, 2, 1)

    async def fails_at_first(decision: Decision, call: Call) -> str:
        await asyncio.sleep(0.5)
        if call.attempt == 1:
            raise ConnectionError
        return decision.target

    async def main() -> Any:
        other = asyncio.ensure_future(router.call(_takes(20.0)))
        await asyncio.sleep(0.1)
        ended = await asyncio.gather(router.call(fails_at_first, deadline_ms=deadline_ms), return_exceptions=True)
        await other
        return ended[0]

    ended = run(queue, main())
    assert [attempt.outcome for attempt in ended.attempts] == outcomes
    assert not isinstance(ended, CallFailed) or (ended.why, type(ended.__cause__)) == ("overload", ConnectionError)


def test_a_retry_that_waits_for_the_other_target_keeps_nobody_from_the_one_it_has_tried() -> None:
    """What failed a request serves the next ones meanwhile, though the retry stands before them."""
    queue = EventQueue(START_MS)
    router = _router(queue, 2, overflow={"limit": 1.0})

    def takes(seconds: float, *, fails: bool = False) -> Callable[[Decision, Call], Any]:
        async def send(decision: Decision, call: Call) -> str:
            if fails and call.attempt == 1:
                raise ConnectionError
            await asyncio.sleep(seconds)
            return decision.target

        return send

    async def main() -> Any:
        sends = [takes(5.0), takes(1.0, fails=True), takes(1.0), takes(1.0)]
        return await asyncio.gather(*(router.call(send) for send in sends))

    long, retry, *others = run(queue, main())
    assert retry.target == long.target
    assert [other.target for other in others] == [retry.attempts[0].target] * 2
    assert [round(answer.waited_ms) for answer in others] == [0, 1000]


def test_threads_wait_and_wake_each_other() -> None:
    """Whoever ends lets the next one in; nothing is lost and the queue is empty afterwards.

    A draw may meet the fuller of two targets now and then, so that more than four run at times.
    """
    clock, luck = SystemClock(), random.Random(1)
    router = Router(_config(2, 2, overflow={"limit": 1.0}), "chat", Emitter(clock, luck), clock, luck)
    lock, running, most, answers = threading.Lock(), 0, 0, list[str]()

    def send(decision: Decision, _: Call) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.002)
        with lock:
            running -= 1
        return decision.target

    def work() -> None:
        for _ in range(20):
            answers.append(router.call_sync(send).value)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 320
    assert 1 < most <= 8
    assert router.stats().queue == 0
