"""Routing snapshots as points: scores every ten seconds, states when they change."""

from __future__ import annotations

import math
from typing import Final, get_args

from routecast.dashboards.influx.line_protocol import Point
from routecast.dashboards.influx.schema import PROVIDER_SCORE, PROVIDER_STATE, ROUTER_EVENT
from routecast.models.snapshot import RoutingSnapshot, State, TargetScore

EVERY_MS: Final = 10_000
CODES: Final[dict[State, int]] = {"ok": 0, "degraded": 1, "recovering": 2, "rate_limited": 3, "open": 4, "drained": 5, "unknown": 6}
_SEVERITIES: Final[dict[State, str]] = {"open": "high", "degraded": "medium", "rate_limited": "medium"}
assert set(CODES) == set(get_args(State))  # noqa: S101 - a state without a code would not be stored


class ScorePoints:
    """Points of the snapshots of all services, in the order of the log.

    It remembers the state of each target; one that starts tells the states of its first snapshot, which changes nothing that is stored.
    """

    def __init__(self) -> None:
        self._states: dict[tuple[str, str], State] = {}

    def of(self, snapshot: RoutingSnapshot) -> list[Point]:
        """The points of a snapshot; none for most."""
        full = snapshot.at_ms % EVERY_MS < snapshot.period_ms
        points: list[Point] = []
        for target in snapshot.targets:
            before = self._states.get((snapshot.service, target.id))
            self._states[snapshot.service, target.id] = target.state
            if full or before != target.state:
                points.append(Point(PROVIDER_STATE, (target.id, snapshot.service), snapshot.at_ms, (target.state, CODES[target.state])))
            if before not in {None, target.state}:
                points.append(_change(snapshot, target, before))
        return points + _scores(snapshot) if full else points


def _change(snapshot: RoutingSnapshot, target: TargetScore, before: State | None) -> Point:
    tags = ("state", _SEVERITIES.get(target.state, "info"), target.id)
    title = f"{target.id}: {before} → {target.state}"
    return Point(ROUTER_EVENT, tags, snapshot.at_ms, (title, f"service {snapshot.service}", int(snapshot.at_ms)))


def _scores(snapshot: RoutingSnapshot) -> list[Point]:
    """At the beginning of the ten seconds, so that a second one at once overwrites the first."""
    at_ms = math.floor(snapshot.at_ms / EVERY_MS) * EVERY_MS
    ranked = sorted(snapshot.targets, key=lambda target: (-target.score, target.id))
    return [Point(PROVIDER_SCORE, (t.id, snapshot.service), at_ms, (*_figures(t), rank)) for rank, t in enumerate(ranked, 1)]


def _figures(t: TargetScore) -> tuple[float, ...]:
    """In the order of the registry, but for the rank."""
    return (
        t.score, t.quality,
        t.success, t.share, t.load, t.history, t.real_time, t.headroom, t.ramp,
        t.cost_s, t.time_s, t.service_s,
        t.usd,
        t.weight, t.capacity, t.in_flight, t.n,
    )  # fmt: skip
