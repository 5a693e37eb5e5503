from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from routecast.analytics.capacity.occupancy import Occupancy
from routecast.analytics.simulation.servers import Queueing

Floats = NDArray[np.float64]
CALLS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), min_size=1, max_size=30)
"""Pauses between starts and durations."""


def arrays(calls: list[tuple[int, int]]) -> tuple[Floats, Floats]:
    """Starts and ends."""
    start = np.cumsum([gap for gap, _ in calls]).astype(float)
    return start, start + np.array([duration for _, duration in calls], float)


@given(CALLS)
def test_time_is_counted_by_how_many_calls_were_open(calls: list[tuple[int, int]]) -> None:
    """Millisecond by millisecond, a call counts from its start to before its end."""
    start, end = arrays(calls)
    occupancy = Occupancy(start, end)
    spent = occupancy.spent_ms(occupancy.started)
    for i in range(len(calls)):
        expected = np.zeros(len(occupancy.levels))
        for ms in np.arange(start[i], end[i]):
            expected[int(((start <= ms) & (end > ms)).sum()) - 1] += 1.0
        assert spent[i].tolist() == expected.tolist()


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_work_begins_where_a_queue_began_it(serve: Callable[..., Any], traffic: Callable[..., tuple[Floats, Floats]], slots: int) -> None:
    """From starts and ends alone, the time between the two is the work of every call of a queue with that many slots."""
    served = serve(lambda queue: Queueing(queue, slots), *traffic(0.8 * slots, 400))
    occupancy = Occupancy(served.start_ms, served.end_ms)
    spent = occupancy.spent_ms(occupancy.begun(slots)).sum(axis=1)
    assert spent.tolist() == pytest.approx(served.work_ms.tolist())


def test_nobody_waits_where_there_are_slots_for_all() -> None:
    """Work begins with the call."""
    occupancy = Occupancy(*arrays([(0, 10), (1, 10), (1, 10)]))
    assert occupancy.most == 3
    assert occupancy.begun(3).tolist() == occupancy.started.tolist()


def test_many_open_calls_are_few_levels() -> None:
    """Up to 24 each number has its own, a thousand have less than a hundred."""
    n = 1000
    occupancy = Occupancy(np.arange(n, dtype=float), np.arange(n, dtype=float) + 2 * n)
    assert occupancy.levels[:24].tolist() == list(range(1, 25))
    assert len(occupancy.levels) < 100
