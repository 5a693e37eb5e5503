"""What the policy `auto` is chosen from, and what was chosen: between a leader and the process that looks at the evidence."""

from __future__ import annotations

from typing import Final, Literal, get_args

from pydantic import Field, NonNegativeFloat

from routecast.models.config import Config, Policy
from routecast.models.report import Part

Electable = Literal["performance", "weighted"]
ELECTABLE: Final[tuple[Electable, ...]] = get_args(Electable)
"""Policies that draw, so that the log they leave can tell when another one would be better."""


class ElectionInput(Part):
    """What to look at."""

    config: Config
    following: dict[str, str] = Field(description="service → the policy that it follows now")
    stretch_ms: NonNegativeFloat = Field(description="of how long to look back, at most")
    folder: str = Field(description="where to keep files meanwhile")
    recorded: bool = Field(default=False, description="whether the newest stretch is in the folder already: that of an embedded log, which no process can read")


class Election(Part):
    """What the evidence says of one service."""

    service: str
    before: str = Field(description="the policy whose log was looked at")
    policy: Policy = Field(description="the one to follow, `before` where nothing is better for sure")
    why: str


class Elections(Part):
    """Of all services that were asked for."""

    elections: tuple[Election, ...]
