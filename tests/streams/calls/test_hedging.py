"""A second attempt beside a slow first one, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from typing import Any

import pytest

from routecast.analytics.simulation.simulator import EventQueue
from routecast.models.config import Config
from routecast.models.decision import Decision
from routecast.models.errors import CallFailed
from routecast.models.events import Completed, Event, Started, decode_events
from routecast.models.requirements import Requirements
from routecast.models.snapshot import RoutingSnapshot, TargetScore
from routecast.streams.calls.call import Call
from routecast.streams.emitter import Emitter
from routecast.streams.router import Router
from routecast.testing import VirtualClock
from routecast.virtual_time import run

START_MS = 1_700_000_000_000.0
URGENT = Requirements(urgency="high")
PROVIDERS = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}


def _router(queue: EventQueue, providers: dict[str, str] = PROVIDERS, *, token_ratio: float = 1.0, state: str = "ok", ttft: bool = True) -> Router:
    """A router whose targets show the first chunk within 0.1 to 1.6 s, 95 % of them within 1.57 s."""
    targets = [{"id": name, "provider": provider, "model": "m", "service": "chat"} for name, provider in providers.items()]
    config = Config.model_validate({"target": targets, "routing": {"hedging": {"enabled": True, "token_ratio": token_ratio}}})
    clock, luck = VirtualClock(queue), random.Random(3)
    router = Router(config, "chat", Emitter(clock, luck), clock, luck)
    figures: dict[str, Any] = {
        "time_s": 1.0, "service_s": 1.0, "capacity": 8.0, "share": 0.25, "in_flight": 0.0, "in_flight_mean": 0.0, "cost_s": 1.0, "success": 0.95,
        "fail_s": 1.0, "quality": 0.8, "n": 1000.0, "ttft_ms": tuple(100.0 * i for i in range(1, 17)) if ttft else (),
    }  # fmt: skip
    scores = tuple(_score(name, figures | {"state": state if i == 0 else "ok"}) for i, name in enumerate(providers))
    router.apply(
        RoutingSnapshot(
            service="chat", term=1, seq=1, at_ms=queue.now_ms, period_ms=60_000.0, rate_per_s=10.0, routers=1, t_ref_s=1.0, output_tokens=100.0, targets=scores
        )
    )
    return router


def _score(name: str, figures: dict[str, Any]) -> TargetScore:
    return TargetScore(id=name, **figures)


def _events(router: Router) -> list[Event]:
    events: list[Event] = []
    while (record := router.emitter.take()) is not None:
        events += decode_events(record)[0]
    return events


class Sends:
    """A `send` whose first attempt takes `first_s`, its second `second_s`; it keeps the calls and who was cancelled."""

    def __init__(self, first_s: float, second_s: float = 0.5, first_chunk_s: float | None = None) -> None:
        self._takes_s = [first_s, second_s]
        self._first_chunk_s = first_chunk_s
        self.calls: list[Call] = []
        self.cancelled: list[int] = []
        self.cancelled_s: list[float] = []

    async def __call__(self, decision: Decision, call: Call) -> str:  # noqa: D102 - `send`
        self.calls.append(call)
        number = len(self.calls)
        takes_s = self._takes_s[min(number, 2) - 1]
        try:
            if number == 1 and self._first_chunk_s is not None:
                await asyncio.sleep(self._first_chunk_s)
                call.first_chunk()
                takes_s -= self._first_chunk_s
            await asyncio.sleep(takes_s)
        except asyncio.CancelledError:
            self.cancelled.append(number)
            self.cancelled_s.append(asyncio.get_running_loop().time() - self.calls[0].started_s)
            raise
        return decision.target


def test_a_late_first_chunk_brings_a_second_provider_in() -> None:
    """At the predicted 95th percentile; the faster answer counts, the other attempt is cancelled and both are reported so."""
    queue = EventQueue(START_MS)
    router, send = _router(queue), Sends(100.0)
    answer = run(queue, router.call(send, URGENT))
    first, second = send.calls
    events = _events(router)
    starts = {event.attempt: event for event in events if isinstance(event, Started)}
    ends = {event.attempt: event for event in events if isinstance(event, Completed)}
    assert second.started_at_ms - first.started_at_ms == pytest.approx(1570, abs=0.1)
    assert (answer.value, send.cancelled) == (second.decision.target, [1])
    assert first.decision.provider != second.decision.provider
    assert [(attempt.number, attempt.outcome) for attempt in answer.attempts] == [(1, "cancelled"), (2, "ok")]
    assert {n: end.outcome for n, end in ends.items()} == {1: "cancelled", 2: "ok"}
    assert {n: start.decision.hedge for n, start in starts.items() if start.decision} == {1: False, 2: True}
    assert all(end.decision is not None and end.decision.hedge for end in ends.values())
    assert {end.request_id for end in ends.values()} == {answer.request_id}


def test_both_propensities_are_those_of_their_draws() -> None:
    """The hedge is drawn from the targets of other providers: weighted by its inverse, each of them counts as often as there were draws."""
    drawn: Counter[str] = Counter()
    weighted: defaultdict[str, float] = defaultdict(float)
    for seed in range(600):
        queue = EventQueue(START_MS)
        router, send = _router(queue), Sends(100.0)
        router._rng.seed(seed)
        run(queue, router.call(send, URGENT))
        first, second = (call.decision for call in send.calls)
        assert first.propensity < 1
        assert second.candidates != first.candidates
        if first.provider == "a":
            drawn[second.target] += 1
            weighted[second.target] += 1 / second.propensity
    total = drawn.total()
    assert set(drawn) == {"b1", "b2"}
    assert {name: weight / total for name, weight in weighted.items()} == pytest.approx({"b1": 1.0, "b2": 1.0}, abs=0.35)


def test_the_first_chunk_decides() -> None:
    """Once it is here, no second attempt begins; and of two attempts the one that shows it goes on alone."""
    queue = EventQueue(START_MS)
    router, early = _router(queue), Sends(5.0, first_chunk_s=1.0)
    assert len(run(queue, router.call(early, URGENT)).attempts) == 1
    late = Sends(5.0, second_s=50.0, first_chunk_s=2.0)
    answer = run(queue, router.call(late, URGENT))
    assert (answer.value, late.cancelled) == (late.calls[0].decision.target, [2])
    assert late.cancelled_s == [pytest.approx(2.0, abs=0.01)]
    assert [(attempt.number, attempt.outcome) for attempt in answer.attempts] == [(2, "cancelled"), (1, "ok")]


@pytest.mark.parametrize(
    ("requirements", "how"),
    [
        (Requirements(), {}),
        (Requirements(urgency="low"), {}),
        (URGENT, {"state": "open"}),
        (URGENT, {"token_ratio": 0.0}),
        (URGENT, {"providers": {"a1": "a", "a2": "a"}}),
        (URGENT, {"ttft": False}),
    ],
    ids=["medium", "low", "a breaker is open", "no budget", "one provider", "no evidence"],
)
def test_there_is_no_hedge_where_it_must_not_be(requirements: Requirements, how: dict[str, Any]) -> None:
    """Urgent requests only, within the budget, while all is well, and where another provider and a prediction exist."""
    queue = EventQueue(START_MS)
    router, send = _router(queue, **how), Sends(20.0, second_s=20.0)
    answer = run(queue, router.call(send, requirements))
    assert (len(send.calls), len(answer.attempts)) == (1, 1)


def test_hedging_can_be_asked_for_or_declined_by_request() -> None:
    """`hedge` stands above the configuration."""
    queue = EventQueue(START_MS)
    router, send = _router(queue), Sends(20.0)
    assert len(run(queue, router.call(send, URGENT, hedge=False)).attempts) == 1


def test_hedges_cost_at_most_their_share_of_the_tokens() -> None:
    """Every request is slow; a hedge is paid by twenty requests."""
    queue = EventQueue(START_MS)
    router = _router(queue, token_ratio=0.05)

    async def main() -> list[int]:
        return [len((await router.call(Sends(2.0), URGENT)).attempts) for _ in range(200)]

    made = run(queue, main())
    assert 2 <= sum(made) - 200 <= 10


def test_the_race_goes_on_when_one_attempt_fails() -> None:
    """The other one's answer counts; when both fail, the request is retried elsewhere."""
    queue = EventQueue(START_MS)
    router = _router(queue)
    seen: list[str] = []

    async def send(decision: Decision, _: Call) -> str:
        seen.append(decision.target)
        number = len(seen)
        await asyncio.sleep({1: 2.0, 2: 3.0}.get(number, 0.1))
        if number <= failing:
            raise ConnectionError
        return decision.target

    failing = 1
    answer = run(queue, router.call(send, URGENT))
    assert [(attempt.number, attempt.outcome) for attempt in answer.attempts] == [(1, "error"), (2, "ok")]
    seen.clear()
    failing = 2
    answer = run(queue, router.call(send, URGENT))
    assert [attempt.outcome for attempt in answer.attempts] == ["error", "error", "ok"]
    assert len(set(seen)) == 3


