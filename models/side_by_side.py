"""What several policies would have chosen, each by the same recorded snapshots: `routecast replay --policy`."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt

from routecast.models.report import Part


class PolicySide(Part):
    """One policy on all decisions."""

    policy: str
    refused: str = Field(description="why it cannot be asked; empty: it was, and the rest is known")
    agreement: dict[str, float] = Field(description="with whom (`logged`: the recorded choice, or another policy) → share of decisions with the same target")
    logged_propensity: float | None = Field(description="mean probability with which it would have taken the recorded choice")
    cost_s: float | None = Field(description="median of the cost that the snapshot expects of the target it draws, s: a mean would be that of the worst few")
    shares: dict[str, float] = Field(description="per target, mean probability")


class SideBySide(Part):
    """Policies on the same decisions of a recording."""

    file: str
    service: str
    decisions: NonNegativeInt
    logged_cost_s: float = Field(description="the same of the recorded choices, s")
    excluded: dict[str, NonNegativeInt] = Field(description="recorded calls that were left out, by reason")
    policies: tuple[PolicySide, ...]
