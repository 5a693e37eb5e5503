"""`Router.call` in virtual time: what is tried, when it is given up, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routecast.analytics.simulation.simulator import EventQueue
from routecast.models.attempts import Answer, Verdict
from routecast.models.config import Config
from routecast.models.decision import Decision
from routecast.models.errors import CallFailed, NoTarget, QueueFull
from routecast.models.events import Completed, Event, Started, decode_events
from routecast.models.requirements import Requirements
from routecast.models.snapshot import RoutingSnapshot, TargetScore
from routecast.streams.calls.attempts import Options
from routecast.streams.calls.call import Call
from routecast.streams.emitter import Emitter
from routecast.streams.router import Router
from routecast.testing import VirtualClock
from routecast.virtual_time import run

START_MS = 1_700_000_000_000.0
NAMES = ("a", "b", "c", "d")


class StatusError(Exception):
    """As client libraries raise it."""

    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.headers = headers or {}


class Response:
    """As client libraries return it."""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


def router_on(queue: EventQueue, names: tuple[str, ...] = NAMES, seed: int = 1, **routing: object) -> Router:
    """A router of these targets on a virtual clock."""
    targets = [{"id": name, "provider": f"p-{name}", "model": "m", "service": "chat"} for name in names]
    config = Config.model_validate({"target": targets, "routing": routing})
    clock = VirtualClock(queue)
    return Router(config, "chat", Emitter(clock, random.Random(seed)), clock, random.Random(seed))


def events_of(router: Router) -> list[Event]:
    """Everything it has reported so far."""
    events: list[Event] = []
    while (record := router.emitter.take()) is not None:
        events += decode_events(record)[0]
    return events


def ends_of(events: list[Event]) -> list[tuple[int, str, str]]:
    """(attempt, outcome, error type) of every end."""
    return [(event.attempt, event.outcome, event.error_type) for event in events if isinstance(event, Completed)]


def fails(times: int, error: Callable[[], Exception], value: str = "answer", takes_s: float = 0.1) -> Callable[[Decision, Call], Awaitable[str]]:
    """A `send` that fails so often, then answers."""
    left = [times]

    async def send(_: Decision, __: Call) -> str:
        await asyncio.sleep(takes_s)
        left[0] -= 1
        if left[0] >= 0:
            raise error()
        return value

    return send


def snapshot_of(queue: EventQueue, *, seq: int = 1, **figures: Any) -> RoutingSnapshot:
    """Four targets that answer within 0.1 to 1.6 s; figures by target id change them."""
    plain: dict[str, Any] = {
        "state": "ok", "time_s": 1.0, "service_s": 1.0, "capacity": 8.0, "share": 0.25, "in_flight": 0.0, "in_flight_mean": 0.0, "cost_s": 1.0,
        "success": 0.95, "fail_s": 1.0, "quality": 0.8, "n": 1000.0, "ttft_ms": tuple(100.0 * i for i in range(1, 17)),
    }  # fmt: skip
    targets = tuple(TargetScore(id=name, **(plain | figures.get(name, {}))) for name in NAMES)
    return RoutingSnapshot(
        service="chat", term=1, seq=seq, at_ms=queue.now_ms, period_ms=60_000.0, rate_per_s=10.0, routers=1, t_ref_s=1.0, output_tokens=0.0, targets=targets
    )


def test_an_answer_comes_with_its_attempt() -> None:
    """Value, target, reference for feedback; one start and one end in the log."""
    queue = EventQueue(START_MS)
    router = router_on(queue)
    answer = run(queue, router.call(fails(0, ValueError), request_id="r-1", stream=True, input_tokens=7, max_output_tokens=9))
    started, ended = events_of(router)
    assert isinstance(started, Started)
    assert isinstance(ended, Completed)
    assert (answer.value, answer.request_id, answer.waited_ms) == ("answer", "r-1", 0.0)
    assert [(a.number, a.target, a.outcome, a.cause) for a in answer.attempts] == [(1, answer.target, "ok", "")]
    assert answer.attempts[0].duration_ms == pytest.approx(100, abs=0.01)
    assert (started.request_id, started.stream, started.input_tokens, started.max_output_tokens) == ("r-1", True, 7, 9)
    assert (ended.target, ended.outcome, ended.decision) == (answer.target, "ok", answer.decision.ref())
    assert f'"{answer.target}"' in answer.ref


@pytest.mark.parametrize(
    ("error", "outcome", "error_type"),
    [
        (lambda: StatusError(503), "error", "overloaded"),
        (lambda: StatusError(429), "rate_limited", "rate_limit"),
        (ConnectionResetError, "error", "connection"),
        (TimeoutError, "timeout", "timeout"),
        (lambda: ValueError("not JSON"), "error", "_OTHER"),
    ],
)
def test_what_failed_is_not_asked_again(error: Callable[[], Exception], outcome: str, error_type: str) -> None:
    """The next attempt goes elsewhere, under the same request id; every attempt is reported with its cause."""
    queue = EventQueue(START_MS)
    router = router_on(queue)
    answer = run(queue, router.call(fails(2, error)))
    events = events_of(router)
    assert len({attempt.target for attempt in answer.attempts}) == 3
    assert [attempt.outcome for attempt in answer.attempts] == [outcome, outcome, "ok"]
    assert answer.attempts[0].cause
    assert ends_of(events) == [(1, outcome, error_type), (2, outcome, error_type), (3, "ok", "")]
    assert {event.request_id for event in events if isinstance(event, Started | Completed)} == {answer.request_id}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_fault_of_the_callers_own_is_never_retried(status: int) -> None:
    """Whether the client raises or returns it; the error is chained from what was raised, or carries what was returned."""
    queue = EventQueue(START_MS)
    router = router_on(queue)
    with pytest.raises(CallFailed, match="correct it") as raised:
        run(queue, router.call(fails(9, lambda: StatusError(status))))
    assert (raised.value.why, len(raised.value.attempts)) == ("caller_fault", 1)
    assert isinstance(raised.value.__cause__, StatusError)

    async def returns(_: Decision, __: Call) -> Response:
        return Response(status)

    with pytest.raises(CallFailed) as returned:
        run(queue, router.call(returns))
    assert returned.value.__cause__ is None
    assert isinstance(returned.value.answer, Response)


def test_an_error_in_the_applications_code_is_its_own() -> None:
    """It is not retried and counts against no target."""
    queue = EventQueue(START_MS)
    router = router_on(queue)
    with pytest.raises(CallFailed) as raised:
        run(queue, router.call(fails(9, lambda: TypeError("send() got an unexpected keyword"))))
    assert raised.value.why == "caller_fault"
    assert ends_of(events_of(router)) == [(1, "error", "invalid_request")]


def test_the_wrong_kind_of_function_says_which_one_is_right() -> None:
    """A plain function where a coroutine function belongs, and the other way round: an answer that nobody awaited is no success."""
    queue = EventQueue(START_MS)
    router = router_on(queue)

    def plain(_: Decision, __: Call) -> Any:
        return "hello"

    async def coroutine(_: Decision, __: Call) -> str:
        return "hello"

    with pytest.raises(CallFailed, match="returned str, nothing to await: make it an `async def`"):
        run(queue, router.call(plain))
    with pytest.raises(CallFailed, match=r"is a coroutine function.*await router\.call"):
        router.call_sync(coroutine)
    assert ends_of(events_of(router)) == [(1, "error", "invalid_request"), (1, "error", "invalid_request")]


def test_the_application_may_judge_by_itself() -> None:
    """`classify` sees answers and exceptions; None leaves it to the usual rules."""
    queue = EventQueue(START_MS)
    router = router_on(queue)
    texts = iter(["", "good"])

    async def send(_: Decision, __: Call) -> str:
        return next(texts)

    answer = run(queue, router.call(send, classify=lambda thing: Verdict("error", "server_error") if thing == "" else None))
    assert (answer.value, [attempt.outcome for attempt in answer.attempts]) == ("good", ["error", "ok"])


def test_an_option_that_does_not_exist_is_refused() -> None:
    """A deadline that is spelt wrong would be none."""
    queue = EventQueue(START_MS)
    router = router_on(queue)
    wrong: Any = {"deadline": 100}
    with pytest.raises(TypeError, match=r"no option 'deadline': choose among .*deadline_ms"):
        run(queue, router.call(fails(0, ConnectionError), **wrong))
    assert events_of(router) == []


@pytest.mark.parametrize("hedge", [False, True])
def test_a_judgement_that_fails_leaves_no_call_open(hedge: bool) -> None:
    """What `classify` raises reaches the caller; of the target it says nothing."""
    queue = EventQueue(START_MS)
    router = router_on(queue)

    def classify(_: object) -> Verdict:
        raise KeyError("a bug of the application")

    with pytest.raises(KeyError, match="a bug of the application"):
        run(queue, router.call(fails(0, ConnectionError), Requirements(urgency="high"), classify=classify, hedge=hedge))
    assert ends_of(events_of(router)) == [(1, "cancelled", "")]
    assert sum(router.in_flight.values()) == 0


@pytest.mark.parametrize(("configured", "given_here", "made"), [(3, None, 3), (2, None, 2), (3, 1, 1)])
def test_attempts_are_bounded(configured: int, given_here: int | None, made: int) -> None:
    """By configuration, or for one request; the error names every attempt."""
    queue = EventQueue(START_MS)
    router = router_on(queue, call={"attempts": configured})
    with pytest.raises(CallFailed) as raised:
        run(queue, router.call(fails(9, ConnectionError), **(Options() if given_here is None else Options(attempts=given_here))))
    assert (raised.value.why, len(raised.value.attempts)) == ("attempts", made)
    assert all(attempt.target in str(raised.value) for attempt in raised.value.attempts)


def test_a_hanging_target_leaves_time_for_another() -> None:
    """Of five seconds a slow answer of each has its 1.6 s; the first attempt has half of what is spare."""
    queue = EventQueue(START_MS)
    router = router_on(queue)
    router.apply(snapshot_of(queue))
    hung: list[str] = []

    async def send(decision: Decision, _: Call) -> str:
        if not hung:
            hung.append(decision.target)
            await asyncio.sleep(1e6)
        await asyncio.sleep(1.5)
        return "answer"

    answer = run(queue, router.call(send, deadline_ms=5000))
    assert [(a.outcome, round(a.duration_ms)) for a in answer.attempts] == [("timeout", 2500), ("ok", 1500)]


def test_the_deadline_ends_everything() -> None:
    """The configured one where the caller gives none; the last attempt has all that is left."""
    queue = EventQueue(START_MS)
    router = router_on(queue, call={"deadline_ms": 4000.0})
    router.apply(snapshot_of(queue))
    for options in (Options(), Options(deadline_ms=2000.0)):
        began_ms = queue.now_ms
        with pytest.raises(CallFailed) as raised:
            run(queue, router.call(fails(9, ValueError, takes_s=1e6), **options))
        assert raised.value.why in {"deadline", "attempts"}
        assert queue.now_ms - began_ms == pytest.approx(options.get("deadline_ms", 4000.0), abs=1)
        assert isinstance(raised.value.__cause__, TimeoutError)


def test_retries_cannot_multiply_the_load_of_a_service_that_fails() -> None:
    """When everything fails, extra attempts are a tenth of the requests and the reserve."""
    queue = EventQueue(START_MS)
    router = router_on(queue, call={"retry_ratio": 0.1, "retry_reserve": 5.0})

    async def many() -> Any:
        return await asyncio.gather(*(router.call(fails(9, ConnectionError)) for _ in range(200)), return_exceptions=True)

    failures = run(queue, many())
    assert all(isinstance(failure, CallFailed) for failure in failures)
    extra = sum(len(failure.attempts) - 1 for failure in failures)
    assert 20 <= extra <= 25
    assert {failure.why for failure in failures} >= {"retry_budget"}


def test_a_cancelled_caller_cancels_its_attempt() -> None:
    """The attempt is reported as cancelled, and nothing is retried."""
    queue = EventQueue(START_MS)
    router = router_on(queue)

    async def main() -> int:
        task = asyncio.ensure_future(router.call(fails(0, ValueError, takes_s=100)))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(asyncio.all_tasks())

    assert run(queue, main()) == 1
    assert ends_of(events_of(router)) == [(1, "cancelled", "")]
    assert set(router.in_flight.values()) == {0}


def test_strict_requirements_fail_before_and_after_an_attempt() -> None:
    """NoTarget where nothing was tried; afterwards what became of the attempts counts."""
    queue = EventQueue(START_MS)
    router = router_on(queue)
    with pytest.raises(NoTarget):
        run(queue, router.call(fails(0, ValueError), Requirements(excluded=NAMES)))
    only = Requirements(excluded=("b", "c", "d"), quality_threshold=0.5, strict=True)
    router.apply(snapshot_of(queue))

    async def fails_and_spoils(decision: Decision, _: Call) -> str:
        router.apply(snapshot_of(queue, seq=2, a={"quality": 0.1, "quality_n": 100.0}))
        raise ConnectionError(decision.target)

    with pytest.raises(CallFailed) as raised:
        run(queue, router.call(fails_and_spoils, only))
    assert (raised.value.why, isinstance(raised.value.__cause__, ConnectionError)) == ("no_target", True)


def test_retry_after_reaches_the_log() -> None:
    """The headers of an error are read: where to stay away, and for how long."""
    queue = EventQueue(START_MS)
    router = router_on(queue)
    run(queue, router.call(fails(1, lambda: StatusError(429, {"Retry-After": "7"}))))
    ends = [event for event in events_of(router) if isinstance(event, Completed)]
    assert [(event.outcome, event.retry_after_ms) for event in ends] == [("rate_limited", 7000.0), ("ok", None)]


STEPS = st.lists(
    st.tuples(
        st.floats(0, 3),  # seconds until it is called
        st.sampled_from(["ok", "fail", "hang", "refuse", "fault", "stubborn"]),
        st.one_of(st.none(), st.floats(0, 5)),  # cancelled after
        st.sampled_from(["low", "medium", "high"]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60)
@given(steps=STEPS, capacity=st.one_of(st.none(), st.just(1)), hedge=st.booleans(), seed=st.integers(0, 100))
def test_nothing_leaks_whatever_happens(steps: list[Any], capacity: int | None, hedge: bool, seed: int) -> None:
    """Whatever fails, hangs, is refused or is cancelled: every start has one end, no call is open, no task runs, nobody waits."""
    queue = EventQueue(START_MS)
    targets = [{"id": n, "provider": f"p-{n}", "model": "m", "service": "chat"} | ({"capacity": capacity} if capacity else {}) for n in NAMES]
    routing = {"hedging": {"enabled": hedge, "token_ratio": 1.0}, "overflow": {"queue": 3}, "call": {"deadline_ms": 3000.0}}
    clock, luck = VirtualClock(queue), random.Random(seed)
    router = Router(Config.model_validate({"target": targets, "routing": routing}), "chat", Emitter(clock, luck), clock, luck)
    router.apply(snapshot_of(queue))

    async def request(after_s: float, kind: str, urgency: Any) -> None:
        await asyncio.sleep(after_s)
        await router.call(lambda _, call: send(kind, call), Requirements(urgency=urgency))

    async def send(kind: str, call: Call) -> str:
        await asyncio.sleep(luck.uniform(0, 2))
        if luck.random() < 0.3:
            call.first_chunk()
        if kind == "hang":
            await asyncio.sleep(1e6)
        if kind == "stubborn":
            try:
                await asyncio.sleep(1e6)
            except asyncio.CancelledError:
                await asyncio.sleep(0.5)
                raise
        if kind != "ok" and luck.random() < 0.8:
            raise {"refuse": StatusError(429), "fault": StatusError(400)}.get(kind, ConnectionError())
        return "answer"

    async def main() -> None:
        loop, tasks = asyncio.get_running_loop(), list[asyncio.Task[None]]()
        for after_s, kind, cancelled_s, urgency in steps:
            task = asyncio.create_task(request(after_s, kind, urgency))
            tasks.append(task)
            if cancelled_s is not None:
                loop.call_later(cancelled_s, task.cancel)
        timer = asyncio.create_task(tick())
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        timer.cancel()
        await asyncio.gather(timer, return_exceptions=True)
        allowed = (type(None), CallFailed, asyncio.CancelledError, QueueFull)
        assert [end for end in ended if not isinstance(end, allowed)] == []
        assert len(asyncio.all_tasks()) == 1

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.25)
            router.end_overdue()

    run(queue, main())
    events = events_of(router)
    starts = sorted((event.request_id, event.attempt, event.target) for event in events if isinstance(event, Started))
    ends = sorted((event.request_id, event.attempt, event.target) for event in events if isinstance(event, Completed))
    assert starts == ends
    assert len({start[:2] for start in starts}) == len(starts)
    assert set(router.in_flight.values()) == {0}
    assert router.stats().queue == 0


def test_threads_call_with_plain_functions() -> None:
    """The same attempts; the function is told how long it may take."""
    queue = EventQueue(START_MS)
    router = router_on(queue)
    router.apply(snapshot_of(queue))
    given_ms: list[float | None] = []

    def send(decision: Decision, call: Call) -> str:
        given_ms.append(call.timeout_ms)
        if len(given_ms) == 1:
            raise StatusError(503)
        return decision.target

    answer: Answer[str] = router.call_sync(send, deadline_ms=5000)
    assert answer.value == answer.target
    assert [attempt.outcome for attempt in answer.attempts] == ["error", "ok"]
    assert given_ms == [pytest.approx(2500), pytest.approx(2500)]


def test_a_thread_that_is_interrupted_reports_its_attempt() -> None:
    """Ctrl-C is not the target's fault."""
    queue = EventQueue(START_MS)
    router = router_on(queue)

    def send(_: Decision, __: Call) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        router.call_sync(send)
    assert ends_of(events_of(router)) == [(1, "cancelled", "")]


def test_threads_share_one_retry_budget() -> None:
    """Eight of them cannot spend more than one could."""
    queue = EventQueue(START_MS)
    router = router_on(queue, call={"retry_ratio": 0.1, "retry_reserve": 5.0})
    made: list[int] = []

    def send(_: Decision, __: Call) -> str:
        raise ConnectionError

    def work() -> None:
        for _ in range(25):
            with pytest.raises(CallFailed) as raised:
                router.call_sync(send)
            made.append(len(raised.value.attempts))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 200
    assert 20 <= sum(made) - 200 <= 25
