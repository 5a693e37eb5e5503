"""Which policy `auto` stands for: the one in force, until the log says that another is better beyond doubt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from routecast.models.election import Election
from routecast.models.evaluation import Evaluation, MetricEstimate

MARGIN: Final = 0.02
"""Share of the logged mean by which a policy must be faster for sure: less is not worth the disturbance."""
_LONGEST: Final = 256
"""Characters of a reason that a word may hold."""


def elect(service: str, in_force: str, candidates: Sequence[Evaluation]) -> Election:
    """The candidate of the least mean time to success among those that beat the policy in force; without any, that one stays.

    A candidate beats it where its estimate was not refused, the 95 % interval of the paired difference in time lies below −2 % of the logged mean, and
    that of the difference in success does not lie below 0.
    """
    winners = [(found.value.value, it.policy, found) for it in candidates if (found := _faster(it)) is not None and not _fails_more(it)]
    if not winners:
        return stay(service, in_force, "; ".join(_lost(it, in_force) for it in candidates))
    _, policy, found = min(winners, key=lambda winner: winner[:2])
    why = f"{_times(policy, in_force, found)}, by {found.rows:,} logged decisions"
    return Election.model_validate({"service": service, "before": in_force, "policy": policy, "why": why[:_LONGEST]})


def stay(service: str, in_force: str, why: str) -> Election:
    """The policy in force stays."""
    return Election.model_validate({"service": service, "before": in_force, "policy": in_force, "why": why[:_LONGEST]})


def _faster(candidate: Evaluation) -> MetricEstimate | None:
    found = candidate.of("time_to_success_s")
    if candidate.refused or found is None or found.difference is None:
        return None
    return found if found.difference.high < -MARGIN * found.logged.value else None


def _fails_more(candidate: Evaluation) -> bool:
    """Surely, or nobody knows."""
    found = candidate.of("success_ratio")
    return found is None or found.difference is None or found.difference.high < 0.0


def _lost(candidate: Evaluation, in_force: str) -> str:
    found = candidate.of("time_to_success_s")
    if candidate.refused or found is None:
        return f"{candidate.policy} cannot be judged: {candidate.refused or candidate.left_out.get('time_to_success_s', 'no request tells')}"
    times = _times(candidate.policy, in_force, found)
    return f"{times}, but fewer requests would succeed" if _faster(candidate) else f"{times}: not {MARGIN:.0%} less for sure"


def _times(policy: str, in_force: str, found: MetricEstimate) -> str:
    """Both means, and how far they are apart."""
    apart = found.difference
    ratios = () if apart is None or found.logged.value <= 0 else tuple(100.0 * ms / found.logged.value for ms in (apart.value, apart.low, apart.high))
    far = " ({:+.1f} %, {:+.1f} to {:+.1f})".format(*ratios) if ratios else ""
    return f"{policy} would take {found.value.value:.3g} s to a success, {in_force} takes {found.logged.value:.3g} s{far}"
