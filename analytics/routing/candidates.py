"""Which targets a class of requests may go to, and what each of them costs it: requirements → table of candidates.

Built once per snapshot and class of requests, then reused for every decision.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from routecast.analytics.balance import DRAWS, EXPLORE, Table
from routecast.analytics.routing.availability import USABLE, closed_off, panics, probes, reopened, usable
from routecast.analytics.routing.newcomers import capped_scores, capped_shares, welcomed
from routecast.analytics.routing.rate_limits import roominess
from routecast.models.config import Routing, TargetConfig
from routecast.models.decision import Decision, Explanation
from routecast.models.errors import EXCLUDED, NoTarget
from routecast.models.requirements import NONE, Requirements
from routecast.models.snapshot import RoutingSnapshot, TargetScore

IN_TIME = 0.95
IN_TIME_URGENT = 0.99
_LEAST_N = 10
_FLOOR = 0.02
_REQUIREMENTS_NORM = 0.15
_LEAST_COST = 0.01
"""Of the average request's, for a class that costs less."""
_TILT = 2.0
"""How strongly the shares, planned for all requests, lean to what is cheaper for a class: the cheapest of four draws must be among the draws."""


class View(NamedTuple):
    """A router's own targets as its newest snapshot shows them."""

    snapshot: RoutingSnapshot | None
    targets: Sequence[TargetConfig]
    entries: Sequence[TargetScore]
    """In the order of `targets`; made from the configuration where the snapshot is silent."""
    bits: Sequence[int]
    """Bit of each target in the candidate mask: its place in the snapshot, those it does not know behind."""
    probe: int | None = None
    """The target that the next suitable request must try: a breaker waits for its answer."""


class Fitness(NamedTuple):
    """How one target meets the requirements."""

    factor: float
    """P(in time)·min(1, quality/threshold)·min(1, success/required), 0..1."""
    unmet: tuple[str, ...]
    """What it is known not to meet."""
    unknown: tuple[str, ...]
    """What there is too little evidence to tell."""
    barred: bool = False
    """Whether it is unmet by what the target is, not by what was measured."""


_FIT = Fitness(1.0, (), ())


class Candidates:
    """The table of a class of requests, and what explains a decision made from it."""

    def __init__(
        self, view: View, routing: Routing, requirements: Requirements, chosen: Sequence[int], fitness: Sequence[Fitness], forced: str, rng: random.Random
    ) -> None:
        self.view = view
        self.routing = routing
        self.requirements = requirements
        self.fitness = fitness
        self.forced = forced
        order = list(chosen)
        rng.shuffle(order)
        entries = [view.entries[i] for i in order]
        new, cap, explore = [entry.newcomer for entry in entries], routing.newcomer_share, requirements.urgency != "high"
        tilts = [(entry.cost_s / class_cost_s(entry, view, routing, requirements)) ** _TILT for entry in entries]
        shares = [max(entry.share * entry.ramp, _FLOOR * entry.ramp / len(view.entries)) * tilt for entry, tilt in zip(entries, tilts, strict=True)]
        costs = [cost_of(entry, fitness[i].factor, view, routing, requirements) for entry, i in zip(entries, order, strict=True)]
        self.table = Table(
            order,
            welcomed(costs, new),
            capped_shares(shares, new, cap, DRAWS, EXPLORE if explore else 0.0),
            capped_scores([entry.score * entry.weight * entry.ramp for entry in entries], new, cap),
            [weighted_factors(entry, fitness[i].factor, routing) for entry, i in zip(entries, order, strict=True)],
            explore=explore,
            spreads=[entry.spread for entry in entries],
        )
        self.mask = f"{sum(1 << view.bits[i] for i in order):x}"
        self.preferred: Candidates | None = None

    @property
    def caller_region(self) -> str:
        """Where the callers of this class are; empty where nobody said so."""
        return self.requirements.caller_region or ""

    def explain(self, decision: Decision) -> Explanation:
        """The long form of a decision made from these candidates."""
        from routecast.analytics.routing.explain import explain  # noqa: PLC0415 - the long form is rare and knows the short one

        return explain(self, decision)


