"""What might relieve the load of a service: taking a bad target out, asking for a higher limit, another target, other weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from shlex import quote
from statistics import median
from typing import Final

from routecast.analytics.capacity.what_if import Copy, Drain, Limit, Weight
from routecast.analytics.recommendations.proposal import Proposal, Situation, subject_of
from routecast.models.planning import PlannedTarget
from routecast.models.severity import Severity
from routecast.models.subject import Subject

MOST: Final = 3
"""Proposals of a kind that are simulated."""
FULL: Final = 0.8
"""Of what can be sustained: from there on a service is nearly full."""
_LEAST_ATTEMPTS = 30
_FAILING, _OFTEN_FAILING = 0.01, 0.05
_SLOW = 1.5
"""Times the median of the others."""
_REFUSED = 0.01
_EXHAUSTED = 0.1
_DOUBLED = 2.0
_CONTRADICTS = math.log(1.5)
_MOST_FACTOR = 5.0
_WINDOW_S = 300.0

_TIMES: Final = frozenset({"mean_ms", "p95_ms", "fail_ratio"})


def drains(situation: Situation) -> list[Proposal]:
    """Targets that fail or are slow, the worst first, without which there would still be room."""
    found = [target for target in situation.serving if _bad(situation, target) and _spared(situation, target)]
    found.sort(key=lambda target: (-_badness(situation, target), target.id))
    return [_drain(situation, target) for target in found[:MOST]]


def _bad(situation: Situation, target: PlannedTarget) -> bool:
    failing = target.attempts >= _LEAST_ATTEMPTS and target.fail_ratio >= _FAILING
    return len(situation.serving) > 1 and (
        failing or _slowness(situation, target) >= _SLOW or bool({"error_rate", "error_ratio", "response_time"} & set(target.worse))
    )


def _slowness(situation: Situation, target: PlannedTarget) -> float:
    """Mean time of its answers by the median of the others'."""
    return _took_s(target) / median([_took_s(other) for other in situation.others(target)] or [_took_s(target)])


def _took_s(target: PlannedTarget) -> float:
    return target.mean_s or target.service_s


def _badness(situation: Situation, target: PlannedTarget) -> float:
    return target.fail_ratio / _OFTEN_FAILING + math.log(max(1.0, _slowness(situation, target)))


def _spared(situation: Situation, target: PlannedTarget) -> bool:
    """Whether what the others can sustain leaves them below the point from which on they are nearly full."""
    left = _without(situation, target)
    return left is None or situation.capacity.now_per_min <= FULL * left


def _without(situation: Situation, target: PlannedTarget) -> float | None:
    capacity = situation.capacity
    own = next((row.sustainable_per_min for row in capacity.targets if row.target == target.id), None)
    return None if capacity.sustainable_per_min is None or own is None else max(0.0, capacity.sustainable_per_min - own)


def _drain(situation: Situation, target: PlannedTarget) -> Proposal:
    left, slowness = _without(situation, target), _slowness(situation, target)
    figures = {"fail_ratio": target.fail_ratio, "mean_ms": _took_s(target) * 1000.0, "times_as_slow": slowness, "attempts_5m": float(target.attempts)}
    failing = target.fail_ratio >= _FAILING and (target.fail_ratio >= _OFTEN_FAILING or slowness < _SLOW)
    what = f"{target.fail_ratio:.1%} of its attempts fail" if failing else f"its answers take {slowness:.1f} times as long as elsewhere"
    return Proposal(
        "drain", subject_of(target, situation.planning.service), Drain(target.id), _TIMES, "high" if target.fail_ratio >= _OFTEN_FAILING else "medium",
        f"{target.id}: {what}; the others serve its share better", f"routecast targets drain {quote(target.id)}",
        figures if left is None else figures | {"sustainable_without_per_min": left},
    )  # fmt: skip


def raised_limits(situation: Situation) -> list[Proposal]:
    """Targets that are good and refuse, or are about to."""
    found = [target for target in situation.serving if limit_per_s(target) is not None and _short(target) and not _bad(situation, target)]
    found = [target for target in found if target.quality_n == 0 or target.quality >= situation.planning.quality_minimum]
    found.sort(key=lambda target: (-target.refused_ratio, target.headroom, target.id))
    return [_raised(situation, target) for target in found[:MOST]]


def _short(target: PlannedTarget) -> bool:
    return (target.attempts >= _LEAST_ATTEMPTS and target.refused_ratio >= _REFUSED) or target.headroom < _EXHAUSTED


