"""Where the two answers differ, and why: the log's own estimate leaves the load as it was, the simulation moves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from routecast.models.backtest import FittedTarget, OffPolicy, PolicyAnswer

_THIN: Final = 2_000
"""Effective decisions below which an estimate from the log is a rough one."""
_BUSY: Final = 0.85
"""Utilisation from which on requests wait."""
_NAMED: Final = 3
"""Targets that a sentence names."""


def disagreements(
    answers: Sequence[PolicyAnswer], off_policy: Sequence[OffPolicy], targets: Sequence[FittedTarget], per_s: float, *, left_out: int = 0
) -> tuple[str, ...]:
    """A sentence for each policy whose two intervals do not meet, with the likely reasons and their figures.

    `per_s` is the rate of the requests, `left_out` how many recorded ones before them were not played. Of several estimates from the log the first
    one of a policy counts.
    """
    by_name = {it.name: it for it in answers}
    first: dict[str, OffPolicy] = {}
    for it in off_policy:
        first.setdefault(it.name, it)
    return tuple(sentence for it in first.values() if (sentence := _sentence(it, by_name.get(it.name), targets, per_s, left_out)))


def _sentence(it: OffPolicy, answer: PolicyAnswer | None, targets: Sequence[FittedTarget], per_s: float, left_out: int) -> str:
    simulated = answer.figures.time_to_success_ms if answer is not None else None
    if it.value_ms is None or answer is None or simulated is None:
        return ""
    if it.value_ms.low <= simulated.high and simulated.low <= it.value_ms.high:
        return ""
    difference = simulated.value / it.value_ms.value - 1.0
    reasons = [_load(answer, difference, targets, per_s, left_out), *_thin(it)]
    said = f"the simulation says {simulated.value / 1000:.2f} s, the log {it.value_ms.value / 1000:.2f} s ({difference:+.0%})"
    return f"{it.name}: {said}: {'; '.join(reasons)}"


def _load(answer: PolicyAnswer, difference: float, targets: Sequence[FittedTarget], per_s: float, left_out: int) -> str:
    """The log's estimate leaves every queue as it was recorded; the simulation fills and empties them."""
    used = {it.target: answer.shares.get(it.target, 0.0) * per_s * it.alone_ms / 1000.0 / it.slots for it in targets if it.slots}
    full = [f"{name} at {share:.0%} of what it can do" for name, share in sorted(used.items(), key=lambda item: -item[1]) if share >= _BUSY]
    busy = ", ".join(full[:_NAMED]) + (f", and {len(full) - _NAMED} more above {_BUSY:.0%}" if len(full) > _NAMED else "")
    if difference > 0 and busy:
        return f"load that moves would queue, which the log cannot know: {busy}"
    if difference > 0:
        return "requests that meet a trouble of their target, or a queue, go on differently than the recorded ones did"
    if left_out:
        return f"the {left_out:,} requests before those that were played had left queues, which the simulation begins without, or the policy empties them"
    return "the policy takes load off targets that were busy when recorded: their queues would be shorter, which the log cannot know"


def _thin(it: OffPolicy) -> list[str]:
    if it.effective_n is None or it.effective_n >= _THIN:
        return []
    return [f"thin support: the log is worth {it.effective_n:,.0f} decisions for this policy"]