def candidates(view: View, routing: Routing, requirements: Requirements, tried: Collection[str], rng: random.Random) -> Candidates:
    """Filter the targets of `view` for a class of requests; targets in `tried` have failed it already.

    Raises NoTarget when every target is excluded by the caller, or when none qualifies and the requirements are strict.
    """
    left = [i for i, target in enumerate(view.targets) if not matches(target, requirements.excluded)]
    if not left:
        raise NoTarget(routing_service(view), {target.id: EXCLUDED for target in view.targets})
    allowed = [i for i in left if view.entries[i].state != "drained"] or left  # an operator's word outlasts what failed and what is open
    kept = [i for i in allowed if view.targets[i].weight > 0] or allowed  # so does a weight of 0: an arm of an experiment keeps to its targets
    untried = [i for i in kept if view.targets[i].id not in tried] or kept
    fitness = [_FIT] * len(view.targets) if requirements is NONE else [judge(view, i, requirements) for i in range(len(view.targets))]
    well = [i for i in untried if usable(view, i)]
    panic = bool(well) and panics(view, kept)
    healthy = [i for i in untried if usable(view, i) or closed_off(view, i)] if panic else well
    if panic or not well:
        view = reopened(view)
    qualified = [i for i in healthy if not fitness[i].unmet]
    if not qualified and requirements.strict:
        raise NoTarget(routing_service(view), {t.id: why_not(view, i, tried, fitness[i], requirements) for i, t in enumerate(view.targets)})
    chosen = qualified or healthy or untried
    if qualified and not requirements.strict and all(view.entries[i].newcomer and fitness[i].unknown for i in qualified):
        measured = [i for i in healthy if not view.entries[i].newcomer and not fitness[i].barred]
        if measured:  # what alone qualifies because nothing is known of it must not get everything
            qualified, chosen = [], [*measured, *qualified]
    forced = "fallback" if not healthy else "unmet" if not qualified else "panic" if panic else "urgent" if requirements.urgency == "high" else ""
    if view.probe is not None and not tried and probes(view, requirements, [i for i in untried if not fitness[i].unmet]):
        return Candidates(view, routing, requirements, [view.probe], fitness, "probe", rng)
    made = Candidates(view, routing, requirements, chosen, fitness, forced, rng)
    liked = [i for i in chosen if matches(view.targets[i], requirements.preferred)]
    if liked and len(liked) < len(chosen):
        made.preferred = Candidates(view, routing, requirements, liked, fitness, "preferred" if qualified else forced, rng)
    return made


def routing_service(view: View) -> str:
    """The service a view belongs to."""
    return view.targets[0].service if view.targets else ""


def matches(target: TargetConfig, names: Sequence[str]) -> bool:
    """Whether an id of the caller's means this target: as a target first, then as a provider."""
    return target.id in names or target.provider in names


def judge(view: View, i: int, requirements: Requirements) -> Fitness:
    """How target `i` meets the requirements; too little evidence passes and is named."""
    target, entry = view.targets[i], view.entries[i]
    factor, unmet, unknown = 1.0, list[str](), list[str]()
    deadline_ms = requirements.rounded_deadline_ms
    if deadline_ms is not None:
        if not entry.ttft_ms or entry.newcomer:
            unknown.append("response time")
        if entry.ttft_ms:
            left_ms = deadline_ms - region_offset_ms(entry, requirements)
            probability = in_time(entry, left_ms, expected_output(view.snapshot, requirements))
            factor *= probability
            if probability < (IN_TIME_URGENT if requirements.urgency == "high" else IN_TIME):
                unmet.append(f"in time with only {probability:.0%} probability")
    if requirements.least_quality is not None:
        factor *= min(1.0, entry.quality / requirements.least_quality) if requirements.least_quality > 0 else 1.0
        _compare("quality", entry.quality, requirements.least_quality, known=entry.quality_n > 0 or target.quality is not None, unmet=unmet, unknown=unknown)
    if requirements.reliability is not None:
        factor *= min(1.0, entry.success / requirements.reliability) if requirements.reliability > 0 else 1.0
        _compare("success ratio", entry.success, requirements.reliability, known=entry.n >= _LEAST_N, unmet=unmet, unknown=unknown)
    barred = requirements.region is not None and target.region != requirements.region
    if barred:
        unmet.append(f"in region {target.region!r}")
    if requirements.max_cost_usd is not None:
        usd = entry.usd * token_scale(requirements)
        if usd > requirements.max_cost_usd:
            unmet.append(f"costs {usd:.4g} USD")
            barred = True
    return Fitness(factor, tuple(unmet), tuple(unknown), barred)


def _compare(name: str, value: float, least: float, *, known: bool, unmet: list[str], unknown: list[str]) -> None:
    if not known:
        unknown.append(name)
    elif value < least:
        unmet.append(f"{name} {value:.3g}")


def in_time(entry: TargetScore, deadline_ms: float, output_tokens: float) -> float:
    """P(TTFT + tokens·TPOT ≤ deadline), the two taken as independent, from their sixteen published quantiles each."""
    more = max(0.0, output_tokens - 1.0)
    if not entry.tpot_ms or more <= 0:
        return bisect_right(entry.ttft_ms, deadline_ms) / len(entry.ttft_ms)
    within = sum(bisect_right(entry.tpot_ms, (deadline_ms - first) / more) for first in entry.ttft_ms)
    return within / (len(entry.ttft_ms) * len(entry.tpot_ms))


