"""Targets of which next to nothing is known while the others are known well: each gets a capped share until it has proved itself.

Without the cap a newcomer at its prior cost is the cheapest target of a busy service, and a burst that arrives between two snapshots goes to it
as a whole. Without a share of its own, one whose prior is dearer than the rest would never be tried. So it counts as cheap as the
cheapest, and is drawn so seldom that its share cannot exceed the cap.
"""

from __future__ import annotations

from collections.abc import Sequence

from routecast.models.config import TargetConfig
from routecast.models.rows import TargetTotals

_LITTLE = 0.1
"""Of the mean of the others: a target that was started more often than this came with them."""


def newcomers(totals: Sequence[TargetTotals], prior_weight: float) -> list[bool]:
    """Which targets are new beside the others.

    A target is one until its outcomes weigh as much as the prior, `prior_weight` of them. Where all began together none is: the traffic must go
    somewhere.
    """
    least = max(1.0, prior_weight)
    little = _LITTLE * sum(item.started for item in totals) / max(1, len(totals))
    return [item.ok + item.failed < least and item.started < little for item in totals]


def capped_shares(shares: Sequence[float], new: Sequence[bool], cap: float, draws: int, explore: float) -> list[float]:
    """Weights of candidates for `draws` draws of which the cheapest wins: Σ = 1, and no newcomer wins with a probability above `cap`.

    Besides, a share `explore` of the decisions is uniform. Where every candidate is new, or none, the shares stay in proportion.
    """
    n, m = len(shares), sum(new)
    total = sum(share for share, is_new in zip(shares, new, strict=True) if not is_new)
    if not 0 < m < n:
        return _normalised(shares)
    left = max(0.0, cap - explore / n) / (1.0 - explore)
    weight = min(1.0 / n, 1.0 - (1.0 - min(1.0, left)) ** (1.0 / draws))
    rest = 1.0 - m * weight
    return [weight if is_new else rest * (share / total if total > 0 else 1.0 / (n - m)) for share, is_new in zip(shares, new, strict=True)]


def capped_scores(scores: Sequence[float], new: Sequence[bool], cap: float) -> list[float]:
    """Scores for one draw in proportion to them, at which no newcomer is drawn with a probability above `cap`."""
    if not 0 < sum(new) < len(scores) or cap >= 1.0:
        return list(scores)
    most = cap / (1.0 - cap) * sum(score for score, is_new in zip(scores, new, strict=True) if not is_new)
    return [min(score, most) if is_new else score for score, is_new in zip(scores, new, strict=True)]


def welcomed(costs: Sequence[float], new: Sequence[bool]) -> list[float]:
    """Costs with which newcomers are tried: as cheap as the cheapest that is known."""
    known = [cost for cost, is_new in zip(costs, new, strict=True) if not is_new]
    if not known or len(known) == len(costs):
        return list(costs)
    return [min(cost, *known) if is_new else cost for cost, is_new in zip(costs, new, strict=True)]


def _normalised(shares: Sequence[float]) -> list[float]:
    total = sum(shares)
    return [share / total for share in shares] if total > 0 else [1.0 / len(shares)] * len(shares)


def configured(t: TargetTotals) -> TargetConfig:
    """A target that events name and the configuration does not, with its defaults."""
    return TargetConfig(id=t.target, provider=t.provider or t.target, model=t.model or "unknown", service=t.service, region=t.region or None)