def test_both_attempts_end_with_their_caller() -> None:
    """Cancelled, both are reported as such and no task is left."""
    queue = EventQueue(START_MS)
    router, send = _router(queue), Sends(100.0, second_s=100.0)

    async def main() -> int:
        task = asyncio.ensure_future(router.call(send, URGENT))
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(asyncio.all_tasks())

    assert run(queue, main()) == 1
    assert sorted(send.cancelled) == [1, 2]
    assert [event.outcome for event in _events(router) if isinstance(event, Completed)] == ["cancelled", "cancelled"]
    assert set(router.in_flight.values()) == {0}


def test_a_caller_that_is_cancelled_as_the_answer_comes_leaves_no_open_call() -> None:
    """The attempt has returned, nobody takes its answer."""
    queue = EventQueue(START_MS)
    router = _router(queue)

    async def main() -> None:
        async def send(_: Decision, __: Call) -> str:
            await asyncio.sleep(0.1)
            task.cancel()
            return "answer"

        task = asyncio.ensure_future(router.call(send, URGENT))
        with pytest.raises(asyncio.CancelledError):
            await task

    run(queue, main())
    assert [event.outcome for event in _events(router) if isinstance(event, Completed)] == ["cancelled"]
    assert set(router.in_flight.values()) == {0}


def test_both_share_the_time_of_the_attempt() -> None:
    """A hedge has no time of its own."""
    queue = EventQueue(START_MS)
    router, send = _router(queue), Sends(100.0, second_s=100.0)
    with pytest.raises(CallFailed) as raised:
        run(queue, router.call(send, URGENT, deadline_ms=4000, attempts=1))
    assert queue.now_ms - START_MS == pytest.approx(4000, abs=1)
    assert [attempt.outcome for attempt in raised.value.attempts] == ["timeout", "timeout"]