def token_scale(requirements: Requirements) -> float:
    """Factor on the expected tokens: half for a trivial context, one and a half for a complex one, 1 where nothing was said."""
    return 1.0 if requirements.complexity is None else 0.5 + requirements.complexity


def expected_output(snapshot: RoutingSnapshot | None, requirements: Requirements) -> float:
    """Output tokens to expect of a request of this class."""
    return (snapshot.output_tokens if snapshot else 0.0) * token_scale(requirements)


def weighted_factors(entry: TargetScore, requirements_factor: float, routing: Routing) -> float:
    """Weighted sum of the four factors."""
    weights = routing.factor_weights
    parts = (
        (weights.current_load, entry.load),
        (weights.history, entry.history),
        (weights.real_time, entry.real_time),
        (weights.requirements, requirements_factor),
    )
    return sum(weight * factor for weight, factor in parts)


def region_offset_ms(entry: TargetScore, requirements: Requirements) -> float:
    """What the time to first chunk differs by for callers of this region, ms; 0 where nothing is known of it."""
    return entry.regions_ms.get(requirements.caller_region, 0.0) if requirements.caller_region else 0.0


def extra_time_s(entry: TargetScore, output_tokens: float, requirements: Requirements) -> float:
    """What a request of this class takes longer than the average one (`output_tokens` are the average's), seconds; may be negative.

    Where a target never streamed nobody knows what a token takes, and complexity leaves the time as it is.
    """
    tpot_ms = sum(entry.tpot_ms) / len(entry.tpot_ms) if entry.tpot_ms else 0.0
    return (region_offset_ms(entry, requirements) + (token_scale(requirements) - 1.0) * output_tokens * tpot_ms) / 1000.0


def cost_of(entry: TargetScore, factor: float, view: View, routing: Routing, requirements: Requirements) -> float:
    """Expected cost for a class of requests that a target fits with this factor, seconds before the load term, > 0."""
    fit = 1.0 + routing.factor_weights.requirements / _REQUIREMENTS_NORM * (1.0 - factor)
    return class_cost_s(entry, view, routing, requirements) / roominess(entry.headroom) * fit


def class_cost_s(entry: TargetScore, view: View, routing: Routing, requirements: Requirements) -> float:
    """The published cost with what this class of requests takes and pays beside the average one, seconds, > 0."""
    usd = routing.usd_per_second
    scale = token_scale(requirements)
    extra_price = entry.usd / usd * (scale * (2.0 if requirements.urgency == "low" else 1.0) - 1.0) if usd > 0 else 0.0
    extra_s = extra_time_s(entry, view.snapshot.output_tokens if view.snapshot else 0.0, requirements)
    return max(_LEAST_COST * entry.cost_s, entry.cost_s + extra_price + extra_s)


def why_not(view: View, i: int, tried: Collection[str], fitness: Fitness, requirements: Requirements) -> str:
    """Why target `i` is no candidate; empty where it is."""
    target, entry = view.targets[i], view.entries[i]
    if matches(target, requirements.excluded):
        return EXCLUDED
    if target.id in tried:
        return "already tried"
    if entry.state not in USABLE:
        return entry.state.replace("_", " ")
    if entry.ramp <= 0 or entry.headroom <= 0:
        return "recovering, tried by single requests" if entry.ramp <= 0 else "no headroom left in its rate limit"
    if target.weight <= 0:
        return "weight 0"
    return ", ".join(fitness.unmet)


def bootstrap(targets: Sequence[TargetConfig]) -> list[TargetScore]:
    """What the configuration alone says of the targets."""
    total = sum(target.weight for target in targets) or 1.0
    return [
        TargetScore(
            id=t.id, time_s=1.0, service_s=1.0, capacity=float(t.capacity or 4), share=min(1.0, t.weight / total), in_flight=0.0, in_flight_mean=0.0,
            cost_s=1.0, success=0.5, fail_s=1.0, quality=t.quality_prior, weight=t.weight, score=0.5, history=0.5, real_time=0.5, newcomer=True,
        )
        for t in targets
    ]  # fmt: skip


def view_of(snapshot: RoutingSnapshot | None, targets: Sequence[TargetConfig], fallback: Sequence[TargetScore]) -> View:
    """The router's own targets as a snapshot shows them: it never brings in one that the configuration does not know.

    `fallback` is `bootstrap(targets)`: what stands in for a target on which the snapshot is silent.
    """
    known: Mapping[str, tuple[int, TargetScore]] = {t.id: (bit, t) for bit, t in enumerate(snapshot.targets)} if snapshot else {}
    entries = [known[t.id][1] if t.id in known else fallback[i] for i, t in enumerate(targets)]
    bits = [known[t.id][0] if t.id in known else len(known) + i for i, t in enumerate(targets)]
    return View(snapshot, targets, entries, bits)
