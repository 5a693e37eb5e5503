"""Rate limits: refusals (429) that a fleet meets in the recorded storm and in the world of limited targets, each beside its target."""

from __future__ import annotations

import statistics
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, NamedTuple

import core
from fleet_chooser import FleetChooser
from study_worlds import START_MS

from routecast.analytics.simulation.recorded import RecordedTarget
from routecast.analytics.simulation.references import orc
from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.trial import Chooser, Simulation, run
from routecast.analytics.simulation.worlds import World, build
from routecast.demo.comparison import FleetPolicy
from routecast.demo.demonstration import STORM, scene
from routecast.models.events import Outcome

SETTLED_MS = 5_000.0
"""After the first refusal, the time until the fleet must have learnt."""
AT_MOST = 0.001
"""Largest share of requests that may meet a refusal then."""


class Storm(NamedTuple):
    """What a fleet of sixteen routers met of the recorded storm."""

    refused: int
    refused_settled: int
    """From 5 s after the first one until the end of the storm."""
    requests_settled: int
    """Attempts of that time, into any target."""


class _Watched:
    """A policy whose attempts and refusals are noted with their times."""

    def __init__(self, inner: Chooser[Any], queue: EventQueue) -> None:
        self._inner = inner
        self._queue = queue
        self.started_ms: list[float] = []
        self.refused_ms: list[float] = []

    def choose(self, router: int, tried: Collection[int]) -> int:
        return self._inner.choose(router, tried)

    def started(self, router: int, target: int) -> object:
        self.started_ms.append(self._queue.now_ms)
        return self._inner.started(router, target)

    def finished(self, handle: object, duration_ms: float, outcome: Outcome) -> None:
        if outcome == "rate_limited":
            self.refused_ms.append(self._queue.now_ms)
        self._inner.finished(handle, duration_ms, outcome)


def storm(seed: int, duration_s: float = 600.0, retry_after_s: float | None = None) -> Storm:
    """The demonstration without its other troubles; `retry_after_s` is what refusals say, None: the truth."""
    stage, made = scene(seed, duration_s), list[_Watched]()

    def build_policy(simulation: Simulation) -> Chooser[Any]:
        made.append(_Watched(FleetPolicy(simulation, stage, "performance", seed, None, []).routed, simulation.queue))
        return made[0]

    def make(queue: EventQueue, world: World, number: int, random: Random) -> RecordedTarget:
        target = stage.make(queue, world, number, random)
        if target.storm is not None:
            target.storm = replace(target.storm, retry_after_s=retry_after_s)
        return target

    calm = replace(stage.world, changes=(), trouble=None).until(STORM.ends * duration_s)
    run(calm, build_policy, seed=seed, start_ms=START_MS, make=make)
    refused, end_ms = made[0].refused_ms, START_MS + STORM.ends * duration_s * 1000.0
    settled_ms = refused[0] + SETTLED_MS if refused else end_ms
    return Storm(len(refused), *(sum(settled_ms <= at_ms < end_ms for at_ms in times) for times in (refused, made[0].started_ms)))


class Mixed(NamedTuple):
    """The world whose elastic targets refuse what exceeds their nominal capacity."""

    to_orc: float
    refused_ratio: float


def mixed(seed: int, period_s: float, until_s: float = 400.0) -> Mixed:
    """Mean time to success ÷ ORC, which sees the limits, and the share of attempts that were refused."""
    world = build("mixed", seed=seed).until(until_s)
    yardstick = run(world, orc, seed=seed, start_ms=START_MS)
    ours = run(world, partial(FleetChooser, period_ms=period_s * 1000.0), seed=seed, start_ms=START_MS)
    return Mixed(ours.mean_s / yardstick.mean_s, ours.rate_limited_ratio)


def rows(storms: int = 5, worlds: int = 3) -> list[core.Row]:
    """So many seeds of each; ten minutes on two cores."""
    found: list[core.Row] = []
    for label, retry_after_s, target in (("told the truth", None, f"≤ {AT_MOST:.1%}"), ("told 20 s", 20.0, ""), ("told 1 s", 1.0, "")):
        met = [storm(seed, retry_after_s=retry_after_s) for seed in range(storms)]
        refused, requests = (sum(getattr(it, name) for it in met) for name in ("refused_settled", "requests_settled"))
        value = f"{refused / requests:.2%} ({refused} of {requests:,}; {sum(it.refused for it in met)} in all)"
        found.append(core.Row(f"429 storm, 16 routers, from 5 s after the first, {label}", value, target))
    for period_s in (1.0, 5.0):
        runs = [mixed(seed, period_s) for seed in range(worlds)]
        to_orc, refused_ratio = (statistics.fmean(getattr(it, name) for it in runs) for name in ("to_orc", "refused_ratio"))
        spread = f"{min(it.to_orc for it in runs):.2f} to {max(it.to_orc for it in runs):.2f}"
        found.append(core.Row(f"`mixed`, snapshots every {period_s:g} s, mean ÷ ORC", f"{to_orc:.2f} ({spread})", "≤ 1.00"))
        found.append(core.Row(f"`mixed`, snapshots every {period_s:g} s, refused", f"{refused_ratio:.4%} of attempts", f"≤ {AT_MOST:.1%}"))
    return found
