"""Ways of deciding: the one of the service, and while an experiment runs, one for each of its arms.

Assignment to arms is a function of the experiment and of the id of a request or session, or of the time: every router decides the same, and
so does whoever checks the events.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection

from msgspec.structs import replace

from routecast.analytics.balance import POLICIES, Own, Policy, costs_now
from routecast.analytics.experiments.assignment import Assignment, block_at, washing_out
from routecast.analytics.routing.candidates import View
from routecast.models.config import Routing
from routecast.models.decision import Assigned
from routecast.models.decision_ref import ShadowRef
from routecast.models.experiments import Arm, Experiment
from routecast.models.requirements import NONE, Requirements
from routecast.streams.calls.present import Policies, Present, prefer


class Way:
    """How one target is chosen."""

    __slots__ = ("name", "own", "policy", "present", "stale")

    def __init__(self, present: Present, own: Own, name: str, policy: Policy, *, stale: bool = False) -> None:
        self.present = present
        self.own = own
        self.name = name
        """Of the policy."""
        self.policy = policy
        self.stale = stale
        """Whether the router's own measurements must do because the snapshot is too old."""


Choice = tuple[Way, Assigned | None]


class Ways:
    """Exchanged as a whole while other threads decide; whoever changes it holds the router's lock.

    Args:
        policies: of the router.
        routing, own, rng: its routing, what it knows itself, its chance.
        new_id: makes the id of a request that has none.
    """

    __slots__ = ("_new_id", "_own", "_policies", "_rng", "_routing", "present", "trial", "way")

    def __init__(self, policies: Policies, routing: Routing, own: Own, rng: random.Random, new_id: Callable[[], str]) -> None:
        self._policies, self._routing, self._own, self._rng, self._new_id = policies, routing, own, rng, new_id
        self.present: Present
        self.way: Way
        self.trial: Trial | None = None

    def lay(self, view: View) -> None:
        """Decide from this view of the targets from now on."""
        self.present = Present(view, self._routing, self._rng)

    def settle(self, now_ms: float, *, alone: bool) -> float:
        """What is in force at this time (epoch ms), `alone` where the snapshot is too old; when that ends by itself."""
        snapshot = self.present.view.snapshot
        name, policy, stale = self._policies.in_force(snapshot.policy if snapshot else "", alone=alone)
        self.way = Way(self.present, self._own, name, policy, stale=stale)
        experiment = snapshot.experiment if snapshot is not None and not alone and self._policies.open else None
        if experiment is None or experiment.fault or now_ms >= experiment.ends_ms:
            self.trial = None
            return math.inf
        if self.trial is None or self.trial.base.present is not self.present or self.trial.base.name != self.way.name:
            wheels = self.trial.wheels if self.trial is not None and self.trial.experiment.id == experiment.id else {}
            self.trial = Trial(experiment, self.way, self._policies, self._routing, self._rng, self._new_id, wheels)
        return self.trial.keep_time(now_ms)


class Trial:
    """The arms of the experiment that runs, over one view of the targets.

    Args:
        experiment: what runs.
        base: how is chosen outside it.
        policies, routing, rng, new_id: see `Ways`.
        wheels: where round robin is in each arm; what turns for one arm must not move the others, and goes on with the next view.
    """

    __slots__ = ("_assigned", "_assignment", "_labels", "_new_id", "_now", "_rng", "_ways", "base", "experiment", "wheels")

    def __init__(
        self, experiment: Experiment, base: Way, policies: Policies, routing: Routing, rng: random.Random, new_id: Callable[[], str],
        wheels: dict[str, list[float]],
    ) -> None:  # fmt: skip
        self.experiment = experiment
        self.base = base
        self.wheels = wheels
        self._rng, self._new_id = rng, new_id
        self._assignment = Assignment(experiment)
        self._ways = [_way_of(arm, base, policies, routing, rng, wheels.setdefault(arm.name, [*base.own.wheel])) for arm in experiment.arms]
        self._labels = ["" if arm.stopped else experiment.label(arm.name) for arm in experiment.arms]
        self._assigned = [Assigned(label) for label in self._labels]
        self._now: Choice = (base, None)

    def keep_time(self, now_ms: float) -> float:
        """Choose the arm of the block that this time (epoch ms) is in; until when that holds."""
        experiment = self.experiment
        if experiment.unit != "block":
            return experiment.ends_ms
        block = block_at(experiment, now_ms)
        begins_ms = experiment.starts_ms + block * experiment.block_ms
        if block < 0:
            self._now = (self.base, None)
            return experiment.starts_ms
        arm = self._assignment.arm_of_block(block)
        washing = washing_out(experiment, now_ms)
        self._now = (self._ways[arm], None if washing else self._assigned[arm])
        return begins_ms + (experiment.washout_ms if washing else experiment.block_ms)

    def assign(self, request_id: str, session: str, requirements: Requirements | None, tried: Collection[str]) -> Choice:
        """The way of the arm that a request belongs to, and what to log of it. A request without a session is in no experiment by sessions."""
        unit = self.experiment.unit
        if unit == "block":
            return self._now
        if unit == "session":
            if not session:
                return self.base, None
            arm = self._assignment.arm_of(session)
            return self._ways[arm], self._assigned[arm]
        request_id = request_id or self._new_id()
        if self.experiment.shadow:
            return self._ways[0], Assigned(self._labels[0], request_id, self._shadow(requirements or NONE, tried))
        arm = self._assignment.arm_of(request_id)
        return self._ways[arm], Assigned(self._labels[arm], request_id)

    def _shadow(self, requirements: Requirements, tried: Collection[str]) -> ShadowRef:
        way = self._ways[1]
        found = way.present.candidates(requirements, tried)
        costs = costs_now(found.table, way.own)
        if found.preferred is not None:
            found, costs = prefer(found, found.preferred, costs, way.own)
        position, propensity = way.policy(found.table, way.own, costs, self._rng)
        return ShadowRef(arm=self._labels[1], target=way.present.view.targets[found.table.index[position]].id, propensity=propensity)


def _way_of(arm: Arm, base: Way, policies: Policies, routing: Routing, rng: random.Random, wheel: list[float]) -> Way:
    """Of a stopped arm, the one of the service."""
    if arm.stopped:
        return base
    name, policy = policies.named(arm.policy) if arm.policy in POLICIES else (base.name, base.policy)
    if not arm.targets and not arm.weights:
        return Way(base.present, _turning(wheel, base.own, base.own.weight), name, policy)
    view = _weighed(base.present.view, arm)
    own = _turning(wheel, base.own, [max(1e-9, target.weight) for target in view.targets])
    return Way(Present(view, routing, rng), own, name, policy)


def _turning(wheel: list[float], own: Own, weight: list[float]) -> Own:
    made = Own(own.in_flight, own.terms, weight)
    made.latency_ms, made.wheel = own.latency_ms, wheel
    return made


def _weighed(view: View, arm: Arm) -> View:
    away = {target.id: 0.0 for target in view.targets if arm.targets and target.id not in arm.targets}
    weights = arm.weights | away
    targets = [target.model_copy(update={"weight": weights[target.id]}) if target.id in weights else target for target in view.targets]
    entries = [replace(entry, weight=weights[entry.id]) if entry.id in weights else entry for entry in view.entries]
    return view._replace(targets=targets, entries=entries)
