"""Rules that know what their own router has seen."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest

from routecast.analytics.simulation.arrivals import Requests
from routecast.analytics.simulation.rivals import LeastConnections, PeakEwma, RoundRobin, Uniform
from routecast.analytics.simulation.servers import Queueing
from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.trial import Simulation
from routecast.analytics.simulation.virtual_target import VirtualTarget
from routecast.analytics.simulation.worlds import TargetSpec, World

Rival = type[Uniform] | type[RoundRobin] | type[LeastConnections] | type[PeakEwma]
RIVALS: list[Rival] = [Uniform, RoundRobin, LeastConnections, PeakEwma]


def simulation(targets: int = 5, routers: int = 2) -> Simulation:
    """A world without requests, to ask policies in."""
    queue = EventQueue()
    none = Requests(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0))
    world = World("fifo", 0.7, (TargetSpec("queueing", 3, 1.0),) * targets, none, routers=routers)
    return Simulation(queue, world, [VirtualTarget(queue, Queueing(queue, 3), Random(1)) for _ in range(targets)], Random(4))


def draws(choose: Callable[[], int], n: int = 400) -> set[int]:
    """Everything that is ever chosen."""
    return {choose() for _ in range(n)}


@pytest.mark.parametrize("rival", RIVALS)
def test_rivals_avoid_what_was_tried_and_what_is_excluded(rival: Rival) -> None:
    """The tried are never chosen; the excluded only when nothing else is left."""
    sim = simulation()
    chooser = rival(sim)
    assert draws(lambda: chooser.choose(0, ())) == {0, 1, 2, 3, 4}
    assert draws(lambda: chooser.choose(0, (1, 3))) == {0, 2, 4}
    assert draws(lambda: chooser.choose(0, (0, 1, 2, 4))) == {3}
    sim.excluded.update({0, 2})
    assert draws(lambda: chooser.choose(0, (1,))) == {3, 4}
    sim.excluded.update({3, 4})
    assert draws(lambda: chooser.choose(0, (1,))) == {0, 2, 3, 4}


def test_round_robin_goes_round() -> None:
    """Each router takes every target once before any twice, and the routers do not all begin alike."""
    sim = simulation(targets=20, routers=16)
    chooser = RoundRobin(sim)
    rounds = [[chooser.choose(router, ()) for _ in range(20)] for router in range(16)]
    assert all(sorted(taken) == list(range(20)) for taken in rounds)
    assert len({taken[0] for taken in rounds}) > 5


def test_least_connections_takes_the_fewest_of_its_own() -> None:
    """Only the router's own open calls count; equals are drawn uniformly."""
    chooser = LeastConnections(simulation())
    for target in (0, 1, 1, 4):
        chooser.started(0, target)
    assert draws(lambda: chooser.choose(0, ())) == {2, 3}
    assert draws(lambda: chooser.choose(0, (2, 3))) == {0, 4}
    assert draws(lambda: chooser.choose(1, ())) == {0, 1, 2, 3, 4}
    handle = chooser.started(0, 2)
    assert draws(lambda: chooser.choose(0, ())) == {3}
    chooser.finished(handle, 5.0, "error")
    assert draws(lambda: chooser.choose(0, ())) == {2, 3}


def test_peak_ewma_jumps_up_and_decays_down() -> None:
    """One slow answer counts at once and in full; faster ones win it back with the time that passes, and failures teach nothing."""
    sim = simulation(targets=2, routers=1)
    chooser = PeakEwma(sim)

    def answer(target: int, duration_ms: float) -> None:
        chooser.finished(chooser.started(0, target), duration_ms, "ok")

    answer(0, 100.0)
    answer(1, 200.0)
    assert chooser.choose(0, ()) == 0
    answer(0, 500.0)
    assert chooser.choose(0, ()) == 1
    sim.queue.advance_to(5_000.0)
    answer(0, 100.0)
    assert chooser.choose(0, ()) == 1
    sim.queue.advance_to(25_000.0)
    chooser.finished(chooser.started(0, 0), 1.0, "error")
    assert chooser.choose(0, ()) == 1
    answer(0, 100.0)
    assert chooser.choose(0, ()) == 0


def test_peak_ewma_multiplies_by_what_is_in_flight() -> None:
    """Twice as fast is worth one call in flight; an unknown target is tried once, not flooded."""
    chooser = PeakEwma(simulation(targets=2, routers=1))
    assert draws(lambda: chooser.choose(0, ())) == {0, 1}
    handle = chooser.started(0, 0)
    assert draws(lambda: chooser.choose(0, ())) == {1}
    chooser.finished(handle, 100.0, "ok")
    chooser.finished(chooser.started(0, 1), 250.0, "ok")
    chooser.started(0, 0)
    assert draws(lambda: chooser.choose(0, ())) == {0}
    chooser.started(0, 0)
    assert draws(lambda: chooser.choose(0, ())) == {1}
