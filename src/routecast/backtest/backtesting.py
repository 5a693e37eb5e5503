"""Backtests: recorded or trace-driven requests under several policies, run by run, and what follows from all runs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from functools import partial
from typing import NamedTuple

from routecast.analytics.alerts.rules import rules_of
from routecast.analytics.backtest.incidents import failovers, incidents_of, judged, mean_failover_s, raised
from routecast.analytics.backtest.metrics import figures, figures_of, shares_of
from routecast.analytics.backtest.noticed import noticed
from routecast.analytics.backtest.play import PerfectState, Stage, play
from routecast.analytics.backtest.scene import Scene
from routecast.analytics.backtest.series import Track, series, track
from routecast.analytics.backtest.verdict import Runs
from routecast.analytics.simulation.references import best_cost, orc_cost
from routecast.backtest.fleet import Candidate, FleetPolicy
from routecast.models.backtest import Failover, Incident, Noticed, PolicyAnswer, StateSpan, Worst
from routecast.models.insights import Alert
from routecast.processes import processes

Told = Callable[[float], object]
"""Told how much is done, 0..1."""
_REFERENCES = {"orc": orc_cost, "best": best_cost}
_IN_PROCESS = 30_000
"""Requests in all up to which other processes are not worth their start."""


class Run(NamedTuple):
    """One policy in one scene."""

    figures: dict[str, float]
    shares: dict[str, float]
    failovers: tuple[Failover, ...]
    alerts: tuple[Alert, ...]
    states: tuple[StateSpan, ...]
    track: Track
    noticed: tuple[Noticed, ...]
    worst: tuple[Worst, ...]


class Outcome(NamedTuple):
    """All policies in all scenes."""

    policies: tuple[PolicyAnswer, ...]
    runs: Runs
    noticed: tuple[Noticed, ...]
    worst: tuple[Worst, ...]
    incidents: tuple[Incident, ...]


def run_all(
    scenes: Sequence[Scene], candidates: Sequence[Candidate], labels: Sequence[Incident] | None = None, *, jobs: int | None = None, tell: Told = lambda _: None
) -> Outcome:
    """Every candidate in every scene, and both references; equal arguments give equal outcomes, however many processes share the work.

    Args:
        scenes: one a seed, of the same requests.
        candidates: the policies; the first one is explained.
        labels: incidents by which alerts are judged; None: the spells of the first scene.
        jobs: processes; None: one for each core, where the work is worth it.
        tell: progress.
    """
    incidents = tuple(labels) if labels is not None else incidents_of(scenes[0])
    work = {
        (candidate.name, i): partial(run_one, scene.of([target.id for target in candidate.config.target]), candidate, incidents, explain=not i and not number)
        for number, candidate in enumerate(candidates)
        for i, scene in enumerate(scenes)
    }
    references = {(name, i): partial(_reference, scene, name) for name in _REFERENCES for i, scene in enumerate(scenes)}
    small = len(scenes[0].requests) * len(work) <= _IN_PROCESS
    found, perfect = _done(work, references, 1 if small and jobs is None else jobs or os.cpu_count() or 1, tell)
    least = [min(perfect[name, i] for name in _REFERENCES) for i in range(len(scenes))]
    by_name = {candidate.name: [found[candidate.name, i] for i in range(len(scenes))] for candidate in candidates}
    runs = {
        name: [run.figures | {"regret_ms": run.figures["time_to_success_ms"] - best} for run, best in zip(mine, least, strict=True)]
        for name, mine in by_name.items()
    }
    answers = tuple(_answer(candidate, by_name[candidate.name], runs[candidate.name], incidents, scenes[0]) for candidate in candidates)
    explained = found[candidates[0].name, 0]
    return Outcome(answers, runs, explained.noticed, explained.worst, incidents)


def _done(
    work: Mapping[tuple[str, int], Callable[[], Run]], references: Mapping[tuple[str, int], Callable[[], float]], jobs: int, tell: Told
) -> tuple[dict[tuple[str, int], Run], dict[tuple[str, int], float]]:
    if jobs == 1:
        found: dict[tuple[str, int], Run] = {}
        for key, run in work.items():
            found[key] = run()
            tell(len(found) / len(work))
        return found, {key: run() for key, run in references.items()}
    with processes(jobs) as pool:
        runs: dict[Future[Run], tuple[str, int]] = {pool.submit(run): key for key, run in work.items()}
        means = {key: pool.submit(run) for key, run in references.items()}
        for done, _ in enumerate(as_completed(runs), 1):
            tell(done / len(runs))
        return {key: run.result() for run, key in runs.items()}, {key: mean.result() for key, mean in means.items()}


def run_one(scene: Scene, candidate: Candidate, incidents: Sequence[Incident], *, explain: bool = False) -> Run:
    """One candidate in one scene: some 150 µs a request and 10 ms a second of virtual time."""
    made: list[FleetPolicy] = []

    def policy(stage: Stage) -> FleetPolicy:
        made.append(FleetPolicy(stage, candidate, explain=explain))
        return made[0]

    def over(request: int, time_ms: float, failed: bool) -> None:  # noqa: FBT001 - an observer of `play`
        if made[0].worst is not None:
            made[0].worst.over(request, time_ms, failed)

    played = play(scene, policy, attempts=candidate.config.routing_for(scene.service).call.attempts, observe=over)
    fleet = made[0]
    left = failovers(played)
    out_s, back_s = mean_failover_s(left)
    precision, recall = judged(fleet.alerts, incidents)
    found = figures_of(played) | {"failover_s": out_s, "failback_s": back_s, "alert_precision": precision, "alert_recall": recall}
    worst = tuple(fleet.worst.worst()) if fleet.worst is not None else ()
    named = noticed(played, fleet.alerts, incidents, rules_of(candidate.config)) if explain else ()
    return Run(found, shares_of(played), left, fleet.alerts, fleet.states.spans(), track(played), named, worst)


def _reference(scene: Scene, name: str) -> float:
    played = play(scene, lambda stage: PerfectState(stage, _REFERENCES[name]))
    return float(played.to_success_ms[scene.first :].mean())


def _answer(candidate: Candidate, runs: Sequence[Run], values: Sequence[Mapping[str, float]], incidents: Sequence[Incident], scene: Scene) -> PolicyAnswer:
    first = runs[0]
    policy = candidate.policy or candidate.config.routing_for(scene.service).policy
    return PolicyAnswer(
        name=candidate.name, policy=policy, configuration=candidate.config.version, figures=figures(values), shares=_mean_shares(runs),
        failovers=first.failovers, alerts=raised(first.alerts, incidents, scene.requests.start_ms), states=first.states,
        series=series([run.track for run in runs]),
    )  # fmt: skip


def _mean_shares(runs: Sequence[Run]) -> dict[str, float]:
    return {target: math.fsum(run.shares[target] for run in runs) / len(runs) for target in runs[0].shares}
