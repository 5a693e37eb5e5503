"""The routing snapshot of one service, built at each tick from merged rows and nothing else.

`ServiceAnalyst.tick` reads like the chain it is: what is new → load → capacity → service time → reliability → cost → shares → score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, NamedTuple

import numpy as np
from msgspec import convert, to_builtins
from numpy.typing import NDArray

from routecast.analytics.changes.changes import Changes
from routecast.analytics.checkpoint import State, Stateful, restore, state_of
from routecast.analytics.digits import all_six_digits, six_digits
from routecast.analytics.fleet.capacity_fit import CapacityFit, Fit, LatencyGroups
from routecast.analytics.fleet.cost import Estimates, Weights, expected_cost
from routecast.analytics.fleet.fleet_health import FleetHealth
from routecast.analytics.fleet.horizon import Evidence, Horizon, evidence_of
from routecast.analytics.fleet.money import Money
from routecast.analytics.fleet.observation import SURGE_WINDOW_MS, Observation
from routecast.analytics.fleet.price import EffectivePrice
from routecast.analytics.fleet.quantiles import Quantiles, to_publish
from routecast.analytics.fleet.rate import ArrivalRate, MeanInFlight, MinuteUse
from routecast.analytics.fleet.refusals import Refusals
from routecast.analytics.fleet.regions import RegionOffsets
from routecast.analytics.fleet.service_time import ServiceTime, model_numbers, pooled_variance
from routecast.analytics.fleet.shares import limits_per_s, planned_shares
from routecast.analytics.fleet.tokens import ExpectedTokens
from routecast.analytics.merge import Merge, SlotNews
from routecast.analytics.routing.newcomers import configured, newcomers
from routecast.analytics.score import current_load, performance_score
from routecast.analytics.totals import difference
from routecast.models.config import Config, TargetConfig
from routecast.models.errors import DecodeError
from routecast.models.experiments import Experiment
from routecast.models.rows import SLOT_MS, TargetTotals
from routecast.models.snapshot import MAX_TARGETS, RoutingSnapshot, TargetScore
from routecast.models.snapshot import State as Health

Floats = NDArray[np.float64]

_STEADY_TAU_S = 300.0
_MINUTE_TAU_S = 60.0
_NEXT_TO_NOTHING = 1e-9
"""Requests per second of a target that operators drained."""
_NO_TOTALS = TargetTotals("")


class Tick(NamedTuple):
    """The moment a snapshot speaks of."""

    term: int
    seq: int
    at_ms: float
    routers: int


class Plan(NamedTuple):
    """Figures of one tick, per target."""

    targets: Sequence[TargetConfig]
    service_s: Floats
    fit: Fit
    limits_per_s: Floats
    estimates: Estimates
    cost_s: Floats
    share: Floats
    in_flight: Floats
    in_flight_mean: Floats
    oldest_open_ms: Floats
    headroom: Floats
    variance: float
    newcomer: list[bool]


class ServiceAnalyst:
    """Analytic state of one service; memory is a few tens of kB a target, whatever the traffic."""

    STATE: ClassVar[tuple[str, ...]] = ("_published", "_at_ms")

    def __init__(self, service: str, config: Config) -> None:
        self.service = service
        self._routing = config.routing_for(service)
        self._adaptive = config.adaptive
        self._period_ms = float(config.intervals.snapshot_ms)
        self._targets: list[TargetConfig] = []
        self._index: dict[str, int] = {}
        self._totals: dict[str, TargetTotals] = {}
        self.observed = Observation()
        self._capacity = CapacityFit()
        self._service_time = ServiceTime()
        self._steady = Horizon(0, tau_s=_STEADY_TAU_S)
        self._minute = Horizon(0, tau_s=_MINUTE_TAU_S)
        self._history = Horizon(0, requests=config.adaptive.history_size)
        self._health = FleetHealth(self._targets, [t.id for t in config.targets_of(service)], self._routing, config.intervals.health_check_ms)
        self.heed = self._health.heed
        self._arrivals, self._mean_in_flight, self._use, self._tokens = ArrivalRate(), MeanInFlight(), MinuteUse(), ExpectedTokens()
        self._price, self._regions, self._refusals = EffectivePrice(), RegionOffsets(), Refusals()
        self._money = Money(self._routing.usd_per_second, self._routing.budget_usd_per_request)
        self._published, self._at_ms = dict[str, float](), 0.0
        self.plan: Plan | None = None  # of the last tick
        self._caution = self._routing.factor_weights.history / max(1e-6, self._routing.factor_weights.real_time)
        self.changes = Changes(service, self._targets, self._caution)
        self.drained: AbstractSet[str] = frozenset()
        """Targets that operators took out of rotation."""
        self.weights: Mapping[str, float] = {}
        """Weights that operators set; they win over the configured ones."""
        self.policy = self.elected = ""
        """The policy that is wanted, empty: the configured one; and why evidence chose it, empty: it did not."""
        self.experiment: Experiment | None = None
        """What routers are to compare."""
        self._grow(config.targets_of(service))

    def _grow(self, targets: Sequence[TargetConfig]) -> None:
        for target in targets:
            self._index[target.id] = len(self._targets)
            self._targets.append(target)
        n = len(self._targets)
        horizons, learnt = (self._steady, self._minute, self._history), (self._price, self._regions, self._refusals, self.changes)
        for part in (self.observed, self._capacity, self._service_time, *horizons, self._health, *learnt):
            part.grow(n)

    def discover(self, totals: Mapping[str, TargetTotals]) -> None:
        """Take in targets that events name and the configuration does not, with its defaults; as many as a snapshot may hold."""
        new = [t for name, t in sorted(totals.items()) if t.service == self.service and name not in self._index]
        if new:
            self._grow([configured(t) for t in new[: MAX_TARGETS - len(self._targets)]])

    @property
    def _parts(self) -> dict[str, Stateful]:
        return {
            "self": self, "observed": self.observed, "capacity": self._capacity, "service_time": self._service_time, "steady": self._steady,
            "minute": self._minute, "history": self._history, "arrivals": self._arrivals, "mean_in_flight": self._mean_in_flight, "use": self._use,
            "tokens": self._tokens, "price": self._price, "money": self._money, "regions": self._regions, "refusals": self._refusals,
            **self._health.parts, **self.changes.parts,
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Everything but what follows from merged rows; to be taken right after a tick."""
        return {
            "targets": [target.model_dump() for target in self._targets], "totals": [to_builtins(totals) for totals in self._totals.values()],
            "parts": {name: state_of(part) for name, part in self._parts.items()},
        }  # fmt: skip

    def resume(self, at_ms: float, merge: Merge, state: State | None) -> None:
        """Begin where another analyst was when it took `state`; without one, with what the kept panes tell.

        Raises DecodeError where the state does not fit.
        """
        new_from_ms = -math.inf
        self._totals = merge.target_totals()
        if state is not None:
            self._grow([TargetConfig.model_validate(target) for target in state["targets"][len(self._targets) :]])
            if [target["id"] for target in state["targets"]] != [target.id for target in self._targets]:
                raise DecodeError(f"checkpoint: service {self.service!r} had other targets")
            for name, part in self._parts.items():
                restore(part, state["parts"][name])
            self._totals = {totals.target: totals for totals in convert(state["totals"], list[TargetTotals])}
            new_from_ms = math.inf if self._totals == merge.target_totals() else self._at_ms
        self.discover(merge.target_totals())
        self.observed.rebuild(at_ms, self._mine(merge.all_slots()), new_from_ms)

    def urgent(self, at_ms: float, totals: Mapping[str, TargetTotals]) -> bool:
        """Whether something happened since the last tick that should be published at once: a surge, or a target that fails."""
        known = [totals.get(t.id, _NO_TOTALS) for t in self._targets]
        broken = [now.broken - self._totals.get(now.target, _NO_TOTALS).broken for now in known]
        return self._surging(at_ms) or self._health.urgent(self._at_ms, at_ms, broken) or self._refusals.urgent(at_ms, known)

    def _surging(self, at_ms: float) -> bool:
        arrived = self.observed.arrivals(at_ms)
        return self._at_ms > 0 and arrived is not None and self._arrivals.surging(arrived, SURGE_WINDOW_MS / 1000)

    def observe(self, at_ms: float, news: Sequence[SlotNews]) -> None:
        """Count slot news (of any service; others' are left out), and keep the successes among them with the load they met."""
        self.observed.look(at_ms, self._mine(news))

    def _mine(self, news: Sequence[SlotNews]) -> list[tuple[int, SlotNews]]:
        return [(self._index[item.target], item) for item in news if item.target in self._index]

    def tick(self, tick: Tick, totals: Mapping[str, TargetTotals], quantiles: Mapping[str, Quantiles]) -> RoutingSnapshot:
        """Advance to `tick` and build the snapshot from what was observed."""
        elapsed_s = max(0.001, (tick.at_ms - self._at_ms) / 1000) if self._at_ms else self._period_ms / 1000
        new = [difference(totals.get(t.id), self._totals.get(t.id)) for t in self._targets]
        self._totals = dict(totals)
        groups = self.observed.take_groups()
        self._learn(elapsed_s, tick, new, evidence_of(new, groups), groups)
        self.plan = plan = self._plan(tick.at_ms, elapsed_s, new, groups)
        self._at_ms = tick.at_ms
        return self._publish(tick, plan, quantiles)

    def _learn(self, elapsed_s: float, tick: Tick, new: Sequence[TargetTotals], evidence: Evidence, groups: LatencyGroups) -> None:
        self._capacity.update(elapsed_s, groups)
        self._service_time.update(elapsed_s, groups)
        long = self._history.evidence
        usual = long.broken / np.maximum(1.0, long.ok + long.broken)
        evidence = self._health.settled(tick.at_ms, new, evidence, self.observed.load)
        undoubted = self._health.undoubted(evidence, tick.routers)
        for horizon in (self._steady, self._minute, self._history):
            horizon.update(elapsed_s, undoubted)
        self._tokens.update(elapsed_s, new)
        self._price.update(elapsed_s, new, self._targets)
        self._money.update(elapsed_s, new)
        self._regions.update(elapsed_s, new)
        self._refusals.update(tick.at_ms, new)
        arrived = sum(item.first_attempts for item in new)
        if self._surging(tick.at_ms):
            self._arrivals.jump((self.observed.arrivals(tick.at_ms) or 0) / (SURGE_WINDOW_MS / 1000))
        else:
            self._arrivals.update(elapsed_s, self._period_ms / 1000, arrived)
        probed = self._health.update(tick.at_ms, tick.routers, evidence, self._minute, usual, self.observed.load)
        if len(probed):
            self._service_time.forget(probed)
            self._steady.forgive(probed)
            self._minute.forget(probed)

    def _plan(self, at_ms: float, elapsed_s: float, new: Sequence[TargetTotals], groups: LatencyGroups) -> Plan:
        fit = self._capacity.fit(np.array([t.capacity or math.inf for t in self._targets]))
        variance = pooled_variance(fit)
        changed = self.changes.update(at_ms, elapsed_s, new, groups, fit, self._health.ramp(at_ms) >= 1.0)
        self._service_time.restart(fit, np.full(len(self._targets), math.sqrt(variance)), self._caution, changed)
        service_s = self._service_time.estimate(fit, variance, self._adaptive.learning_rate, model_numbers([t.model for t in self._targets]))
        prior_weight = self._adaptive.prior_weight
        estimates = Estimates(
            time_s=service_s, success=self._steady.success(prior_weight), fail_s=self._steady.fail_s(service_s),
            quality=self._steady.quality(np.array([t.quality_prior for t in self._targets]), prior_weight),
            usd=self._price.usd(self._targets, self._tokens.input, self._tokens.output, prior_weight),
        )  # fmt: skip
        cost_s = expected_cost(estimates, self.score_weights, self._money.seconds_per_usd(float(np.median(service_s))))
        known = [self._totals.get(t.id, _NO_TOTALS) for t in self._targets]
        limits, new_here = limits_per_s(self._targets, known, self._tokens.input + self._tokens.output), newcomers(known, prior_weight)
        capped = np.where(new_here, np.minimum(limits, max(_NEXT_TO_NOTHING, self._routing.newcomer_share * self._arrivals.per_s)), limits)
        drained = np.array([t.id in self.drained for t in self._targets], bool)
        drained &= not drained.all()
        share = planned_shares(self._arrivals.per_s, cost_s, service_s, fit.capacity, np.where(drained, _NEXT_TO_NOTHING, capped))
        slots = range(int(at_ms - elapsed_s * 1000) // SLOT_MS * SLOT_MS + SLOT_MS, int(at_ms) + 1, SLOT_MS)
        now = self.observed.load.in_flight().astype(float)
        mean = self.observed.load.in_flight_at(slots).mean(axis=1) if slots else now
        headroom = np.clip(1.0 - self._use.update(elapsed_s, np.array([item.started for item in new], float)) / limits, 0.0, 1.0)
        self._health.expect(service_s, self._steady.n, now, fit.capacity)
        return Plan(
            self._targets, service_s, fit, limits, estimates, cost_s, share, now, self._mean_in_flight.update(elapsed_s, mean),
            self.observed.load.oldest_open_ms(at_ms), headroom, variance, new_here,
        )  # fmt: skip

    def _publish(self, tick: Tick, plan: Plan, quantiles: Mapping[str, Quantiles]) -> RoutingSnapshot:
        e = plan.estimates
        reference = float(np.median(e.time_s))
        scores = performance_score(e.time_s, e.success, e.quality, reference, self.score_weights)
        long, minute = (self._score_of(horizon, plan, reference) for horizon in (self._history, self._minute))
        figures = {
            "ramp": self._health.ramp(tick.at_ms), "time_s": e.time_s, "service_s": plan.service_s, "capacity": plan.fit.capacity, "share": plan.share,
            "in_flight_mean": plan.in_flight_mean, "cost_s": plan.cost_s, "success": e.success, "fail_s": e.fail_s, "quality": e.quality,
            "quality_n": self._steady.evidence.quality_n, "usd": e.usd, "headroom": plan.headroom, "score": scores,
            "load": current_load(plan.in_flight_mean, plan.fit.capacity), "history": long, "real_time": minute,
            "spread": self._service_time.spread(plan.variance, self._adaptive.learning_rate), "n": self._steady.n,
        }  # fmt: skip
        names = (*figures, "in_flight", "oldest_open_ms")
        rows = zip(*map(all_six_digits, figures.values()), plan.in_flight.tolist(), plan.oldest_open_ms.tolist(), strict=True)
        states, shown = self._health.states(tick.at_ms), to_publish(self._targets, plan.newcomer, quantiles)
        targets = tuple(
            self._score(i, dict(zip(names, row, strict=True)), states[i], shown[i], newcomer=plan.newcomer[i]) for i, row in enumerate(rows)
        )  # fmt: skip
        return RoutingSnapshot(
            service=self.service, term=tick.term, seq=tick.seq, at_ms=tick.at_ms, period_ms=self._period_ms, routers=tick.routers, policy=self.policy,
            rate_per_s=six_digits(self._arrivals.per_s), t_ref_s=six_digits(reference), output_tokens=six_digits(self._tokens.output),
            input_tokens=six_digits(self._tokens.input), elected=self.elected, experiment=self.experiment, targets=targets,
        )  # fmt: skip

    def _score(self, i: int, figures: dict[str, float], health: Health, shown: Quantiles, *, newcomer: bool) -> TargetScore:
        target = self._targets[i]
        figures["share"] = self._steady_share(target.id, figures["share"])
        return TargetScore(
            id=target.id, state="drained" if target.id in self.drained else self._refusals.state(i, health),
            weight=self.weights.get(target.id, target.weight), ttft_ms=shown.ttft_ms, tpot_ms=shown.tpot_ms, newcomer=newcomer,
            regions_ms={region: six_digits(ms) for region, ms in self._regions.offsets_ms(i, self._adaptive.prior_weight).items()}, **figures,
        )  # fmt: skip

    @property
    def score_weights(self) -> Weights:
        """The configured score weights."""
        weights = self._routing.score_weights
        return Weights(weights.response_time, weights.reliability, weights.quality)

    def _score_of(self, horizon: Horizon, plan: Plan, reference: float) -> Floats:
        e = plan.estimates
        time_s, weight = horizon.time_s(plan.variance, e.time_s), self._adaptive.prior_weight
        return performance_score(time_s, horizon.success(weight), horizon.quality(e.quality, weight), reference, self.score_weights)

    def _steady_share(self, target: str, share: float) -> float:
        """The share to publish: the last one while the change is below the adaptation threshold."""
        last = self._published.get(target, 0.0)
        if abs(share - last) >= self._adaptive.adaptation_threshold * last:
            self._published[target] = last = share
        return last
