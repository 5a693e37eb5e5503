"""Runs: retries, counting, conservation and determinism."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from routecast.analytics.simulation.arrivals import Requests
from routecast.analytics.simulation.references import orc
from routecast.analytics.simulation.rivals import Attempt, LeastConnections, PeakEwma
from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.trial import FAILURE_COST_S, Result, Simulation, run, virtual_target
from routecast.analytics.simulation.virtual_target import Condition, VirtualTarget
from routecast.analytics.simulation.worlds import MEAN_TO_MEDIAN, Change, TargetSpec, Trouble, World, WorldName, build
from routecast.models.events import Outcome


def small_world(at_s: list[float], *, changes: tuple[Change, ...] = (), targets: int = 4, trouble: Trouble | None = None) -> World:
    """Elastic targets of one second each, requests of demand 1 at router 0, no warm-up."""
    n = len(at_s)
    requests = Requests(np.array(at_s) * 1000.0, np.zeros(n, dtype=np.int64), np.ones(n))
    specs = (TargetSpec("elastic", 3, 1.0 / MEAN_TO_MEDIAN),) * targets
    return World("fifo", 0.1, specs, requests, changes, trouble, routers=1, warmup_ms=0.0)


class InTurn:
    """Always the first untried target; notes what it is told."""

    def __init__(self, simulation: Simulation) -> None:
        self.told: list[tuple[int, float, Outcome]] = []
        self.open: set[int] = set()
        self._n = len(simulation.targets)
        self._calls = 0

    def choose(self, router: int, tried: Collection[int]) -> int:
        """The first in order."""
        del router
        assert len(set(tried)) == len(tried)
        return next(target for target in range(self._n) if target not in tried)

    def started(self, router: int, target: int) -> int:
        """Number the calls from 1."""
        del router
        self._calls += 1
        self.open.add(self._calls)
        self.told.append((target, -1.0, "cancelled"))
        return self._calls

    def finished(self, handle: int, duration_ms: float, outcome: Outcome) -> None:
        """Note the end of a call that is open."""
        self.open.remove(handle)
        self.told[handle - 1] = (self.told[handle - 1][0], duration_ms, outcome)


def run_in_turn(world: World) -> tuple[Result, InTurn]:
    """A run and the policy it was made with."""
    made: list[InTurn] = []

    def policy(simulation: Simulation) -> InTurn:
        made.append(InTurn(simulation))
        return made[0]

    return run(world, policy), made[0]


def failing(*targets: int) -> tuple[Change, ...]:
    """All calls to these targets fail from the start."""
    return tuple(Change(0.0, target, Condition(fail_ratio=1.0)) for target in targets)


def test_a_request_takes_its_work() -> None:
    """Without trouble the time to success is the demand times the target's mean service time."""
    result, chooser = run_in_turn(small_world([0.0, 0.5]))
    assert result.times_s.tolist() == pytest.approx([1.0, 1.0])
    assert result.ended_s.tolist() == pytest.approx([1.0, 1.5])
    assert result.attempts.tolist() == [2, 0, 0, 0]
    assert [(target, outcome) for target, _, outcome in chooser.told] == [(0, "ok"), (0, "ok")]


def test_a_retry_is_immediate_and_goes_elsewhere() -> None:
    """A failed attempt is followed at once by one to an untried target, and the time counts from arrival."""
    result, chooser = run_in_turn(small_world([2.0], changes=failing(0, 1)))
    assert result.times_s.tolist() == pytest.approx([1.0])
    assert chooser.told == [(0, 0.0, "error"), (1, 0.0, "error"), (2, pytest.approx(1000.0), "ok")]
    assert (result.failed_attempts, result.failed_requests) == (2, 0)


def test_the_third_failure_ends_a_request_and_costs_30_s() -> None:
    """There is no fourth attempt; the request counts with its time and the cost of a failure."""
    result, chooser = run_in_turn(small_world([2.0], changes=failing(0, 1, 2)))
    assert result.times_s.tolist() == [FAILURE_COST_S] == [30.0]
    assert [target for target, _, _ in chooser.told] == [0, 1, 2]
    assert (result.failed_attempts, result.failed_requests) == (3, 1)


def test_timeouts_are_attempts_that_failed() -> None:
    """A hanging target costs the deadline, then the next one answers in its own time."""
    world = replace(small_world([0.0], changes=(Change(0.0, 0, Condition(hangs=True)),)), deadline_ms=30_000.0)
    result, chooser = run_in_turn(world)
    assert result.times_s.tolist() == pytest.approx([31.0])
    assert chooser.told == [(0, 30_000.0, "timeout"), (1, pytest.approx(1000.0), "ok")]


def test_attempts_into_trouble_are_counted_while_it_lasts() -> None:
    """Only attempts that begin in the bad time count, in the bad target and in all."""
    changes = (Change(1000.0, 0, Condition(fail_ratio=1.0)), Change(3000.0, 0, Condition()))
    result, _ = run_in_turn(small_world([0.5, 1.5, 2.5, 3.5], changes=changes, trouble=Trouble(0, 1000.0, 3000.0)))
    assert (result.into_trouble, result.during_trouble) == (2, 4)
    assert result.trouble_share == 0.5
    assert np.isnan(run_in_turn(small_world([0.0]))[0].trouble_share)


