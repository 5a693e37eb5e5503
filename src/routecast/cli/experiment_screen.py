"""Experiments on a screen: one line each, or one with everything that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routecast.analytics.experiments.verdict import change
from routecast.cli.render import Form, show, show_rows
from routecast.dashboards.terminal.words import lasting, line_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routecast.models.experiment_report import ArmReport, Comparison, ExperimentReport
    from routecast.models.experiments import Measure, Rail

LIST_HEADS = ("experiment", "service", "state", "arms", "requests", "age", "verdict")
_ARM_HEADS = ("arm", "routes by", "share", "requests", "ended", "ok", "failed", "latency", "p95 ms", "quality", "usd")


_SHADOW_HEADS = ("arm", "routes by", "decided", "served", "same target")
_NAMED = 3
"""Targets that a row names."""


def list_row(found: ExperimentReport, now_ms: float) -> tuple[str, ...]:
    """One line."""
    arms = ", ".join(arm.name for arm in found.arms)
    # A shadow decides about the requests of the control: they count once.
    exposed = sum(arm.exposed for arm in found.arms[: 1 if found.shadow else None])
    return (found.name, found.service, found.state, arms, str(exposed), lasting(now_ms - found.started_ms), line_of(found.verdict))


def show_experiment(found: ExperimentReport, now_ms: float, chosen: Form) -> None:
    """Verdict, arms, comparisons, guard rails."""
    if chosen == "plain":
        show_rows(_ARM_HEADS, [_arm_row(arm) for arm in found.arms], chosen)
        return
    unit = {"request": "requests", "session": "sessions", "block": "blocks of time"}[found.unit]
    kind = "shadow decisions beside" if found.shadow else f"{unit} of"
    show(f"{found.name} ({found.salt}): {kind} service {found.service}, {_state(found, now_ms)}")
    show(f"verdict: {line_of(found.verdict)}{_to_go(found)}\n")
    if found.shadow:
        show_rows(_SHADOW_HEADS, [_shadow_row(found, arm) for arm in found.arms], chosen)
    else:
        show_rows(_ARM_HEADS, [_arm_row(arm) for arm in found.arms], chosen)
    if found.comparisons:
        show("")
        show_rows(("beside the control", "measure", "effect", "from", "to", "finding"), [_comparison_row(item) for item in found.comparisons], chosen)
    if found.rails:
        show("")
        heads = ("guard rail", "arm", "harm", "for certain more than", "allowed")
        show_rows(heads, [(r.rail, r.arm, *(_part(r.rail, v) for v in (r.harm, r.low, r.limit))) for r in found.rails], chosen)
    ratio = found.sample_ratio
    if ratio.tested:
        show(f"\nsample ratio: {'as it should be' if ratio.ok else 'not as it should be'} (p = {ratio.p:.2g})")


def _state(found: ExperimentReport, now_ms: float) -> str:
    if found.state == "running":
        return f"runs for {lasting(now_ms - found.started_ms)}, {lasting(found.ends_ms - now_ms)} more at most"
    return f"ended {lasting(now_ms - found.ends_ms)} ago by {found.ended_by}: {line_of(found.why)}"


def _to_go(found: ExperimentReport) -> str:
    return "" if found.to_go_s is None else f"; a difference as large as this one would be certain in about {lasting(found.to_go_s * 1000.0)}"


def _shadow_row(found: ExperimentReport, arm: ArmReport) -> tuple[str, ...]:
    control = arm.name == found.arms[0].name
    return (arm.name, _way(arm), str(arm.exposed), str(arm.ended) if control else "none", "-" if control else str(arm.agreed))


def _way(arm: ArmReport) -> str:
    """Policy, weights, which targets it has alone or is kept away from; nothing: as outside the experiment."""
    weights = [f"{name} × {weight:g}" for name, weight in arm.weights.items() if weight]
    away = [name for name, weight in arm.weights.items() if not weight]
    parts = (arm.policy, *weights, _some("only", arm.targets), _some("without", away))
    return ", ".join(part for part in parts if part) or "-"


def _some(word: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{word} {', '.join(names[:_NAMED])}{more}" if names else ""


def _arm_row(arm: ArmReport) -> tuple[str, ...]:
    levels = {name: level.mean for name, level in arm.levels.items()}
    figures = (levels.get("latency"), arm.p95_ms, levels.get("quality"), levels.get("cost"))
    shown = ("-" if value is None else f"{value:.4g}" for value in figures)
    return (arm.name, _way(arm), f"{100 * arm.share:.4g}%", *(str(n) for n in (arm.exposed, arm.ended, arm.ok, arm.failed)), *shown)


def _comparison_row(item: Comparison) -> tuple[str, ...]:
    return (item.arm, item.measure, *(_part(item.measure, value) for value in (item.effect, item.low, item.high)), item.finding)


def _part(measure: Measure | Rail, value: float | None) -> str:
    return "-" if value is None else change(measure, value)
