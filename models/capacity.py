"""Capacity (topic `routecast.insights`, key `capacity/SERVICE`): how much load fits, when a limit is reached, what an autoscaler may do."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")


class TargetCapacity(_Frozen):
    """What one target can take."""

    target: str
    concurrency: NonNegativeFloat | None = None
    """Concurrent requests from which on answers slow down; None: none was seen."""
    sustainable_per_min: NonNegativeFloat | None = None
    service_ms: NonNegativeFloat | None = None
    """Mean time of an answer that meets no queue."""
    service_ms_low: NonNegativeFloat | None = None
    service_ms_high: NonNegativeFloat | None = None
    n: NonNegativeInt = 0
    """Answers behind the fit."""
    limit_per_min: NonNegativeFloat | None = None
    """Its rate limit, configured or told by headers; None: none known."""
    limit_in_hours: NonNegativeFloat | None = None
    """Until a daily limit is used up at the present rate; None: never, or none known."""


class ScaleHint(_Frozen):
    """What an autoscaler may act on."""

    action: Literal["up", "down", "none"]
    slots: int = 0
    """Concurrent requests to add (positive) or that could be spared (negative)."""
    in_min: NonNegativeFloat | None = None
    """Minutes until the limit is reached if the present trend goes on; None: not in sight."""
    reason: str


class Capacity(_Frozen):
    """How much load a service can take before requests wait too long: its recorded arrivals played against fitted service times."""

    type: Literal["capacity"] = "capacity"
    service: str
    at_ms: float
    now_per_min: NonNegativeFloat
    """Requests per minute that arrive."""
    sustainable_per_min: NonNegativeFloat | None = None
    """The most at which `limit_ms` holds; None where there is too little evidence, which `reason` explains."""
    low_per_min: NonNegativeFloat | None = None
    """Ends of its 95 % interval over fits and runs."""
    high_per_min: NonNegativeFloat | None = None
    erlang_c_per_min: NonNegativeFloat | None = None
    """What the textbook formula says, for comparison: it knows Poisson arrivals and exponential service only."""
    limit_ms: NonNegativeFloat
    """Time that 95 % of the requests may wait at most."""
    wait_p95_ms: NonNegativeFloat | None = None
    """What they wait at the present load."""
    reason: str = ""
    targets: tuple[TargetCapacity, ...] = ()
    scale: ScaleHint

    @property
    def key(self) -> str:
        """Of its record."""
        return f"capacity/{self.service}"
