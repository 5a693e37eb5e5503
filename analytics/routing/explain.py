"""A decision in words and figures, from the candidates it was drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routecast.analytics.balance import in_proportion, least_of_draws
from routecast.analytics.routing.contention import FLOOR, LOAD_NORM, utilisation_behind
from routecast.models.decision import Alternative, Decision, Explanation, Factors
from routecast.models.snapshot import TargetScore

if TYPE_CHECKING:
    from routecast.analytics.routing.candidates import Candidates

_RULES = {
    "performance": "the cheapest of four draws from the planned shares",
    "learned": "the cheapest of four draws from the planned shares, by costs sampled from what is believed of each",
    "weighted": "drawn in proportion to score × weight",
    "least_connections": "fewest open requests of this router per weight",
    "round_robin": "its turn",
    "greedy": "best sum of factors",
    "random": "drawn uniformly",
    "configured": "drawn in proportion to the configured weights",
    "peak_ewma": "the better of two by this router's own measurements, because snapshots stay away",
}
_FORCED = {
    "urgent": "urgent: no exploration",
    "preferred": "preferred by the caller and at most 1.5 times as dear as the best other",
    "unmet": "no target meets the requirements; this is among the least bad",
    "fallback": "no target is healthy; all are used, by cost",
    "panic": "breakers close off more than half of the targets; all are used, by cost",
    "probe": "a probe: a breaker waits for the answer",
    "stale": "the snapshot is too old to be used",
}


def explain(candidates: Candidates, decision: Decision) -> Explanation:
    """The long form of a decision made from these candidates."""
    view, index = candidates.view, candidates.table.index[decision.position]
    entry, fitness = view.entries[index], candidates.fitness[index]
    cost = decision.costs[decision.position]
    power = candidates.routing.factor_weights.current_load / LOAD_NORM
    term = (cost / candidates.table.costs[decision.position]) ** (1.0 / power) if power > 0 else FLOOR
    return Explanation(
        target=decision.target,
        provider=decision.provider,
        model=decision.model,
        service=decision.service,
        region=decision.region,
        policy=decision.policy,
        snapshot=decision.snapshot,
        propensity=decision.propensity,
        score=entry.score,
        cost_s=cost,
        response_time_ms=entry.time_s * 1000 * max(1.0, utilisation_behind(term)),
        reliability=entry.success,
        quality=decision.quality,
        factors=Factors(current_load=_free(entry, term), history=_unit(entry.history), real_time=_unit(entry.real_time), requirements=_unit(fitness.factor)),
        reason=_reason(decision, cost),
        load_impact=f"{entry.in_flight:.0f} in flight of about {entry.capacity:.0f} it serves at once; one more is {1 / entry.capacity:.1%} of that",
        unmet=(*fitness.unmet, *(f"{name} not known yet" for name in fitness.unknown)),
        alternatives=_alternatives(candidates, decision),
    )


def _reason(decision: Decision, cost: float) -> str:
    rule = _RULES.get(decision.policy, decision.policy)
    cheaper = sum(other < cost for other in decision.costs)
    place = "the cheapest" if not cheaper else f"number {cheaper + 1} by cost"
    words = f"{rule}; {place} of {len(decision.costs)} candidates at an expected {cost:.2f} s"
    forced = _FORCED.get(decision.forced, "")
    return f"{words} ({forced})" if forced else words


def _alternatives(candidates: Candidates, decision: Decision) -> tuple[Alternative, ...]:
    from routecast.analytics.routing.candidates import why_not  # noqa: PLC0415 - candidates imports nothing of this at load time

    view, table = candidates.view, candidates.table
    place = {index: position for position, index in enumerate(table.index)}
    chosen_cost = decision.costs[decision.position]
    all_new = all(view.entries[i].newcomer for i in table.index)
    found: list[Alternative] = []
    for i, entry in enumerate(view.entries):
        position = place.get(i)
        if position == decision.position:
            continue
        if position is None:
            reason = why_not(view, i, (), candidates.fitness[i], candidates.requirements) or "already tried, or not among the preferred"
            found.append(Alternative(target=view.targets[i].id, score=entry.score, cost_s=None, probability=0.0, reason=reason))
            continue
        cost = decision.costs[position]
        reason = f"costs {cost:.2f} s, {cost / chosen_cost - 1:+.0%}" if cost >= chosen_cost else f"cheaper at {cost:.2f} s, but not drawn"
        reason += "; new here: counts as cheap, is drawn seldom" if entry.newcomer and not all_new else ""
        found.append(Alternative(target=view.targets[i].id, score=entry.score, cost_s=cost, probability=_chance(candidates, decision, position), reason=reason))
    return tuple(sorted(found, key=lambda a: (a.cost_s is None, a.cost_s or 0.0, a.target)))


def _chance(candidates: Candidates, decision: Decision, position: int) -> float:
    """Probability of another candidate under the rule that made the decision; 0 where the rule does not draw."""
    table = candidates.table
    if decision.policy in {"performance", "learned"}:
        return least_of_draws(table, decision.costs, position)
    if decision.policy == "weighted":
        return in_proportion(table.scores, position)
    if decision.policy == "configured":
        return in_proportion([candidates.view.targets[i].weight for i in table.index], position)
    return 1.0 / len(table.index) if decision.policy == "random" else 0.0


def _free(entry: TargetScore, term: float) -> float:
    """The factor current_load as this router sees it; as published where the load is too low to act on the cost."""
    return _unit(entry.load if term <= FLOOR + 1e-9 else 1.0 - utilisation_behind(term))


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))
