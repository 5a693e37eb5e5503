"""Capacity and recommendations of a service from what its leader knows: some seconds of simulation, to be run off the leader's loop.

A pure function of plain data: equal inputs give equal plans. What is open, drained or has weight 0 serves nobody, and counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from routecast.analytics.capacity.capacity import LEAST_REQUESTS, Evidence, estimate_of, refusal
from routecast.analytics.capacity.capacity_rows import ArrivalRows, TargetRows, evidence_of_rows
from routecast.analytics.capacity.fresh_plan import Rule
from routecast.analytics.capacity.what_if import Present
from routecast.analytics.recommendations.proposal import Situation
from routecast.analytics.recommendations.recommend import recommend
from routecast.analytics.recommendations.relief import limit_per_s
from routecast.models.capacity import Capacity
from routecast.models.insights import Recommendations
from routecast.models.planning import PlannedTarget, PlanningInput
from routecast.models.rows import KEPT_MS

REQUESTS: Final = 4_000
"""Newest arrivals that are played."""
_RULES: Final[Mapping[str, Rule]] = {
    "performance": "performance", "learned": "performance", "auto": "performance", "weighted": "weighted", "configured": "configured",
    "round_robin": "configured", "random": "configured", "least_connections": "least_connections",
}  # fmt: skip
"""How the simulator chooses under each policy; the others cannot be simulated."""
_OUT: Final = frozenset({"open", "drained"})
_SOON = 1.02
_MINUTE_MS = 60_000.0


class Plan(NamedTuple):
    """What is published of a service."""

    capacity: Capacity
    recommendations: Recommendations


def simulated(planning: PlanningInput) -> bool:
    """Whether there is enough to simulate; without, a plan takes no time."""
    return sum(planning.arrived) >= LEAST_REQUESTS


def plan(planning: PlanningInput) -> Plan:
    """The capacity of a service, and what should be done about it; without enough evidence a record that says what is missing, and nothing."""
    serving = [target for target in planning.targets if target.state not in _OUT and target.weight > 0]
    rows = ArrivalRows(np.array(planning.slot_ms, np.int64), np.array(planning.arrived, np.int64))
    evidence = evidence_of_rows([_rows_of(target) for target in serving], rows, requests=REQUESTS)
    if isinstance(evidence, str):
        per_min = sum(planning.arrived) / (KEPT_MS / _MINUTE_MS)
        capacity = refusal(planning.service, planning.at_ms, planning.limit_ms, per_min, evidence)
        return Plan(_with_days(capacity, planning), Recommendations(service=planning.service, at_ms=planning.at_ms, recommendations=()))
    weights = {target.id: target.weight for target in serving}
    fits = tuple(replace(fit, weight=1.0 if planning.policy == "random" else weights[fit.target]) for fit in evidence.fits)
    evidence = evidence._replace(fits=fits)
    capacity = _with_days(estimate_of(evidence, service=planning.service, at_ms=planning.at_ms, limit_ms=planning.limit_ms), planning)
    return Plan(capacity, _recommendations(planning, serving, evidence, capacity))


def _recommendations(planning: PlanningInput, serving: list[PlannedTarget], evidence: Evidence, capacity: Capacity) -> Recommendations:
    rule, known = _RULES.get(planning.policy), {fit.target for fit in evidence.fits}
    if rule is None:
        return Recommendations(service=planning.service, at_ms=planning.at_ms, recommendations=())
    situation = Situation(planning, [target for target in serving if target.id in known], capacity)
    usd, quality = (
        {target.id: value for target, value in zip(serving, values, strict=True)} for values in zip(*((t.usd, t.quality) for t in serving), strict=True)
    )
    arrivals = evidence.arrivals._replace(input_tokens=np.ones(len(evidence.arrivals.at_ms)))  # a request is one unit of what has a price
    now, soon = (
        Present(evidence.fits, arrivals, load=load, rule=rule, prices=lambda name: (usd[name], 0.0), qualities=quality.__getitem__)
        for load in (1.0, _soon(evidence))
    )
    return recommend(situation, now, now if _soon(evidence) == 1.0 else soon)


def _soon(evidence: Evidence) -> float:
    """The load as far ahead as its trend is drawn on, by that of now; 1 where it hardly grows."""
    trend = evidence.trend
    load = (trend.now_per_min + max(0.0, trend.per_min2) * trend.ahead_min) / evidence.arrivals.per_min
    return load if load >= _SOON else 1.0


def _rows_of(target: PlannedTarget) -> TargetRows:
    return TargetRows(
        target.id, target.capacity, target.elastic, target.service_s, target.sigma, target.n, target.fail_ratio, target.fail_s, limit_per_s(target)
    )  # fmt: skip


def _with_days(capacity: Capacity, planning: PlanningInput) -> Capacity:
    hours = {target.id: target.hours_left for target in planning.targets}
    return capacity.model_copy(update={"targets": tuple(row.model_copy(update={"limit_in_hours": hours.get(row.target)}) for row in capacity.targets)})
