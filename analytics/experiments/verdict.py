"""The verdict in words. `undecided` is an answer: nobody has to choose before it is certain."""

from __future__ import annotations

from collections.abc import Sequence

from routecast.analytics.experiments.measures import RELATIVE
from routecast.models.experiment_report import ArmReport, Comparison, RailReport, SampleRatio
from routecast.models.experiments import Measure, Rail

_NOUNS: dict[Measure | Rail, str] = {
    "latency": "latency", "success": "success ratio", "quality": "quality", "cost": "cost", "errors": "failures", "slow": "slow answers",
}  # fmt: skip


def verdict(measure: Measure, arms: Sequence[ArmReport], found: Sequence[Comparison], ratio: SampleRatio) -> str:
    """One sentence for every arm beside the control; none where the sample ratio says that the arms cannot be compared."""
    if not ratio.ok:
        return (
            f"no verdict: the arms did not get their shares (p = {ratio.p:.1g}), so that requests are missing in one of them: "
            "find where they are lost before anything else is believed"
        )
    by_arm = {item.arm: item for item in found if item.measure == measure}
    return "; ".join(_sentence(arm, measure, by_arm.get(arm.name)) for arm in arms[1:])


def _sentence(arm: ArmReport, measure: Measure, found: Comparison | None) -> str:
    if arm.stopped_why:
        return f"{arm.name} was stopped: {arm.stopped_why}"
    if found is None:
        return f"{arm.name} is undecided: too little is known yet"
    shown = f"{_NOUNS[measure]} {change(measure, found.effect)} ({change(measure, found.low)} to {change(measure, found.high)})"
    if found.finding == "undecided":
        return f"{arm.name} is undecided: {shown}"
    return f"{arm.name} is {found.finding}: {shown}, {100.0 * found.confidence:.3g} % certain however often it was looked at"


def change(measure: Measure | Rail, value: float) -> str:
    """An effect as people read it.

    >>> change("latency", -0.098), change("success", 0.012), change("quality", -0.02)
    ('-9.8 %', '+1.2 points', '-0.02')
    """
    if measure in RELATIVE:
        return f"{100.0 * value:+.1f} %" if value < 10 else f"+{value:.3g} times"
    return f"{value:+.3g}" if measure == "quality" else f"{100.0 * value:+.1f} points"


def harm(found: RailReport) -> str:
    """Why an arm is stopped."""
    shown = f"{_NOUNS[found.rail]} {change(found.rail, found.harm or 0.0)} beside the control"
    return f"{shown}, for certain more than {change(found.rail, found.low or 0.0)}; allowed are {change(found.rail, found.limit)}"


def shadowed(control: ArmReport, arm: ArmReport) -> str:
    """What is known of an arm that only decides: how often it would have chosen otherwise, not what would have come of it."""
    if not arm.exposed:
        return f"{arm.name} has not decided yet"
    other = 100.0 * (arm.exposed - arm.agreed) / arm.exposed
    return f"{arm.name} would have chosen another target than {control.name} for {other:.1f} % of {arm.exposed} requests"