def limit_per_s(target: PlannedTarget) -> float | None:
    """The rate limit; where none is known and requests are refused, what is let through."""
    if target.limit_per_s is None and target.attempts >= _LEAST_ATTEMPTS and target.refused_ratio >= _REFUSED:
        return target.attempts * (1.0 - target.refused_ratio) / _WINDOW_S
    return target.limit_per_s


def _raised(situation: Situation, target: PlannedTarget) -> Proposal:
    per_min = 60.0 * (limit_per_s(target) or math.inf)
    wanted = _DOUBLED * per_min
    priority: Severity = "high" if target.refused_ratio >= _OFTEN_FAILING else "medium"
    what = f"{target.refused_ratio:.1%} of its attempts are refused" if target.refused_ratio >= _REFUSED else f"{target.headroom:.0%} of its limit is free"
    return Proposal(
        "raise_limit", subject_of(target, situation.planning.service), Limit(target.id, wanted), _TIMES, priority,
        f"{target.id} is good, and {what}: {per_min:.0f} requests/min are too few",
        f"ask {target.provider or 'the provider'} for twice its limits, {wanted:.0f} requests/min; set them for {target.id!r}, run `routecast config check`",
        {"limit_per_min": per_min, "wanted_per_min": wanted, "refused_ratio": target.refused_ratio, "headroom": target.headroom},
    )  # fmt: skip


def added_targets(situation: Situation) -> list[Proposal]:
    """Another target like the best one, where the load is, or will soon be, near what can be sustained."""
    capacity, good = situation.capacity, [target for target in situation.serving if not _bad(situation, target)]
    most = capacity.sustainable_per_min
    if not good or most is None or (capacity.scale.action != "up" and capacity.now_per_min < FULL * most):
        return []
    best = min(good, key=lambda target: (-target.capacity / target.service_s, target.id))
    figures = {"now_per_min": capacity.now_per_min, "sustainable_per_min": most}
    if capacity.scale.in_min is not None:
        figures["limit_in_min"] = capacity.scale.in_min
    service = situation.planning.service
    return [
        Proposal(
            "add_target", Subject(kind="service", id=service, service=service), Copy(best.id), _TIMES, _urgency(situation),
            f"{service}: {capacity.now_per_min:.0f} requests/min arrive, {most:.0f} can be sustained",
            f"add a [[target]] like {best.id!r} to the configuration, run `routecast config check`, start workers and applications anew", figures, ahead=True,
        )
    ]  # fmt: skip


def _urgency(situation: Situation) -> Severity:
    capacity = situation.capacity
    if capacity.now_per_min >= (capacity.sustainable_per_min or math.inf):
        return "critical"
    return "high" if capacity.scale.action == "up" else "medium"


def other_weights(situation: Situation) -> list[Proposal]:
    """Weights of the policy `weighted` that send a target much more or much less than planned shares would."""
    if situation.planning.policy != "weighted" or len(situation.serving) < 2:
        return []
    sent = _shares([target.score * target.weight for target in situation.serving])
    planned = _shares([target.share for target in situation.serving])
    off = [(math.log(max(1e-6, p) / max(1e-6, s)), max(p, s), target) for p, s, target in zip(planned, sent, situation.serving, strict=True) if s > 0]
    found = sorted((item for item in off if abs(item[0]) >= _CONTRADICTS), key=lambda item: (-abs(item[0]) * item[1], item[2].id))
    return [_weighed(situation, target, math.exp(ratio)) for ratio, _, target in found[:MOST]]


def _shares(weights: Sequence[float]) -> list[float]:
    total = sum(weights)
    return [weight / total if total > 0 else 1.0 / len(weights) for weight in weights]


def _weighed(situation: Situation, target: PlannedTarget, factor: float) -> Proposal:
    weight = float(f"{target.weight * min(_MOST_FACTOR, max(1.0 / _MOST_FACTOR, factor)):.2g}")
    much = "more" if weight < target.weight else "less"
    return Proposal(
        "change_weight", subject_of(target, situation.planning.service), Weight(target.id, weight / target.weight), _TIMES, "medium",
        f"{target.id}: its weight of {target.weight:g} sends it much {much} than its measured capacity and speed call for",
        f"routecast targets set-weight {quote(target.id)} {weight:g}", {"weight": target.weight, "wanted_weight": weight, "planned_share": target.share},
    )  # fmt: skip
