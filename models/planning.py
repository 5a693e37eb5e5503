"""What capacity and recommendations of a service are made from: plain data that the leader gives to a process of its own, as one line of JSON."""

from __future__ import annotations

from typing import Annotated

import msgspec

from routecast.models.errors import DecodeError
from routecast.models.snapshot import State

_Positive = Annotated[float, msgspec.Meta(gt=0)]
_Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Figure = Annotated[float, msgspec.Meta(ge=0)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class PlannedTarget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the leader knows of one target."""

    id: str
    provider: str = ""
    model: str = ""
    region: str = ""
    state: State = "unknown"
    capacity: _Positive
    """Concurrent requests it serves without making them wait, fitted or configured."""
    elastic: bool = False
    """No bound was seen: `capacity` is what was seen at once."""
    service_s: _Positive
    """Mean time of an answer that meets no queue."""
    sigma: _Figure
    """Standard deviation of its logarithm."""
    n: _Figure = 0.0
    """Answers behind it, decayed."""
    mean_s: _Figure = 0.0
    """Mean time of the answers of five minutes, load and all; 0: there were none."""
    fail_ratio: _Ratio = 0.0
    """Errors and timeouts among the attempts of five minutes, without refusals (429) and what the caller did itself."""
    fail_s: _Figure = 0.0
    """Mean time of a failure."""
    refused_ratio: _Ratio = 0.0
    """Refusals (429) among the attempts of five minutes."""
    attempts: _Count = 0
    """Behind both."""
    limit_per_s: _Positive | None = None
    """Rate limit, configured or told by headers; None: none known."""
    headroom: _Ratio = 1.0
    """Free part of it."""
    weight: _Figure = 1.0
    share: _Ratio = 0.0
    """Planned share of the traffic."""
    score: _Ratio = 0.0
    quality: _Ratio = 0.0
    """Mean of the judgements of an hour; without any, as configured."""
    quality_n: _Count = 0
    usd: _Figure = 0.0
    """Expected price of an average request."""
    hours_left: _Figure | None = None
    """Until a limit of the day is used up; None: it is not, or none is known."""
    worse: tuple[str, ...] = ()
    """Metrics that changed for the worse, and kinds of its open alerts."""
    declining: tuple[str, ...] = ()
    """Metrics whose trend declines."""


class PlanningInput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the leader knows of a service. Equal inputs give equal plans."""

    service: str
    at_ms: _Figure
    policy: str = "performance"
    limit_ms: _Positive
    """Time that 95 % of the requests may wait at most."""
    quality_minimum: _Ratio
    quality_target: _Ratio
    targets: tuple[PlannedTarget, ...]
    slot_ms: tuple[int, ...] = ()
    """Half-seconds in which first attempts began, rising."""
    arrived: tuple[_Count, ...] = ()
    """How many."""
    standing: dict[str, float] = {}
    """Recommendations that stand or stood a short time ago, by id: since when."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(PlanningInput)


def encode_planning(planning: PlanningInput) -> bytes:
    """One line of JSON."""
    return _encoder.encode(planning)


def decode_planning(data: bytes) -> PlanningInput:
    """What was encoded. Raises DecodeError when it is something else."""
    try:
        planning = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise DecodeError(f"not what a plan is made from: {error}") from error
    if len(planning.slot_ms) != len(planning.arrived):
        raise DecodeError(f"{len(planning.slot_ms)} half-seconds and {len(planning.arrived)} counts of arrivals: one for each is needed")
    return planning
