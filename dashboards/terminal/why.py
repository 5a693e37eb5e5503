"""Why a target gets its share: the decision of a router that reads the newest snapshot, as `routecast route explain` words it."""

from __future__ import annotations

import random

from routecast.dashboards.terminal.board import Why
from routecast.models.config import Config
from routecast.models.decision import Alternative, Explanation
from routecast.models.snapshot import RoutingSnapshot
from routecast.streams.clock import FixedClock
from routecast.streams.emitter import Emitter
from routecast.streams.router import Router


def why(config: Config, snapshot: RoutingSnapshot, target: str) -> Why | None:
    """Of a target, for requests that ask for nothing; None where the configuration does not know it.

    Raises ConfigError or NoTarget where no router with this configuration could choose at all.
    """
    clock, luck = FixedClock(snapshot.at_ms), random.Random(target)
    router = Router(config, snapshot.service, Emitter(clock, luck), clock, luck)
    router.apply(snapshot)
    found = router.choose().explain()
    if found.target == target:
        return Why(policy=found.policy, probability=found.propensity, cost_s=found.cost_s, reason=found.reason, would_change="nothing: it was drawn just now")
    other = next((alternative for alternative in found.alternatives if alternative.target == target), None)
    if other is None:
        return None
    return Why(policy=found.policy, probability=other.probability, cost_s=other.cost_s, reason=other.reason, would_change=_change(other, found))


def _change(other: Alternative, drawn: Explanation) -> str:
    if other.cost_s is None:
        return "the end of what it is left out for"
    costs = [alternative.cost_s for alternative in drawn.alternatives if alternative.cost_s is not None]
    cheapest = min([drawn.cost_s, *costs])
    return "it is the cheapest: another draw" if other.cost_s <= cheapest else f"{1 - cheapest / other.cost_s:.0%} less cost makes it the cheapest"
