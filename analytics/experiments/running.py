"""One experiment as the leader follows it: sums of the arms in, report out; guard rails stop arms, time ends it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from routecast.analytics.experiments import judging
from routecast.analytics.experiments.assignment import Assignment, block_at
from routecast.analytics.experiments.difference import Difference
from routecast.analytics.experiments.measures import MEASURES, OF_RAIL, WATCHED, Sums, Watched, level, moments_of, p95_ms, sums_of
from routecast.analytics.experiments.sample_ratio import LEAST_P, evidence
from routecast.analytics.experiments.unit_means import UnitMeans
from routecast.analytics.experiments.verdict import harm, shadowed, verdict
from routecast.models.experiment_report import ArmReport, Comparison, EndedBy, ExperimentReport, Level, RailReport, SampleRatio
from routecast.models.experiments import Arm, Experiment, Measure
from routecast.models.rows import ArmTotals


class _State(msgspec.Struct, kw_only=True):
    """What does not follow from the sums of now."""

    experiment: Experiment
    evidence: float = 0.0
    """Largest so far against the shares."""
    stopped: dict[str, tuple[float, str]] = {}
    """Arms that guard rails stopped: when (epoch ms), and why."""
    ended: tuple[float, EndedBy, str] | None = None
    """When, by what, and why."""
    units: list[dict[str, Any]] = []


class Running:
    """A state machine without a clock.

    Args:
        experiment: as it was started.
        state: of another leader, in place of a beginning. Raises msgspec.ValidationError where it does not fit.
    """

    def __init__(self, experiment: Experiment | None, state: Mapping[str, Any] | None = None) -> None:
        self._state = _State(experiment=experiment) if experiment is not None else msgspec.convert(state, _State)
        self._units = [UnitMeans(unit) for unit in self._state.units] or [UnitMeans() for _ in self.experiment.arms]
        self._assignment = Assignment(self.experiment)

    def state(self) -> dict[str, Any]:
        """Plain data."""
        found: dict[str, Any] = msgspec.to_builtins(self._state)
        return found | {"units": [unit.state() for unit in self._units]}

    @property
    def experiment(self) -> Experiment:
        """As it was started."""
        return self._state.experiment

    @property
    def ended_ms(self) -> float | None:
        """When it ended, epoch ms; None: it runs."""
        return None if self._state.ended is None else self._state.ended[0]

    @property
    def published(self) -> Experiment | None:
        """What routers are to do; None: it is over."""
        if self._state.ended is not None:
            return None
        return replace(self.experiment, arms=tuple(replace(arm, stopped=arm.name in self._state.stopped) for arm in self.experiment.arms))

    def end(self, at_ms: float, by: EndedBy, why: str) -> None:
        """Let it be over; the first end counts. What is under way still counts."""
        self._state.ended = self._state.ended or (at_ms, by, why)

    def look(self, at_ms: float, totals: Mapping[str, ArmTotals]) -> ExperimentReport:
        """Take the sums of all arms, by label, and say how it stands."""
        experiment = self.experiment
        found = [totals.get(label, ArmTotals(label)) for label in (experiment.label(arm.name) for arm in experiment.arms)]
        known = self._known(at_ms, [sums_of(arm, experiment.slow_ms) for arm in found])
        ratio, rails = self._ratio([arm.exposed for arm in found]), self._rails(known)
        self._stop(at_ms, rails)
        if at_ms >= experiment.ends_ms:
            self.end(experiment.ends_ms, "time", "its time was over")
        return self._report(at_ms, [self._arm(*pair) for pair in zip(experiment.arms, found, known, strict=True)], known, ratio, rails)

    def _known(self, at_ms: float, sums: Sequence[Mapping[Watched, Sums]]) -> list[judging.Known]:
        if self.experiment.unit == "request":
            return [{watched: moments_of(watched, found[watched]) for watched in WATCHED} for found in sums]
        newest = block_at(self.experiment, at_ms)
        for i, found in enumerate(sums):
            own = newest if self.experiment.unit == "session" else self._newest_of(i, newest)
            self._units[i].take(own, found)
        return [{watched: unit.moments(watched) for watched in WATCHED} for unit in self._units]

    def _newest_of(self, arm: int, newest: int) -> int:
        """The newest block of an arm, −1 for none; it is looked for no further back than chance can hide it."""
        return next((block for block in range(newest, max(-1, newest - 200), -1) if self._assignment.arm_of_block(block) == arm), -1)

    def _ratio(self, counts: Sequence[int]) -> SampleRatio:
        tested = self.experiment.unit == "request" and not self.experiment.shadow
        if tested and not self._state.stopped:
            self._state.evidence = max(self._state.evidence, evidence(counts, [arm.share for arm in self.experiment.arms]))
        p = math.exp(-self._state.evidence)
        return SampleRatio(tested=tested, p=p, ok=p >= LEAST_P)

    def _rails(self, known: Sequence[judging.Known]) -> list[RailReport]:
        experiment = self.experiment
        treatments = experiment.arms[1:]
        limits = judging.boundary(experiment, len(treatments) * max(1, len(experiment.rails)))
        return [
            judging.rail(arm.name, kind, limit, judging.between(known[0], of_arm, OF_RAIL[kind], limits))
            for arm, of_arm in zip(treatments, known[1:], strict=True)
            for kind, limit in sorted(experiment.rails.items())
        ]

    def _stop(self, at_ms: float, rails: Sequence[RailReport]) -> None:
        if self._state.ended is not None:
            return
        for found in rails:
            if found.low is not None and found.low > found.limit and found.arm not in self._state.stopped:
                self._state.stopped[found.arm] = (at_ms, harm(found))
        if len(self._state.stopped) == len(self.experiment.arms) - 1:
            self.end(at_ms, "guard rail", "every arm beside the control was stopped")

    def _arm(self, arm: Arm, totals: ArmTotals, known: judging.Known) -> ArmReport:
        stopped = self._state.stopped.get(arm.name)
        counts = {name: getattr(totals, name) for name in ("exposed", "attempts", "ok", "failed", "cancelled", "caller_fault", "agreed")}
        return ArmReport(
            name=arm.name, policy=arm.policy, share=arm.share, targets=arm.targets, weights=arm.weights,
            ended=totals.ok + totals.failed + totals.cancelled + totals.caller_fault, **counts,
            p95_ms=p95_ms(totals), levels={name: Level(units=int(known[name].n), mean=level(name, known[name].mean)) for name in MEASURES if known[name].n},
            stopped_ms=stopped[0] if stopped else None, stopped_why=stopped[1] if stopped else "",
        )  # fmt: skip

    def _report(
        self, at_ms: float, arms: Sequence[ArmReport], known: Sequence[judging.Known], ratio: SampleRatio, rails: Sequence[RailReport]
    ) -> ExperimentReport:  # fmt: skip
        experiment, ended = self.experiment, self._state.ended
        limits = judging.boundary(experiment, len(arms) - 1)
        found: list[Comparison] = []
        to_go: list[float] = []
        for arm, of_arm in zip(arms[1:], known[1:], strict=True):
            differences: dict[Measure, Difference | None] = {measure: judging.between(known[0], of_arm, measure, limits) for measure in MEASURES}
            found += [judging.comparison(arm.name, measure, item, limits.alpha) for measure, item in differences.items() if item is not None]
            left = judging.to_go_s(differences[experiment.measure], limits, (at_ms - experiment.starts_ms) / 1000.0)
            to_go += [] if left is None or arm.stopped_ms is not None else [left]
        return ExperimentReport(
            name=experiment.name, salt=experiment.salt, service=experiment.service, unit=experiment.unit, shadow=experiment.shadow,
            measure=experiment.measure, state="ended" if ended else "running", started_ms=experiment.starts_ms, at_ms=at_ms,
            ends_ms=ended[0] if ended else experiment.ends_ms, ended_by=ended[1] if ended else "", why=ended[2] if ended else "",
            arms=tuple(arms), comparisons=tuple(found), rails=tuple(rails), sample_ratio=ratio,
            to_go_s=max(to_go) if to_go and not ended else None,
            verdict=shadowed(arms[0], arms[1]) if experiment.shadow else verdict(experiment.measure, arms, found, ratio),
        )  # fmt: skip
