"""Servers against queueing theory and against slow but obvious simulations of the same discipline."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from routecast.analytics.simulation.contended import processor_sharing
from routecast.analytics.simulation.servers import Queueing, Server
from routecast.analytics.simulation.simulator import EventQueue
from routecast.models.events import Outcome

Floats = NDArray[np.float64]
ServerOf = Callable[[EventQueue], Server]
CALLS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), min_size=1, max_size=40)
"""Pauses between arrivals and works; integers make simultaneous events likely."""


def responses(server_of: ServerOf, gaps_ms: Floats, works_ms: Floats) -> Floats:
    """Response times of calls that arrive after the given pauses."""
    queue = EventQueue()
    server = server_of(queue)
    response_ms = np.full(len(gaps_ms), np.nan)

    def done(i: int, at_ms: float, outcome: Outcome) -> None:
        assert outcome == "ok"
        response_ms[i] = queue.now_ms - at_ms

    for i, (at_ms, work_ms) in enumerate(zip(np.cumsum(gaps_ms).tolist(), works_ms.tolist(), strict=True)):
        queue.advance_to(at_ms)
        server.submit(work_ms, partial(done, i, at_ms))
    queue.advance_to(queue.now_ms + float(works_ms.sum()) + 1.0)
    assert server.in_flight == 0
    return response_ms


def controlled_mean(values: Floats, controls: list[Floats], batches: int = 100) -> float:
    """Mean with control variates: what a regression over batch means leaves when every control has its known mean, 0."""
    means: list[Floats] = [v[: len(v) // batches * batches].reshape(batches, -1).mean(axis=1) for v in (values, *controls)]
    design: Floats = np.column_stack([np.ones(batches), *means[1:]])
    coefficients: Floats = np.linalg.lstsq(design, means[0], rcond=None)[0].astype(np.float64)
    return float(coefficients[0])


def erlang_c(slots: int, offered: float) -> float:
    """Probability of waiting in M/M/c (Erlang, 1917), by the recursion for Erlang B."""
    blocked = 1.0
    for k in range(1, slots + 1):
        blocked = offered * blocked / (k + offered * blocked)
    return blocked / (1.0 - offered / slots * (1.0 - blocked))


def poisson_excess(mean: float, threshold: int) -> float:
    """E max(0, N − threshold + 1) for a Poisson N."""
    k = np.arange(threshold, threshold + 200)
    ln_p = k * math.log(mean) - mean - np.array([math.lgamma(i + 1.0) for i in k])
    return float(((k - threshold + 1) * np.exp(ln_p)).sum())


@pytest.mark.parametrize(("slots", "load", "calls"), [(2, 0.6, 600_000), (4, 0.6, 800_000), (8, 0.7, 900_000)])
@pytest.mark.untraced
def test_mean_wait_is_that_of_mmc(slots: int, load: float, calls: int) -> None:
    """Waits of M/M/c agree with the Erlang-C formula within 2 %.

    The same calls run through an elastic server, whose state at arrivals is Poisson, as control variate: standard error 0.6 %.
    """
    rng = np.random.default_rng(1)
    offered = slots * load
    gaps_ms, works_ms = rng.exponential(1000.0 / offered, calls), rng.exponential(1000.0, calls)
    queue = EventQueue()
    server, elastic = Queueing(queue, slots), Queueing(queue, math.inf)
    waits_ms, present = np.zeros(calls), np.zeros(calls)

    def done(i: int, free_ms: float, _: Outcome) -> None:
        waits_ms[i] = queue.now_ms - free_ms

    for i, (at_ms, work_ms) in enumerate(zip(np.cumsum(gaps_ms).tolist(), works_ms.tolist(), strict=True)):
        queue.advance_to(at_ms)
        present[i] = elastic.in_flight
        elastic.submit(work_ms, str)
        server.submit(work_ms, partial(done, i, at_ms + work_ms))
    queue.advance_to(queue.now_ms + 1e6)
    excess = [np.maximum(0.0, present - k + 1) - poisson_excess(offered, k) for k in (slots, slots + 2)]
    mean_ms = controlled_mean(waits_ms, [gaps_ms - 1000.0 / offered, works_ms - 1000.0, *excess])
    assert mean_ms == pytest.approx(1000.0 * erlang_c(slots, offered) / (slots - offered), rel=0.02)


@pytest.mark.untraced
def test_mean_wait_is_that_of_mg1() -> None:
    """Waits of M/G/1 with the tail of real services agree with the Pollaczek-Khinchine formula within 2 %; standard error 0.4 %."""
    rng = np.random.default_rng(2)
    calls, load, sigma = 600_000, 0.6, 0.84
    gaps_ms, works_ms = rng.exponential(1000.0 / load, calls), 1000.0 * np.exp(rng.normal(-(sigma**2) / 2, sigma, calls))
    square = 1e6 * math.exp(sigma**2)
    waits_ms = responses(lambda queue: Queueing(queue, 1), gaps_ms, works_ms) - works_ms
    mean_ms = controlled_mean(waits_ms, [gaps_ms - 1000.0 / load, works_ms - 1000.0, works_ms**2 - square])
    assert mean_ms == pytest.approx(load / 1000.0 * square / (2.0 * (1.0 - load)), rel=0.02)


@pytest.mark.untraced
def test_processor_sharing_is_that_of_mm1() -> None:
    """M/M/1-PS: mean response S/(1 − ρ) within 2 % (standard error 0.5 %), and a call's expected response proportional to its work."""
    rng = np.random.default_rng(3)
    calls, load = 500_000, 0.7
    gaps_ms, works_ms = rng.exponential(1000.0 / load, calls), rng.exponential(1000.0, calls)
    response_ms = responses(lambda queue: processor_sharing(queue, 1), gaps_ms, works_ms)
    mean_ms = controlled_mean(response_ms, [gaps_ms - 1000.0 / load, works_ms - 1000.0, works_ms**2 - 2e6])
    assert mean_ms == pytest.approx(1000.0 / (1.0 - load), rel=0.02)
    stretch = response_ms.sum() / works_ms.sum()
    for low_ms, high_ms in ((100.0, 500.0), (500.0, 1000.0), (1000.0, 2000.0), (2000.0, 4000.0)):
        of_size = (works_ms >= low_ms) & (works_ms < high_ms)
        assert response_ms[of_size].sum() / works_ms[of_size].sum() == pytest.approx(stretch, rel=0.02)


