"""What `routecast demo` reports: the same requests under several policies, or one of them on Kafka."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from routecast.models.decision import Explanation


class Part(BaseModel):
    """A part of a report; frozen."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class Estimate(Part):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class PolicyRow(Part):
    """How one policy did."""

    policy: str
    mean_s: Estimate = Field(description="mean time to success, seconds; a request whose third attempt failed costs 30 s more")
    p95_s: Estimate
    p99_s: Estimate
    failed_ratio: Estimate = Field(description="requests without success ÷ requests")
    failed_attempts: int
    rate_limited: int = Field(description="attempts that were answered 429")
    into_dead: int = Field(description="attempts into the dead target while it was dead")
    into_dead_ratio: float = Field(description="the same ÷ all attempts of that time")
    largest_share: float = Field(description="largest share of the attempts that one target got")
    to_orc: float | None = Field(description="mean ÷ that of ORC: least S·(n+1)/c on perfect fresh state")
    to_best: float | None = Field(description="mean ÷ that of BEST: fastest target with a free slot, else nearly the least wait")


class DemoTarget(Part):
    """A recorded provider run behind a slot queue."""

    target: str
    provider: str
    model: str
    slots: int = Field(description="chosen for the demonstration, not recorded")
    mean_service_s: float
    recorded: int = Field(description="recorded requests")
    recorded_rate_limited: int
    injected: str = Field(description="trouble injected into it and when, virtual seconds; empty: none")


class Explained(Part):
    """A decision of the run, explained."""

    at_s: float
    when: str
    decision: Explanation


class CountCheck(Part):
    """A count of the pipeline beside the truth of the simulation."""

    what: str
    pipeline: int
    truth: int

    @property
    def agrees(self) -> bool:
        """Whether they are equal."""
        return self.pipeline == self.truth


class Noticed(Part):
    """A trouble, and what the fleet noticed of it."""

    target: str
    trouble: str
    begins_s: float
    ends_s: float
    after_s: dict[str, float] = Field(description="virtual seconds from its beginning to each kind of sign that names the target, the first of each kind")


class DemoReport(Part):
    """Everything that `routecast demo` found out."""

    seed: int
    duration_s: float
    routers: int
    requests: int
    load: float
    compression: float = Field(description="how much faster than recorded the requests arrive")
    targets: tuple[DemoTarget, ...]
    policies: tuple[PolicyRow, ...]
    decisions: tuple[Explained, ...]
    noticed: tuple[Noticed, ...] = Field(description="of the first policy")
    elsewhere: tuple[str, ...] = Field(description="signs at targets without a trouble of their own: load that came from others, or false")
    checks: tuple[CountCheck, ...]


class Freshness(Part):
    """How long after something happened every router had a snapshot that counts it, ms; each event once for each router."""

    n: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class LiveReport(Part):
    """Everything that `routecast demo --kafka` found out. Times of requests are virtual seconds, all others real ones."""

    seed: int
    duration_s: float = Field(description="virtual seconds of traffic")
    speed: float = Field(description="virtual seconds in a real one")
    took_s: float = Field(description="real seconds from the first request to the end of the last")
    behind_ms: float = Field(description="most that a request or an answer came too late, real time: the machine was busy")
    brokers: str
    prefix: str = Field(description="before every topic name")
    workers: int = Field(description="worker processes of the demonstration's own; 0: others were there")
    routers: int
    requests: int
    load: float
    compression: float = Field(description="how much faster than recorded the requests arrive, in virtual time")
    targets: tuple[DemoTarget, ...]
    policy: PolicyRow
    decisions: tuple[Explained, ...]
    freshness: Freshness | None = Field(description="from event to router; absent where no snapshot was seen")
    dropped: int = Field(description="events that emitters had to drop")
    checks: tuple[CountCheck, ...]
