"""What routers really sent where: attempts that began within the last minute, by the totals in details; and whose plans they follow."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from routecast.dashboards.terminal.glance import NOTHING, Glance
from routecast.models.config import Config
from routecast.models.snapshot import RoutingSnapshot

PLANNED: Final = frozenset({"performance", "auto", "learned"})
"""Policies that draw from the planned shares; the others go by something else."""
_MINUTE_MS: Final = 60_000.0

Totals = Mapping[str, int]


class Traffic:
    """Memory: the totals of each target, one a record of details of the last minute."""

    def __init__(self) -> None:
        self.shares: dict[str, Mapping[str, float]] = {}
        """By service and target, 0..1 of the attempts that began within the last minute; empty where none did."""
        self._totals: dict[str, deque[tuple[float, Totals]]] = {}

    def take(self, details: Glance) -> None:
        """Take the newest details of a service."""
        kept = self._totals.setdefault(details.service, deque())
        kept.append((details.at_ms, {target.id: target.started_total for target in details.targets}))
        while len(kept) > 1 and kept[1][0] <= details.at_ms - _MINUTE_MS:
            kept.popleft()
        self.shares[details.service] = _shares(_begun(kept[0][1], kept[-1][1]) if len(kept) > 1 else _ended(details))


def _begun(before: Totals, now: Totals) -> Totals:
    return {target: max(0, total - before.get(target, 0)) for target, total in now.items()}


def _ended(details: Glance) -> Totals:
    """Instead of what began, where there is nothing to compare with."""
    return {target.id: target.windows.get("1m", NOTHING).requests for target in details.targets}


def _shares(counts: Totals) -> Mapping[str, float]:
    total = sum(counts.values())
    return {target: count / total for target, count in counts.items()} if total else {}


def plans(config: Config, snapshot: RoutingSnapshot) -> bool:
    """Whether routers draw from the shares that this snapshot plans."""
    policy = policy_of(config, snapshot)
    return policy in PLANNED and (config.adaptive.enabled or policy == "learned")


def policy_of(config: Config, snapshot: RoutingSnapshot) -> str:
    """The policy of a service: what operators or evidence say, else what is configured."""
    return snapshot.policy or config.routing_for(snapshot.service).policy