def arrays(calls: list[tuple[int, int]]) -> tuple[Floats, Floats]:
    """Pauses and works of a drawn list of calls."""
    return np.array([gap for gap, _ in calls], dtype=float), np.array([work for _, work in calls], dtype=float)


@given(CALLS, st.integers(1, 4))
def test_queueing_serves_in_order_of_arrival(calls: list[tuple[int, int]], slots: int) -> None:
    """Each call begins when it has arrived and the slot that frees first is free (Kiefer and Wolfowitz, 1955)."""
    gaps_ms, works_ms = arrays(calls)
    free_at: list[float] = [0.0] * slots
    expected: list[float] = []
    for at_ms, work_ms in zip(np.cumsum(gaps_ms).tolist(), works_ms.tolist(), strict=True):
        ends_ms = max(at_ms, heappop(free_at)) + work_ms
        heappush(free_at, ends_ms)
        expected.append(ends_ms - at_ms)
    assert responses(lambda queue: Queueing(queue, slots), gaps_ms, works_ms).tolist() == expected


@given(CALLS)
def test_elastic_never_waits(calls: list[tuple[int, int]]) -> None:
    """With infinite slots every call takes its work and no longer."""
    gaps_ms, works_ms = arrays(calls)
    assert responses(lambda queue: Queueing(queue, math.inf), gaps_ms, works_ms).tolist() == works_ms.tolist()


def shared_step_by_step(gaps_ms: Floats, works_ms: Floats, slots: int) -> list[float]:
    """Responses under processor sharing, by taking from every call what it receives until the next event."""
    arrivals = np.cumsum(gaps_ms).tolist()
    left: dict[int, float] = {}
    ends = [0.0] * len(arrivals)
    now, i = 0.0, 0
    while i < len(arrivals) or left:
        rate = min(1.0, slots / len(left)) if left else 1.0
        end = now + min(left.values()) / rate if left else math.inf
        arrival = arrivals[i] if i < len(arrivals) else math.inf
        step, now = min(end, arrival) - now, min(end, arrival)
        left = {call: work - step * rate for call, work in left.items()}
        for call in [call for call, work in left.items() if work <= 1e-9]:
            ends[call] = now
            del left[call]
        if arrival <= end:
            left[i] = works_ms.tolist()[i]
            i += 1
    return [end - arrival for end, arrival in zip(ends, arrivals, strict=True)]


