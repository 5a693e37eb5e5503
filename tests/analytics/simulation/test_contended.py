from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.simulation.contended import Contended
from routecast.analytics.simulation.servers import Queueing, Server
from routecast.analytics.simulation.simulator import EventQueue
from routecast.models.events import Outcome

CALLS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), min_size=1, max_size=40)
"""Pauses between arrivals and works."""


def ends_ms(server: Server, queue: EventQueue, calls: list[tuple[int, int]]) -> list[float]:
    """When each of the calls ends."""
    ends = [math.nan] * len(calls)

    def done(i: int, outcome: Outcome) -> None:
        assert outcome == "ok"
        ends[i] = queue.now_ms

    for i, (gap_ms, work_ms) in enumerate(calls):
        queue.advance_to(queue.now_ms + gap_ms)
        server.submit(work_ms, partial(done, i))
    queue.advance_to(queue.now_ms + 1e6)
    assert server.in_flight == 0
    return ends


@given(CALLS, st.integers(1, 5))
def test_without_slowness_it_is_a_queue(calls: list[tuple[int, int]], slots: int) -> None:
    """Slots and a line in order of arrival."""
    one, other = EventQueue(), EventQueue()
    contended = ends_ms(Contended(one, slots, lambda _: 1.0), one, calls)
    assert contended == pytest.approx(ends_ms(Queueing(other, slots), other, calls))


def test_a_bound_and_slowness_act_together() -> None:
    """Two of three calls are worked on, each at half speed; the third begins when the first ends, and has them alone to the end."""
    queue = EventQueue()
    server = Contended(queue, 2, float)
    assert ends_ms(server, queue, [(0, 10), (0, 20), (0, 5)]) == pytest.approx([20.0, 35.0, 30.0])


def test_what_is_given_up_frees_its_place() -> None:
    """A call that waits is passed over, one that is worked on makes room."""
    queue, ended = EventQueue(), list[tuple[str, float]]()
    server = Contended(queue, 1, float)
    first, waits = server.submit(100.0, partial(_note, ended, queue, "first")), server.submit(10.0, partial(_note, ended, queue, "waits"))
    server.submit(10.0, partial(_note, ended, queue, "last"))
    queue.advance_to(5.0)
    waits.cancel()
    first.cancel()
    first.cancel()
    assert server.in_flight == 1
    queue.advance_to(100.0)
    assert ended == [("last", 15.0)]


def _note(ended: list[tuple[str, float]], queue: EventQueue, name: str, _: Outcome) -> None:
    ended.append((name, queue.now_ms))


def test_a_slowdown_acts_at_once_on_what_is_under_way() -> None:
    """Half of the work at full speed, the rest at a third of it."""
    queue, ended = EventQueue(), list[tuple[str, float]]()
    server = Contended(queue, 4, lambda _: 1.0)
    server.submit(10.0, partial(_note, ended, queue, "call"))
    queue.advance_to(5.0)
    server.slowdown = 3.0
    queue.advance_to(100.0)
    assert ended == [("call", 20.0)]
    assert np.isclose(server.slowdown, 3.0)
