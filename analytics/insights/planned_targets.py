"""What a plan of a service is made from, gathered from what its leader knows at a tick."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from routecast.analytics.capacity.daily_limit import hours_left
from routecast.analytics.fleet.capacity_fit import ELASTIC
from routecast.analytics.pane import MILLION
from routecast.analytics.snapshot import Plan
from routecast.analytics.windows.window import WindowStats
from routecast.models.config import Config, TargetConfig
from routecast.models.planning import PlannedTarget, PlanningInput
from routecast.models.snapshot import RoutingSnapshot, TargetScore

_WINDOW_MIN: Final = 5.0
_LEAST_N = 8
"""Answers without which the spread of a target is that of its service."""


class Known(NamedTuple):
    """Of one service, at one tick."""

    snapshot: RoutingSnapshot
    plan: Plan
    arrivals: Sequence[tuple[int, int]]
    """Half-seconds, rising, and the first attempts in them."""
    numbers: Mapping[str, int]
    """The place of a target in windows."""
    recent: WindowStats
    """Of five minutes."""
    hour: WindowStats
    worse: Callable[[str], Sequence[str]]
    """Of a target: what changed for the worse, and kinds of its alerts."""
    declining: Callable[[str], Sequence[str]]
    """Of a target: metrics whose trend declines."""
    standing: Mapping[str, float]


def planning_input(config: Config, known: Known) -> PlanningInput:
    """Plain data, to be given away."""
    service, thresholds = known.snapshot.service, config.thresholds.quality
    return PlanningInput(
        service=service, at_ms=known.snapshot.at_ms, policy=_policy(config, known.snapshot), limit_ms=config.planning.wait_p95_ms,
        quality_minimum=min(1.0, thresholds.minimum), quality_target=min(1.0, thresholds.target),
        targets=tuple(_target(known, i, target) for i, target in enumerate(known.snapshot.targets)), slot_ms=tuple(slot_ms for slot_ms, _ in known.arrivals),
        arrived=tuple(arrived for _, arrived in known.arrivals), standing=dict(known.standing),
    )  # fmt: skip


def _policy(config: Config, snapshot: RoutingSnapshot) -> str:
    policy = snapshot.policy or config.routing_for(snapshot.service).policy
    return "configured" if not config.adaptive.enabled and policy in {"performance", "auto"} else policy


def _target(known: Known, i: int, target: TargetScore) -> PlannedTarget:
    plan, config, place = known.plan, known.plan.targets[i], known.numbers.get(target.id)
    fit, limit = plan.fit, float(plan.limits_per_s[i])
    variance = float(fit.variance[i]) if fit.n[i] >= _LEAST_N else plan.variance
    fail_ratio, refused_ratio, attempts = _failures(known.recent, place)
    quality, quality_n = _quality(known.hour, place, target.quality)
    return PlannedTarget(
        id=target.id, provider=config.provider, model=config.model, region=config.region or "", state=target.state, capacity=target.capacity,
        elastic=bool(fit.choice[i] == ELASTIC and config.capacity is None), service_s=target.service_s, sigma=math.sqrt(variance), n=float(fit.n[i]),
        mean_s=_mean_s(known.recent, place), fail_ratio=fail_ratio, fail_s=target.fail_s, refused_ratio=refused_ratio, attempts=attempts,
        limit_per_s=limit if limit < math.inf else None,
        headroom=target.headroom, weight=target.weight, share=target.share, score=target.score, quality=quality, quality_n=quality_n, usd=target.usd,
        hours_left=_hours_left(known, config, place), worse=tuple(known.worse(target.id)), declining=tuple(known.declining(target.id)),
    )  # fmt: skip


def _failures(stats: WindowStats, place: int | None) -> tuple[float, float, int]:
    """Failed of what was let through, refused of all, and how many all are."""
    if place is None or place >= len(stats):
        return 0.0, 0.0, 0
    ok, error, timeout, refused = (int(stats.sum(name)[place]) for name in ("ok", "error", "timeout", "rate_limited"))
    broken, attempts = error + timeout, ok + error + timeout + refused
    return broken / max(1, attempts - refused), refused / max(1, attempts), attempts


def _mean_s(stats: WindowStats, place: int | None) -> float:
    n = 0 if place is None or place >= len(stats) else int(stats.sum("duration_n")[place])
    return int(stats.sum("duration_us")[place]) / MILLION / n if n else 0.0


def _quality(stats: WindowStats, place: int | None, otherwise: float) -> tuple[float, int]:
    n = 0 if place is None or place >= len(stats) else int(stats.sum("quality_n")[place])
    return (min(1.0, int(stats.sum("quality_sum")[place]) / MILLION / n), n) if n else (otherwise, 0)


def _hours_left(known: Known, config: TargetConfig, place: int | None) -> float | None:
    if place is None or place >= len(known.recent):
        return None
    started, tokens = (sum(int(known.recent.sum(name)[place]) for name in names) for names in (_ENDED, _TOKENS))
    return hours_left(config, started / _WINDOW_MIN, tokens / _WINDOW_MIN, known.snapshot.at_ms)


_ENDED: Final = ("ok", "error", "timeout", "cancelled", "caller_fault")
_TOKENS: Final = ("input_tokens", "output_tokens")