@given(CALLS, st.integers(1, 4))
def test_sharing_gives_all_the_same_rate(calls: list[tuple[int, int]], slots: int) -> None:
    """Ordering the ends by virtual time gives the responses that sharing step by step gives."""
    gaps_ms, works_ms = arrays(calls)
    response_ms = responses(lambda queue: processor_sharing(queue, slots), gaps_ms, works_ms)
    assert response_ms.tolist() == pytest.approx(shared_step_by_step(gaps_ms, works_ms, slots), abs=1e-6)


@given(CALLS, st.integers(1, 4))
def test_sharing_wastes_no_capacity(calls: list[tuple[int, int]], slots: int) -> None:
    """No call is faster than alone, with slots for all none is slower, and one slot ends a backlog when a queue would."""
    gaps_ms, works_ms = arrays(calls)
    at_ms = np.cumsum(gaps_ms)
    assert (responses(lambda queue: processor_sharing(queue, slots), gaps_ms, works_ms) >= works_ms - 1e-6).all()
    assert responses(lambda queue: processor_sharing(queue, len(calls)), gaps_ms, works_ms).tolist() == pytest.approx(works_ms, abs=1e-6)
    shared = responses(lambda queue: processor_sharing(queue, 1), gaps_ms, works_ms)
    queued = responses(lambda queue: Queueing(queue, 1), gaps_ms, works_ms)
    assert (at_ms + shared).max() == pytest.approx((at_ms + queued).max(), abs=1e-6)


SERVERS: list[ServerOf] = [lambda queue: Queueing(queue, 1), lambda queue: processor_sharing(queue, 1)]


@pytest.mark.parametrize("server_of", SERVERS)
def test_a_call_given_up_frees_what_it_held(server_of: ServerOf) -> None:
    """Giving up a call makes it end without an answer, at once, and the next one needs no more than its work from then on."""
    queue, ended = EventQueue(), list[tuple[str, float]]()
    server = server_of(queue)
    first = server.submit(100.0, lambda _: ended.append(("first", queue.now_ms)))
    queue.advance_to(40.0)
    first.cancel()
    assert server.in_flight == 0
    server.submit(10.0, lambda _: ended.append(("second", queue.now_ms)))
    queue.advance_to(500.0)
    assert ended == [("second", 50.0)]


def test_a_waiting_call_given_up_is_passed_over() -> None:
    """A call given up in the waiting line neither runs nor counts, and the one behind it takes its turn."""
    queue, ended = EventQueue(), list[tuple[str, float]]()
    server = Queueing(queue, 1)
    server.submit(100.0, lambda _: ended.append(("first", queue.now_ms)))
    waiting = server.submit(1000.0, lambda _: ended.append(("second", queue.now_ms)))
    server.submit(10.0, lambda _: ended.append(("third", queue.now_ms)))
    waiting.cancel()
    assert server.in_flight == 2
    queue.advance_to(5000.0)
    assert ended == [("first", 100.0), ("third", 110.0)]


@pytest.mark.parametrize("server_of", SERVERS)
def test_giving_up_what_ended_changes_nothing(server_of: ServerOf) -> None:
    """A second cancel, or one after the end, leaves the count of calls in flight alone."""
    queue = EventQueue()
    server = server_of(queue)
    answered, given_up = server.submit(10.0, str), server.submit(10.0, str)
    given_up.cancel()
    given_up.cancel()
    assert server.in_flight == 1
    queue.advance_to(50.0)
    answered.cancel()
    assert server.in_flight == 0


def test_a_slowdown_of_a_queue_acts_on_what_begins_under_it() -> None:
    """Calls in service end as planned; the next one takes its work times the slowdown."""
    queue, ended_ms = EventQueue(), list[float]()
    server = Queueing(queue, 1)
    for _ in range(2):
        server.submit(10.0, lambda _: ended_ms.append(queue.now_ms))
    queue.advance_to(5.0)
    server.slowdown = 3.0
    queue.advance_to(100.0)
    assert ended_ms == [10.0, 40.0]


def test_a_slowdown_of_shared_capacity_acts_at_once() -> None:
    """What is left of a call under way takes the slowdown times as long, and full speed again when it is over."""
    queue, ended_ms = EventQueue(), list[float]()
    server = processor_sharing(queue, 1)
    server.submit(30.0, lambda _: ended_ms.append(queue.now_ms))
    queue.advance_to(10.0)
    server.slowdown = 5.0
    queue.advance_to(60.0)
    server.slowdown = 1.0
    queue.advance_to(100.0)
    assert ended_ms == [70.0]
