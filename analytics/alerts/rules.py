"""When somebody should look: one description of all rules, made from the configuration. Alerts follow it, and so can whoever draws or exports them.

A rule counts bad events among all events, over two windows: a long one that says it matters, a short one that says it still happens.

| kind | event | bad | allowed share |
|---|---|---|---|
| `error_rate` | attempt that ended, the caller's own faults aside | failed | 1 − `objective.success_ratio` |
| `response_time` | success or timeout | took longer than `objective.within_ms` | the same |
| `throughput` | minute that usually has traffic | had less than `throughput_per_min.minimum` | the same |
| `quality` | judgement | what it lacks to 1 | 1 − `quality.target` |

Burn rates are multiples of the allowed share (B. Beyer et al., "The Site Reliability Workbook", 2018, chapter 5), never more than half of
the way from there to everything: where much is allowed, a total failure must still be one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from routecast.models.config import Config, Routing, Thresholds
from routecast.models.severity import AlertKind, Severity

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

KINDS: Final[tuple[AlertKind, ...]] = ("error_rate", "response_time", "throughput", "quality")
BURN_RATES: Final[tuple[tuple[Severity, float, int, int], ...]] = (
    ("critical", 14.4, HOUR_MS, 5 * MINUTE_MS),
    ("high", 6.0, 6 * HOUR_MS, 30 * MINUTE_MS),
    ("medium", 3.0, DAY_MS, 2 * HOUR_MS),
    ("low", 1.0, 3 * DAY_MS, 6 * HOUR_MS),
)
"""Severity, multiple of the allowed share, long and short window."""

Unit = Literal["ratio", "ms", "per_min", "score", "burn_rate"]


class Rule(NamedTuple):
    """One rule of one service, or of the system."""

    kind: AlertKind
    severity: Severity
    rule: Literal["burn_rate", "threshold"]
    long_ms: int
    short_ms: int
    share: float
    """Share of bad events above which it holds; for thresholds on the response time infinite: those are on the mean, `threshold`."""
    allowed: float
    """Share that the objective allows."""
    threshold: float
    """The same limit in `unit`."""
    target: float
    """What the objective or the configuration asks for, in `unit`."""
    unit: Unit


Rules = tuple[Rule, ...]


def rules_of(config: Config) -> Mapping[str, Rules]:
    """The rules of every service, and under the empty name those of the system and of services that only events name.

    The rules of all services are the same ones in the same order, with numbers of their own.
    """
    services = {service: config.routing_for(service) for service in sorted(config.services)}
    return {name: _rules(routing, config.thresholds) for name, routing in {"": config.routing, **services}.items()}


def _rules(routing: Routing, thresholds: Thresholds) -> Rules:
    allowed = 1.0 - routing.objective.success_ratio
    shares: dict[AlertKind, float] = {"error_rate": allowed, "response_time": allowed, "throughput": allowed, "quality": 1.0 - thresholds.quality.target}
    burning = [_burn(kind, shares[kind], *rate) for rate in BURN_RATES for kind in KINDS]
    return (*_thresholds(routing, thresholds), *burning)


def _burn(kind: AlertKind, allowed: float, severity: Severity, factor: float, long_ms: int, short_ms: int) -> Rule:
    share = min(factor * allowed, (1.0 + allowed) / 2.0)
    return Rule(kind, severity, "burn_rate", long_ms, short_ms, share, allowed, round(share / allowed, 6) if allowed else factor, 1.0, "burn_rate")


def _thresholds(routing: Routing, thresholds: Thresholds) -> Rules:
    allowed = 1.0 - routing.objective.success_ratio
    rules: list[Rule] = []
    levels: tuple[tuple[Severity, str], ...] = (("critical", "critical"), ("medium", "warning"))
    for severity, level in levels:
        ratio, ms = getattr(thresholds.error_ratio, level), getattr(thresholds.response_time_ms, level)
        rules += (
            Rule("error_rate", severity, "threshold", 5 * MINUTE_MS, MINUTE_MS, ratio, allowed, ratio, allowed, "ratio"),
            Rule("response_time", severity, "threshold", 5 * MINUTE_MS, MINUTE_MS, float("inf"), allowed, ms, routing.objective.within_ms, "ms"),
        )
    rate, quality = thresholds.throughput_per_min, thresholds.quality
    return (
        *rules,
        Rule("throughput", "medium", "threshold", 5 * MINUTE_MS, 5 * MINUTE_MS, 0.5, allowed, rate.minimum, rate.target, "per_min"),
        # Judgements are few: five minutes of them say nothing.
        Rule("quality", "medium", "threshold", HOUR_MS, 30 * MINUTE_MS, 1.0 - quality.minimum, 1.0 - quality.target, quality.minimum, quality.target, "score"),
    )
