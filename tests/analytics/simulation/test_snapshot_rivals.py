"""Rules that route by a published table."""

from __future__ import annotations

from functools import partial
from random import Random

import numpy as np
import pytest

from routecast.analytics.simulation.arrivals import Requests
from routecast.analytics.simulation.references import orc
from routecast.analytics.simulation.rivals import LeastConnections
from routecast.analytics.simulation.servers import Queueing
from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.snapshot_rivals import Board, Greedy, Published, WeightedThree
from routecast.analytics.simulation.trial import Simulation, run
from routecast.analytics.simulation.virtual_target import VirtualTarget
from routecast.analytics.simulation.worlds import TargetSpec, World, build


def simulation(targets: int = 3, routers: int = 4) -> Simulation:
    """A world without requests, to ask policies in."""
    queue = EventQueue()
    none = Requests(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0))
    world = World("fifo", 0.7, (TargetSpec("queueing", 3, 1.0),) * targets, none, routers=routers)
    return Simulation(queue, world, [VirtualTarget(queue, Queueing(queue, 3), Random(1)) for _ in range(targets)], Random(4))


def test_the_table_is_that_of_littles_law() -> None:
    """The board publishes mean response time, success and rate × time, as the period ends, and it is read 0.2 s later."""
    sim, tables = simulation(), list[list[Published]]()
    board = Board(sim, 1000.0, tables.append)
    for i in range(300):
        sim.queue.at(10.0 * i, board.ended, 0, 500.0, "ok")
        sim.queue.at(10.0 * i, board.ended, 1, 100.0, "ok" if i % 4 else "error")
    sim.queue.advance_to(1199.0)
    assert tables == []
    sim.queue.advance_to(3200.0)
    assert len(tables) == 3
    steady, partly_failing, idle = tables[-1]
    assert (steady.response_s, steady.success) == pytest.approx((0.5, 1.0))
    assert steady.in_flight == pytest.approx(100.0 * 0.5, rel=0.01)
    assert (partly_failing.response_s, partly_failing.success) == pytest.approx((0.1, 0.75), abs=0.01)
    assert partly_failing.in_flight == pytest.approx(75.0 * 0.1, rel=0.02)
    assert idle == Published(response_s=steady.response_s, success=1.0, in_flight=0.0)


def test_the_board_forgets() -> None:
    """What happened counts e times less after ten seconds, in responses and in the rate."""
    sim, tables = simulation(), list[list[Published]]()
    board = Board(sim, 1000.0, tables.append)
    for target, second in ((0, 0), (0, 10)):
        sim.queue.at(second * 1000.0 + 500.0, board.ended, target, 100.0 + second * 10.0, "ok")
    sim.queue.advance_to(11_200.0)
    old = np.exp(-1.0)
    assert tables[-1][0].response_s == pytest.approx((0.1 * old + 0.2) / (old + 1.0))


def test_greedy_sends_everyone_to_the_best() -> None:
    """After a table all routers take the best score, faster and more reliable before slower and failing; retries go down the ranking."""
    sim = simulation()
    chooser = Greedy(sim, 1000.0)
    for duration_ms, target in ((300.0, 0), (100.0, 1), (200.0, 2)):
        chooser.finished(chooser.started(0, target), duration_ms, "ok")
    sim.queue.advance_to(1200.0)
    assert [chooser.choose(router, ()) for router in range(4)] == [1, 1, 1, 1]
    assert chooser.choose(0, (1,)) == 2
    for _ in range(20):
        chooser.finished(chooser.started(0, 1), 100.0, "error")
    sim.queue.advance_to(2200.0)
    assert chooser.choose(0, ()) == 2


def test_weighted_three_draws_by_the_inverse_square_and_counts_what_is_in_flight() -> None:
    """Faster targets are drawn more often; a router that has more in flight than the table lets it expect turns elsewhere."""
    sim = simulation(targets=2)
    chooser = WeightedThree(sim, 1000.0)
    for duration_ms, target in ((100.0, 0), (300.0, 1)):
        for _ in range(50):
            chooser.finished(chooser.started(0, target), duration_ms, "ok")
    sim.queue.advance_to(1200.0)
    # Target 1 has weight 1/9 of target 0: it is taken when it is drawn thrice, or when target 0 is dearer and it is drawn at all.
    share = sum(chooser.choose(0, ()) for _ in range(20_000)) / 20_000
    assert share == pytest.approx(0.1**3, abs=0.001)
    for _ in range(30):
        chooser.started(0, 0)
    share = sum(chooser.choose(0, ()) for _ in range(20_000)) / 20_000
    assert share == pytest.approx(1.0 - 0.9**3, abs=0.015)
    assert chooser.choose(0, (0,)) == 1


@pytest.mark.parametrize("rival", [Greedy, WeightedThree])
def test_snapshot_rivals_avoid_what_was_tried_and_what_is_excluded(rival: type[Greedy | WeightedThree]) -> None:
    """Before and after the first table, the tried and the excluded are passed over while anything is left."""
    sim = simulation()
    chooser = rival(sim, 1000.0)
    for _ in range(2):
        assert {chooser.choose(0, (1,)) for _ in range(100)} <= {0, 2}
        sim.excluded.add(0)
        assert {chooser.choose(0, (1,)) for _ in range(100)} == {2}
        assert {chooser.choose(0, (1, 2)) for _ in range(100)} == {0}
        sim.excluded.clear()
        chooser.finished(chooser.started(0, 0), 100.0, "ok")
        sim.queue.advance_to(1200.0)


@pytest.mark.untraced
def test_greedy_collapses() -> None:
    """In `fifo` at a period of 5 s the best published score is at least five times slower than ORC."""
    world = build("fifo", seed=1).until(200.0)
    assert run(world, partial(Greedy, period_ms=5000.0)).mean_s >= 5.0 * run(world, orc).mean_s


@pytest.mark.untraced
def test_weighted_three_is_the_rival_to_beat() -> None:
    """In `fifo` it is within 30 % of ORC at 70 and 90 %, whatever the period, where local least connections is not."""
    for load in (0.7, 0.9):
        world = build("fifo", seed=1, load=load).until(250.0)
        yardstick_s = run(world, orc).mean_s
        for period_ms in (1000.0, 15_000.0):
            assert run(world, partial(WeightedThree, period_ms=period_ms)).mean_s < 1.3 * yardstick_s
        assert run(world, LeastConnections).mean_s > 1.5 * yardstick_s
