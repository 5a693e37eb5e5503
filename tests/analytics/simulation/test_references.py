"""ORC and BEST."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest

from routecast.analytics.simulation.arrivals import Requests
from routecast.analytics.simulation.references import Reference, best, best_cost, orc, orc_cost
from routecast.analytics.simulation.servers import Queueing
from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.trial import Simulation, run
from routecast.analytics.simulation.virtual_target import Condition, RequestLimit, VirtualTarget
from routecast.analytics.simulation.worlds import MEAN_TO_MEDIAN, TargetSpec, World, build


def simulation(*specs: tuple[int, float]) -> tuple[Simulation, list[VirtualTarget]]:
    """Queueing targets of the given slots and mean service times, nothing in flight; and the targets themselves."""
    queue = EventQueue()
    none = Requests(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0))
    world = World("fifo", 0.7, tuple(TargetSpec("queueing", slots, mean_s / MEAN_TO_MEDIAN) for slots, mean_s in specs), none)
    targets = [VirtualTarget(queue, Queueing(queue, slots), Random(1)) for slots, _ in specs]
    return Simulation(queue, world, targets, Random(1)), targets


def busy(target: VirtualTarget, calls: int) -> None:
    """Put calls in flight."""
    for _ in range(calls):
        target.submit(1e6, str)


def test_orc_takes_the_least_service_time_times_load() -> None:
    """ORC compares S·(n + 1)/c and, elastic, S alone."""
    assert orc_cost(2.0, 0.25) == 0.5
    assert orc_cost(2.0, 0.0) == 2.0
    sim, targets = simulation((4, 1.0), (8, 1.8))
    chosen: list[int] = []
    for _ in range(12):
        chosen.append(orc(sim).choose(0, ()))
        busy(targets[chosen[-1]], 1)
    by_hand, in_flight = list[int](), [0, 0]
    for _ in range(12):
        costs = [1.0 * (in_flight[0] + 1) / 4, 1.8 * (in_flight[1] + 1) / 8]
        by_hand.append(costs.index(min(costs)))
        in_flight[by_hand[-1]] += 1
    assert chosen == by_hand


def test_best_fills_the_fastest_target_first() -> None:
    """BEST takes the fastest target that has a free slot; when all are full, nearly the least wait."""
    assert [best_cost(2.0, load) for load in (0.0, 0.5, 1.0)] == [2.0, 2.0, 2.0]
    assert best_cost(2.0, 1.5) == 2.0 * 1.5 * 51.0
    sim, targets = simulation((2, 3.0), (3, 1.0))
    chosen: list[int] = []
    for _ in range(6):
        chosen.append(best(sim).choose(0, ()))
        busy(targets[chosen[-1]], 1)
    assert chosen == [1, 1, 1, 0, 0, 1]


@pytest.mark.parametrize("policy", [orc, best])
def test_references_see_what_is_the_matter(policy: Callable[[Simulation], Reference]) -> None:
    """They know slowdowns, pass over what is down, at its limit or tried, and still answer when nothing is left."""
    sim, targets = simulation((4, 1.0), (4, 1.5), (4, 2.0))
    choose = policy(sim).choose
    assert choose(0, ()) == 0
    targets[0].condition = Condition(slowdown=1.7)
    assert choose(0, ()) == 1
    targets[1].condition = Condition(hangs=True)
    assert choose(0, ()) == 0
    assert choose(0, (0,)) == 2
    targets[0].condition = Condition()
    targets[0].limit = RequestLimit(sim.queue, 1.0, 1.0)
    busy(targets[0], 1)
    assert choose(0, ()) == 2
    targets[2].condition = Condition(fail_ratio=1.0)
    assert choose(0, ()) in {0, 1, 2}
    assert choose(0, (0, 1)) == 2


@pytest.mark.untraced
def test_best_is_no_worse_than_orc() -> None:
    """In `fifo` at 70 % the mean time of BEST is 0.8 to 0.95 of that of ORC, on every seed."""
    for seed in range(3):
        world = build("fifo", seed=seed)
        assert 0.8 < run(world, best).mean_s / run(world, orc).mean_s < 0.95


@pytest.mark.untraced
def test_what_is_down_gets_nothing() -> None:
    """In an outage no attempt of a reference goes into the dead target, and none fails."""
    result = run(build("fastfail", seed=1).until(260.0), orc)
    assert result.during_trouble > 10_000
    assert (result.into_trouble, result.failed_attempts) == (0, 0)
