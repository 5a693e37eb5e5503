"""Policies on the same requests: runs, intervals, checks of the pipeline's counts against the truth, decisions explained."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.simulation.references import best, orc
from routecast.analytics.simulation.trial import Result, Simulation, run
from routecast.demo.demonstration import OUTAGE, ROUTERS, SLOWDOWN, Scene, scene
from routecast.demo.noticed import LOOK_MS, Journal
from routecast.models.details import Details
from routecast.models.report import CountCheck, DemoReport, Estimate, Explained, Noticed, PolicyRow
from routecast.models.requirements import Requirements
from routecast.processes import processes
from routecast.routed import Moment, RouterPolicy
from routecast.testing import Fleet

POLICIES = ("performance", "weighted", "least_connections", "round_robin", "greedy", "random")
START_MS = 1_700_000_000_000.0
WATCH_MS = 5_000.0
"""How often a watcher is called, virtual time."""
_SETTLE_MS = 13_000.0
_BLOCKS = 20
_RESAMPLES = 200
_OUTCOMES = ("ok", "error", "timeout", "rate_limited", "cancelled", "caller_fault", "lost", "late")
_MOMENTS = (
    ("while all is well", 0.22),
    ("during the outage", (OUTAGE.begins + OUTAGE.ends) / 2),
    ("during the slow-down", (SLOWDOWN.begins + SLOWDOWN.ends) / 2),
)
"""When decisions of the demonstration are explained, in shares of the run."""

Watcher = Callable[[Fleet, float], object]
"""Called with the fleet and the virtual seconds since the start."""


class FleetPolicy:
    """A fleet in virtual time whose routers are the policy of a trial, on the clock of the trial."""

    def __init__(self, simulation: Simulation, scene: Scene, policy: str, seed: int, watcher: Watcher | None, moments: Sequence[Moment]) -> None:
        self._queue = simulation.queue
        self._watcher = watcher
        self.fleet = Fleet(scene.config(), routers=ROUTERS, seed=seed, policy=policy, queue=simulation.queue)
        names = [target.id for target in self.fleet.config.target]
        self.journal = Journal(START_MS, scene.duration_s)
        self._queue.after(LOOK_MS, self._look)
        if watcher is not None:
            self._queue.after(WATCH_MS, self._watch)
        self.routed = RouterPolicy(simulation, names, self.fleet.router, moments)

    @property
    def truth(self) -> Counter[tuple[str, str]]:
        """Attempts by target and outcome."""
        return self.routed.truth

    def settle(self) -> Details | None:
        """Let everything arrive; the newest details."""
        self.fleet.advance_to(self.fleet.now_ms + _SETTLE_MS)
        return self.fleet.details()

    def _look(self) -> None:
        self._queue.after(LOOK_MS, self._look)
        self.journal.look(self.fleet)

    def _watch(self) -> None:
        self._queue.after(WATCH_MS, self._watch)
        if self._watcher is not None:
            self._watcher(self.fleet, (self._queue.now_ms - START_MS) / 1000.0)


def moments(duration_s: float) -> list[Moment]:
    """When decisions of a demonstration are explained."""
    return [Moment(when, share * duration_s) for when, share in _MOMENTS]


class _Outcome(NamedTuple):
    result: Result
    checks: list[CountCheck]
    explained: list[Explained]
    journal: tuple[tuple[Noticed, ...], tuple[str, ...]]


def compare(seed: int, duration_s: float, policies: Sequence[str] = POLICIES, watcher: Watcher | None = None) -> DemoReport:
    """Run every policy, and both references, on the same requests.

    The first policy runs in this process, where `watcher` sees it at work; the others meanwhile in processes of their own. Equal
    arguments give equal reports.
    """
    stage = scene(seed, duration_s)
    with processes(min(len(policies), os.cpu_count() or 2)) as pool:
        others = [pool.submit(_play, seed, duration_s, policy) for policy in policies[1:]]
        orc_mean_s, best_mean_s = (run(stage.world, rule, seed=seed, start_ms=START_MS, make=stage.make).mean_s for rule in (orc, best))
        outcomes = [
            _play(seed, duration_s, policies[0], watcher, moments(duration_s)),
            *(other.result() for other in others),
        ]
    return DemoReport(
        seed=seed, duration_s=duration_s, routers=ROUTERS, requests=len(stage.world.requests), load=stage.world.load, compression=stage.compression,
        targets=stage.described(),
        policies=tuple(policy_row(policy, it.result, orc_mean_s, best_mean_s) for policy, it in zip(policies, outcomes, strict=True)),
        decisions=tuple(outcomes[0].explained), noticed=outcomes[0].journal[0], elsewhere=outcomes[0].journal[1],
        checks=tuple(check for it in outcomes for check in it.checks),
    )  # fmt: skip


def explain_at(seed: int, duration_s: float, at_s: float, requirements: Requirements | None) -> Explained:
    """The decision that a router of the demonstration would make at `at_s` (virtual seconds, within the run), explained."""
    stage, made = scene(seed, duration_s), list[FleetPolicy]()

    def build(simulation: Simulation) -> RouterPolicy:
        made.append(FleetPolicy(simulation, stage, POLICIES[0], seed, None, [Moment("when asked", at_s, requirements)]))
        return made[0].routed

    run(stage.world.until(at_s + 1.0), build, seed=seed, start_ms=START_MS, make=stage.make)
    return made[0].routed.explained[0]


def _play(seed: int, duration_s: float, policy: str, watcher: Watcher | None = None, moments: Sequence[Moment] = ()) -> _Outcome:
    stage, made = scene(seed, duration_s), list[FleetPolicy]()

    def build(simulation: Simulation) -> RouterPolicy:
        made.append(FleetPolicy(simulation, stage, policy, seed, watcher, moments))
        return made[0].routed

    result = run(stage.world, build, seed=seed, start_ms=START_MS, make=stage.make)
    checks, journal = _checks(policy, made[0]), made[0].journal
    return _Outcome(result, checks, made[0].routed.explained, (journal.noticed(), journal.elsewhere()))


def _checks(policy: str, made: FleetPolicy) -> list[CountCheck]:
    details = made.settle()
    return count_checks(policy, counted(details), made.truth, details.system.in_flight if details is not None else -1)


def counted(details: Details | None) -> Counter[tuple[str, str]]:
    """What the pipeline counted, by target and outcome."""
    counts: Counter[tuple[str, str]] = Counter()
    for target in details.targets if details is not None else ():
        counts.update({(target.id, outcome): n for outcome, n in target.outcomes_total.model_dump().items() if n})
    return counts


def count_checks(label: str, counted: Counter[tuple[str, str]], truth: Counter[tuple[str, str]], in_flight: int) -> list[CountCheck]:
    """The pipeline's counts beside the truth: per outcome, how many targets' counts differ, and what is still in flight."""
    wrong = sum(counted[key] != truth[key] for key in counted.keys() | truth.keys() if key[1] in _OUTCOMES)
    return [
        *(CountCheck(what=f"{label}: {outcome}", pipeline=_sum(counted, outcome), truth=_sum(truth, outcome)) for outcome in _OUTCOMES),
        CountCheck(what=f"{label}: counts of single targets that differ", pipeline=wrong, truth=0),
        CountCheck(what=f"{label}: in flight at the end", pipeline=in_flight, truth=0),
    ]


def _sum(counts: Counter[tuple[str, str]], outcome: str) -> int:
    return sum(n for (_, name), n in counts.items() if name == outcome)


def policy_row(policy: str, result: Result, orc_mean_s: float | None = None, best_mean_s: float | None = None) -> PolicyRow:
    """How a policy did, beside the references where they ran."""
    times, failed = result.times_s, result.failed
    return PolicyRow(
        policy=policy,
        mean_s=_estimate(times, np.mean),
        p95_s=_estimate(times, lambda x: np.quantile(x, 0.95)),
        p99_s=_estimate(times, lambda x: np.quantile(x, 0.99)),
        failed_ratio=_estimate(failed.astype(float), np.mean),
        failed_attempts=result.failed_attempts,
        rate_limited=result.rate_limited,
        into_dead=result.into_trouble,
        into_dead_ratio=result.trouble_share,
        largest_share=result.largest_share,
        to_orc=result.mean_s / orc_mean_s if orc_mean_s else None,
        to_best=result.mean_s / best_mean_s if best_mean_s else None,
    )


def _estimate(values: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], np.floating]) -> Estimate:
    """A statistic with its 95 % interval from a bootstrap over twenty stretches of the run, which keeps what belongs together together."""
    blocks = np.array_split(values, _BLOCKS)
    luck = Random(0)
    again = [float(statistic(np.concatenate([blocks[luck.randrange(_BLOCKS)] for _ in range(_BLOCKS)]))) for _ in range(_RESAMPLES)]
    return Estimate(value=float(statistic(values)), low=float(np.quantile(again, 0.025)), high=float(np.quantile(again, 0.975)))