def test_refusals_are_counted_apart() -> None:
    """What exceeds a target's limit is refused, and served by another target."""
    world = small_world([0.0] * 12)
    world = replace(world, targets=(replace(world.targets[0], requests_per_s=1.0), *world.targets[1:]))
    result, _ = run_in_turn(world)
    assert result.attempts.tolist() == [12, 2, 0, 0]
    assert (result.rate_limited, result.failed_attempts, result.failed_requests) == (2, 2, 0)
    assert result.rate_limited_ratio == 2 / 14
    assert result.largest_share == 12 / 14


def test_the_warm_up_is_left_out() -> None:
    """Requests that arrive during the warm-up are served and not counted, whenever they end."""
    result, chooser = run_in_turn(replace(small_world([0.0, 0.9, 1.0]), warmup_ms=1000.0))
    assert len(chooser.told) == 3
    assert len(result.times_s) == 1
    assert result.attempts.tolist() == [1, 0, 0, 0]


@pytest.mark.untraced
def test_the_clock_may_begin_anywhere() -> None:
    """Beginning at an epoch changes neither times nor what is counted as trouble."""
    world = build("slowrec", seed=1).until(170.0)
    zero, epoch = run(world, orc, seed=1), run(world, orc, seed=1, start_ms=1_700_000_000_000.0)
    assert epoch.times_s == pytest.approx(zero.times_s, abs=1e-4)
    assert (epoch.into_trouble, epoch.during_trouble) == (zero.into_trouble, zero.during_trouble)


def test_targets_may_be_of_another_make() -> None:
    """A world's targets can be built by the caller, who is told the clock, the world and which one it is."""

    def make(queue: EventQueue, world: World, number: int, random: Random) -> VirtualTarget:
        target = virtual_target(queue, world, number, random)
        target.condition = Condition(slowdown=number + 2.0)
        return target

    result = run(small_world([0.0], changes=failing(0)), InTurn, make=make)
    assert result.times_s.tolist() == pytest.approx([3.0])


def test_summaries_are_those_of_the_times() -> None:
    """Mean, quantiles and the mean of what ended by a moment come from the same times."""
    result = replace(run_in_turn(small_world([0.0]))[0], times_s=np.array([1.0, 2.0, 3.0, 10.0]), ended_s=np.array([1.0, 9.0, 2.0, 20.0]))
    assert result.mean_s == 4.0
    assert result.quantile_s(0.5) == 2.5
    assert result.mean_until_s(9.0) == 2.0


class Counted:
    """A policy whose attempts are told apart, so that an end without a start, or a second one, is noticed."""

    def __init__(self, policy: type[LeastConnections | PeakEwma], simulation: Simulation) -> None:
        self.targets = simulation.targets
        self.open: dict[int, Attempt] = {}
        self.ended = 0
        self._policy = policy(simulation)
        self.choose = self._policy.choose

    def started(self, router: int, target: int) -> int:
        """Number the calls."""
        handle = self.ended + len(self.open)
        self.open[handle] = self._policy.started(router, target)
        return handle

    def finished(self, handle: int, duration_ms: float, outcome: Outcome) -> None:
        """Close a call that is open."""
        self._policy.finished(self.open.pop(handle), duration_ms, outcome)
        self.ended += 1


@pytest.mark.parametrize("name", ["fifo", "ps", "mixed", "hang", "partial", "slowrec", "drift"])
@pytest.mark.parametrize("policy", [LeastConnections, PeakEwma])
@pytest.mark.untraced
def test_every_request_ends_once(name: WorldName, policy: type[LeastConnections | PeakEwma]) -> None:
    """After a run each request was counted once, each attempt was reported to the policy once and no target holds a call."""
    counted: list[Counted] = []

    def make(simulation: Simulation) -> Counted:
        counted.append(Counted(policy, simulation))
        return counted[0]

    world = replace(build(name, seed=2), warmup_ms=0.0).until(170.0)
    result = run(world, make, seed=5)
    assert len(result.times_s) == len(world.requests)
    assert counted[0].ended == result.attempts.sum() == len(world.requests) + result.failed_attempts - result.failed_requests
    assert counted[0].open == {}
    assert [target.server.in_flight for target in counted[0].targets] == [0] * 20


@pytest.mark.parametrize("name", ["fifo", "ps", "partial", "mixed"])
@pytest.mark.untraced
def test_runs_repeat_exactly(name: WorldName) -> None:
    """The same world, policy and seed give the same times; another seed gives others."""
    world = build(name, seed=2).until(100.0)
    one, same, other = (run(world, PeakEwma, seed=seed) for seed in (1, 1, 2))
    assert one.times_s.tolist() == same.times_s.tolist()
    assert one.attempts.tolist() == same.attempts.tolist()
    assert one.times_s.tolist() != other.times_s.tolist()
