from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from routecast.models.config import Config
from routecast.models.events import Completed, Feedback, Limits, Outcome, Started, decode_events
from routecast.streams.emitter import Emitter
from routecast.streams.router import Router

CONFIG = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat", "region": "eu"}]})


class _Clock:
    """Two clocks as the test sets them."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000.0
        self.s = 50.0

    def now_ms(self) -> float:
        return self.ms

    def monotonic_s(self) -> float:
        return self.s


def _router(clock: _Clock | None = None) -> Router:
    clock = clock or _Clock()
    return Router(CONFIG, "chat", Emitter(clock, random.Random(1)), clock, random.Random(2))


def _events(router: Router) -> list[Any]:
    events: list[Any] = []
    while (record := router.emitter.take()) is not None:
        good, bad = decode_events(record)
        assert bad == []
        events += good
    return events


def _ends(router: Router) -> list[Completed]:
    return [event for event in _events(router) if isinstance(event, Completed)]


def test_start_and_end_say_what_was_called_and_why() -> None:
    """Both carry the decision; the start carries all that is known of the target."""
    clock = _Clock()
    router = _router(clock)
    decision = router.choose()
    call = router.start(decision, request_id="r-1", attempt=2, deadline_ms=5000, stream=True, input_tokens=550, max_output_tokens=900, urgency="high")
    clock.ms, clock.s = clock.ms + 1500.0, clock.s + 1.5
    call.finish()
    started, ended = _events(router)
    assert started == Started(
        at_ms=1_700_000_000_000.0, emitter=router.emitter.name, request_id="r-1", attempt=2, target="a", provider="p", model="m", service="chat",
        region="eu", deadline_ms=5000.0, stream=True, input_tokens=550, max_output_tokens=900, urgency="high", decision=decision.ref(),
    )  # fmt: skip
    assert ended == Completed(
        at_ms=1_700_000_001_500.0, emitter=router.emitter.name, request_id="r-1", attempt=2, target="a", service="chat",
        started_at_ms=1_700_000_000_000.0, duration_ms=1500.0, outcome="ok", decision=decision.ref(),
    )  # fmt: skip


def test_calls_get_ids_of_their_own() -> None:
    """Unless the application has one."""
    router = _router()
    ids = [router.start(router.choose()).request_id for _ in range(100)]
    assert len(set(ids)) == 100
    assert router.start(router.choose(), request_id="mine").request_id == "mine"


def test_everything_noted_is_reported() -> None:
    """Tokens by halves, cost, quality, satisfaction, limits, the first chunk that was noted first."""
    router = _router()
    call = router.start(router.choose())
    call.first_chunk(after_ms=120.0)
    call.first_chunk(after_ms=500.0)
    call.tokens(input=550)
    call.tokens(output=150)
    call.cost(0.002)
    call.quality(0.9)
    call.satisfaction(0.8)
    call.limits = Limits(remaining_requests=5)
    call.retry_after_ms = 700.0
    call.finish("rate_limited", error_type="overloaded", http_status=429)
    (end,) = _ends(router)
    assert (end.ttft_ms, end.input_tokens, end.output_tokens, end.cost_usd, end.quality, end.satisfaction) == (120.0, 550, 150, 0.002, 0.9, 0.8)
    assert (end.limits, end.retry_after_ms) == (Limits(remaining_requests=5), 700.0)
    assert (end.outcome, end.error_type, end.http_status) == ("rate_limited", "overloaded", 429)


def test_the_first_chunk_is_timed_by_the_monotonic_clock() -> None:
    """As is the whole: a wall clock that is set in between changes no duration."""
    clock = _Clock()
    router = _router(clock)
    call = router.start(router.choose())
    clock.s, clock.ms = 50.25, 0.0
    call.first_chunk()
    clock.s = 51.0
    call.finish()
    (end,) = _ends(router)
    assert (end.ttft_ms, end.duration_ms, end.at_ms) == (250.0, 1000.0, 1_700_000_001_000.0)


@pytest.mark.parametrize("first", ["ok", "error", "timeout", "rate_limited", "cancelled"])
def test_the_first_end_counts(first: Outcome) -> None:
    """Whatever comes after it changes nothing."""
    router = _router()
    call = router.start(router.choose())
    assert not call.done
    call.finish(first)
    assert call.done
    reference = call.ref
    for outcome in ("error", "ok", "timeout"):
        call.finish(outcome)
    call.quality(0.5)
    assert [end.outcome for end in _ends(router)] == [first]
    assert (router.in_flight, call.ref) == ({"a": 0}, reference)


WRONG: list[dict[str, Any]] = [
    {"outcome": "fine"}, {"outcome": []}, {"outcome": None}, {"error_type": 5}, {"error_type": "e" * 1_000_000}, {"http_status": "many"}, {"http_status": 1000},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=lambda fields: repr(fields)[:30])
def test_an_end_is_reported_whatever_it_is_said_to_be(wrong: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """An outcome that does not exist is an error; a wrong detail is left out. Both are logged, shortly."""
    router = _router()
    router.start(router.choose()).finish(**wrong)
    (end,) = _ends(router)
    assert end.outcome == ("error" if "outcome" in wrong else "ok")
    assert (end.error_type, end.http_status, router.in_flight) == ("", None, {"a": 0})
    assert caplog.records
    assert len(caplog.text) < 1000


def test_wrong_notes_cost_nothing_but_themselves() -> None:
    """The end and the right notes arrive."""
    router, wrong = _router(), object()
    call = router.start(router.choose())
    notes: list[Any] = [call.first_chunk, call.cost, call.satisfaction]
    for note in notes:
        note(wrong)
    call.tokens(input=-1, output=150)
    call.quality(1.5)
    call.limits = wrong  # type: ignore[assignment]
    call.finish()
    (end,) = _ends(router)
    assert (end.output_tokens, end.input_tokens, end.ttft_ms, end.cost_usd, end.quality, end.limits) == (150, None, None, None, None, None)


def test_notes_may_be_numbers_of_numpy() -> None:
    """They come from arrays."""
    router, number = _router(), np.float32(0.5)
    call = router.start(router.choose())
    count: Any = np.int64(150)
    call.tokens(output=count)
    call.quality(float(number))
    call.finish()
    (end,) = _ends(router)
    assert (end.output_tokens, end.quality) == (150, 0.5)


START: list[dict[str, Any]] = [
    {"deadline_ms": "soon"}, {"deadline_ms": -1}, {"deadline_ms": float("nan")}, {"deadline_ms": float("inf")}, {"deadline_ms": 1e300}, {"attempt": "two"},
    {"attempt": 0}, {"input_tokens": 1.5}, {"urgency": "now"}, {"stream": "yes"}, {"stream": np.True_},
]  # fmt: skip


@pytest.mark.parametrize("wrong", START, ids=str)
def test_a_start_is_reported_whatever_is_said_of_it(wrong: dict[str, Any]) -> None:
    """A wrong figure is left out; start and end still belong together, and nothing stays in flight."""
    router = _router()
    call = router.start(router.choose(), **wrong)
    assert router.in_flight == {"a": 1}
    router.end_overdue()
    assert not call.done
    call.finish()
    started, ended = _events(router)
    assert isinstance(started, Started)
    assert (started.request_id, started.deadline_ms, started.attempt) == (ended.request_id, None, 1)
    assert ended.start_reported
    assert router.in_flight == {"a": 0}


@pytest.mark.parametrize("request_id", [5, "r" * 300, object()], ids=["int", "long", "object"])
def test_an_id_that_cannot_be_sent_leaves_nothing_half_reported(request_id: Any) -> None:
    """Neither start nor end arrives, and nothing stays in flight here."""
    router = _router()
    router.start(router.choose(), request_id=request_id).finish()
    assert (_events(router), router.in_flight, router.emitter.dropped) == ([], {"a": 0}, 2)


def test_a_reference_leads_back_to_its_request() -> None:
    """Days later, without any state: the fold finds target and window in it."""
    clock = _Clock()
    router = _router(clock)
    call = router.start(router.choose(), request_id='odd "id" ü')
    clock.s += 0.25
    call.finish()
    (end,) = _ends(router)
    router.emitter.feedback(json.loads(json.dumps(call.ref)), quality=0.75)
    (feedback,) = _events(router)
    assert isinstance(feedback, Feedback)
    assert (feedback.request_id, feedback.target, feedback.completed_at_ms, feedback.quality) == (end.request_id, end.target, end.at_ms, 0.75)


LEFT: list[tuple[BaseException | None, Outcome, str]] = [
    (None, "ok", ""),
    (TimeoutError(), "timeout", "timeout"),
    (ConnectionResetError(), "error", "connection"),
    (ValueError(), "error", "_OTHER"),
    (asyncio.CancelledError(), "cancelled", ""),
    (KeyboardInterrupt(), "cancelled", ""),
    (SystemExit(), "cancelled", ""),
    (GeneratorExit(), "cancelled", ""),
]


def _raised(act: Callable[[], object]) -> BaseException | None:
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - this is what is looked at
        return error
    return None


@pytest.mark.parametrize(("error", "outcome", "error_type"), LEFT, ids=[type(error).__name__ for error, _, _ in LEFT])
def test_tracking_reports_how_the_block_was_left(error: BaseException | None, outcome: Outcome, error_type: str) -> None:
    """Sync and async alike; the exception goes on its way."""
    router = _router()

    def block() -> None:
        with router.track(router.choose()):
            if error is not None:
                raise error

    async def asynchronous() -> None:
        async with router.track(router.choose()):
            if error is not None:
                raise error

    assert _raised(block) is error
    left = _raised(lambda: asynchronous().send(None))
    assert isinstance(left, StopIteration) if error is None else left is error
    assert [(end.outcome, end.error_type) for end in _ends(router)] == [(outcome, error_type)] * 2
    assert router.in_flight == {"a": 0}


def test_an_end_inside_the_block_comes_first() -> None:
    """Leaving the block adds nothing, however it is left."""
    router = _router()

    def block(error: BaseException | None) -> None:
        with router.track(router.choose()) as call:
            call.finish("rate_limited", http_status=429)
            if error is not None:
                raise error

    for error in (None, ValueError()):
        assert _raised(partial(block, error)) is error
    assert [end.outcome for end in _ends(router)] == ["rate_limited", "rate_limited"]


def test_a_cancelled_task_reports_its_call() -> None:
    """While it waits for the provider."""
    router = _router()

    async def request(began: asyncio.Event) -> None:
        async with router.track(router.choose()):
            began.set()
            await asyncio.Event().wait()

    async def main() -> None:
        began = asyncio.Event()
        task = asyncio.create_task(request(began))
        await began.wait()
        assert router.in_flight == {"a": 1}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [end.outcome for end in _ends(router)] == ["cancelled"]
    assert router.in_flight == {"a": 0}


def test_a_time_limit_inside_the_block_is_a_timeout() -> None:
    """Around the block it is a cancellation: the block cannot tell who cancelled it."""
    router = _router()

    async def inside() -> None:
        async with router.track(router.choose()), asyncio.timeout(0):
            await asyncio.Event().wait()

    async def around() -> None:
        async with asyncio.timeout(0), router.track(router.choose()):
            await asyncio.Event().wait()

    for limited in (inside, around):
        with pytest.raises(TimeoutError):
            asyncio.run(limited())
    assert [end.outcome for end in _ends(router)] == ["timeout", "cancelled"]


def test_a_call_past_its_deadline_ends_as_a_timeout_by_itself() -> None:
    """At its deadline, not before; a later end changes nothing, and one that ended in time is left alone."""
    clock = _Clock()
    router = _router(clock)
    late, in_time, without = router.start(router.choose(), deadline_ms=1000), router.start(router.choose(), deadline_ms=1000), router.start(router.choose())
    clock.s += 0.999
    router.end_overdue()
    assert not late.done
    in_time.finish("ok")
    clock.s += 0.001
    router.end_overdue()
    assert (late.done, without.done) == (True, False)
    late.finish("ok")
    assert [(end.request_id, end.outcome, end.error_type) for end in _ends(router)] == [
        (in_time.request_id, "ok", ""),
        (late.request_id, "timeout", "timeout"),
    ]
    assert router.in_flight == {"a": 1}
