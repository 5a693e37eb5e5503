"""The configuration: what a person writes in `routecast.toml`, read once at the edge and then passed on.

Every default is a value for production; units are in the names or in the descriptions. Unknown keys are errors.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Policy = Literal["performance", "weighted", "least_connections", "round_robin", "greedy", "random", "learned", "auto"]
Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Ratio = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1000)]
Name = Annotated[str, Field(min_length=1, max_length=256)]

_BROKER = r"(\[[0-9a-fA-F:.]+\]|[^\s:/@,\[\]]+)(:[0-9]{1,5})?"
BROKERS = re.compile(rf"\s*{_BROKER}\s*(,\s*{_BROKER}\s*)*")
"""Addresses of brokers as clients take them: no scheme, no login, no path."""
UNKNOWN_QUALITY = 0.8
"""Quality of a target of which nothing is known."""


class Group(BaseModel):
    """A part of the configuration; frozen, and strict about its keys."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class TargetConfig(Group):
    """One routable deployment, `[[target]]`."""

    id: Name = Field(description="name of the target, unique")
    provider: Name = Field(description="who runs it")
    model: Name = Field(description="what it runs")
    service: Name = Field(description="group of interchangeable targets it belongs to")
    region: Name | None = Field(default=None, description="where it is")
    weight: Weight = Field(default=1.0, description="factor on its score in policy `weighted`; 0 takes it out of rotation")
    capacity: int | None = Field(default=None, ge=1, description="concurrent requests it serves; absent: fitted from traffic")
    requests_per_min: float | None = Field(default=None, gt=0, description="rate limit, requests per minute; absent: none")
    tokens_per_min: float | None = Field(default=None, gt=0, description="rate limit, tokens per minute; absent: none")
    requests_per_day: float | None = Field(default=None, gt=0, description="requests a day (UTC) that the provider allows; absent: no such limit")
    tokens_per_day: float | None = Field(default=None, gt=0, description="tokens a day (UTC) that the provider allows; absent: no such limit")
    input_usd_per_mtok: float = Field(default=0.0, ge=0, description="price of a million input tokens, USD")
    output_usd_per_mtok: float = Field(default=0.0, ge=0, description="price of a million output tokens, USD")
    quality: Ratio | None = Field(default=None, description="quality until feedback arrives, 0..1; absent: 0.8, reported as unknown")

    @property
    def quality_prior(self) -> float:
        """Quality to assume until feedback arrives."""
        return UNKNOWN_QUALITY if self.quality is None else self.quality


class ScoreWeights(Group):
    """What the performance score is made of."""

    response_time: float = Field(default=0.4, ge=0, description="weight of the response time in the score")
    reliability: float = Field(default=0.3, ge=0, description="weight of the success ratio in the score")
    quality: float = Field(default=0.3, ge=0, description="weight of the quality in the score")

    @model_validator(mode="after")
    def _not_all_zero(self) -> ScoreWeights:
        if self.response_time + self.reliability + self.quality <= 0:
            raise ValueError("at least one score weight must be above 0")
        return self


class FactorWeights(Group):
    """How strongly the four adaptive factors act."""

    current_load: float = Field(default=0.25, ge=0, description="weight of the present load; the load term of the cost is raised to weight / 0.25")
    history: float = Field(default=0.30, ge=0, description="weight of the long horizon; larger than `real_time`: slower to believe in a change")
    real_time: float = Field(default=0.30, ge=0, description="weight of the last minute; larger than `history`: quicker to believe in a change")
    requirements: float = Field(default=0.15, ge=0, description="weight of how well a target meets the request's requirements")


class Objective(Group):
    """What the service promises its users."""

    success_ratio: float = Field(default=0.995, gt=0, lt=1, description="share of requests that succeed; below it a target counts as degraded")
    within_ms: float = Field(default=10_000, gt=0, description="time within which an answer counts as in time, ms")


class Calling(Group):
    """How `Router.call` carries out a request."""

    attempts: int = Field(default=3, ge=1, le=20, description="calls to targets made for one request at most, hedges aside")
    deadline_ms: float = Field(default=60_000, gt=0, le=3_600_000, description="time for the whole request where the caller gives none, ms")
    retry_ratio: Ratio = Field(default=0.1, description="second and further attempts allowed per request, on average over ten seconds")
    retry_reserve: float = Field(default=10, ge=0, le=10_000, description="further attempts allowed beside those; they come back within a minute")


class Overflow(Group):
    """What `Router.call` does when every usable target is full."""

    enabled: bool = Field(default=True, description="false: requests never wait in the router, however full the targets are")
    queue: int = Field(default=1000, ge=0, le=100_000, description="requests that may wait, per router; 0: refuse at once")
    limit: float = Field(default=1.25, ge=1, le=100, description="requests in flight per configured capacity from which on a target is full")
    fitted_limit: float = Field(default=8, ge=1, le=1000, description="the same per fitted capacity, where none is configured and evidence exists")


class Hedging(Group):
    """A second attempt beside a slow first one, for urgent requests of `Router.call`."""

    enabled: bool = Field(default=False, description="true: urgent requests may be asked of a second provider when the first chunk is late")
    token_ratio: Ratio = Field(default=0.05, description="tokens that hedges may cost, per token of all requests")


class Routing(Group):
    """How targets are chosen, `[routing]`; `[service.NAME]` overrides any key for one service."""

    policy: Policy = Field(default="performance", description="balancing policy")
    score_weights: ScoreWeights = Field(default=ScoreWeights(), description="weights of the score")
    factor_weights: FactorWeights = Field(default=FactorWeights(), description="weights of the factors")
    failover_threshold: Ratio = Field(default=0.8, description="success ratio (upper bound over the last minute) below which a target is treated as open")
    newcomer_share: Ratio = Field(default=0.05, description="largest share of the requests for a target of which nothing is known yet, while the others are")
    usd_per_second: float = Field(default=0.0, ge=0, description="what a second of waiting is worth, USD; 0: price does not count")
    budget_usd_per_request: float = Field(
        default=0.0, ge=0, description="mean price of a request to keep to, USD: dear targets get less while requests cost more; 0: none"
    )
    objective: Objective = Field(default=Objective(), description="service-level objective")
    call: Calling = Field(default=Calling(), description="how a request is carried out")
    overflow: Overflow = Field(default=Overflow(), description="what happens when every target is full")
    hedging: Hedging = Field(default=Hedging(), description="second attempts beside slow ones")


class Adaptive(Group):
    """Learning, `[adaptive]`."""

    enabled: bool = Field(default=True, description="false: targets are drawn by their configured weights only")
    learning_rate: float = Field(default=0.1, gt=0, le=1, description="how far a first observation moves an estimate, 0..1")
    adaptation_threshold: Ratio = Field(default=0.05, description="smaller relative changes of a published share are not published")
    history_size: int = Field(default=1000, ge=1, le=10_000_000, description="requests behind the factor `history`")

    @property
    def prior_weight(self) -> float:
        """Observations that a prior counts as."""
        return 1.0 / self.learning_rate - 1.0


class Limits(Group):
    """Two levels of a threshold that is bad above."""

    warning: float = Field(ge=0, description="alert of severity medium above this")
    critical: float = Field(ge=0, description="alert of severity critical above this")

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        if self.critical < self.warning:
            raise ValueError(f"critical ({self.critical:g}) must not be below warning ({self.warning:g})")
        return self


class Floor(Group):
    """Two levels of a threshold that is bad below."""

    minimum: float = Field(ge=0, description="alert below this")
    target: float = Field(ge=0, description="recommendation below this")

    @model_validator(mode="after")
    def _ordered(self) -> Floor:
        if self.target < self.minimum:
            raise ValueError(f"target ({self.target:g}) must not be below minimum ({self.minimum:g})")
        return self


class Thresholds(Group):
    """Plain alert thresholds, `[thresholds]`."""

    response_time_ms: Limits = Field(default=Limits(warning=3000, critical=10_000), description="mean response time, ms")
    error_ratio: Limits = Field(default=Limits(warning=0.05, critical=0.15), description="share of failed requests, 0..1")
    throughput_per_min: Floor = Field(default=Floor(minimum=10, target=100), description="requests per minute")
    quality: Floor = Field(default=Floor(minimum=0.7, target=0.9), description="mean quality, 0..1")


class Intervals(Group):
    """How often things happen, `[intervals]`, ms."""

    snapshot_ms: float = Field(default=1000, ge=100, le=300_000, description="between routing snapshots")
    metrics_ms: float = Field(default=10_000, ge=1000, le=60_000, description="between details records")
    analysis_ms: float = Field(default=60_000, ge=1000, le=3_600_000, description="between analyses of trends, capacity and recommendations")
    alert_check_ms: float = Field(default=10_000, ge=1000, le=600_000, description="between checks of alerts; each is made at a details record")
    election_ms: float = Field(
        default=600_000, ge=0, le=86_400_000, description="between looks at the evidence that tells policy `auto` which one to follow; 0: never, `performance`"
    )
    health_check_ms: float = Field(default=30_000, ge=1000, le=3_600_000, description="longest time a closed or idle target waits for a probe")


class Planning(Group):
    """Capacity and recommendations, `[planning]`: simulations in a process of their own, every `analysis_ms` while there is traffic."""

    enabled: bool = Field(default=True, description="false: no such process is started, capacity and recommendations are not published")
    wait_p95_ms: float = Field(default=500, ge=1, le=3_600_000, description="capacity is the load at which 95 % of the requests wait no longer, ms")


class Kafka(Group):
    """The log of a fleet, `[kafka]`. A secret is never a value here: it is read from a file."""

    bootstrap: Name = Field(default="localhost:9092", description="host:port of brokers, separated by commas; the address in a kafka:// URL wins")
    prefix: str = Field(default="routecast.", max_length=100, pattern=r"^[a-zA-Z0-9._-]*$", description="before every topic name")
    partitions: int = Field(default=4, ge=1, le=1000, description="partitions of the events topic where it is created")
    replication: int = Field(default=1, ge=1, le=9, description="copies of every topic that is created; 3 on a cluster of three brokers or more")
    security_protocol: Security = Field(default="PLAINTEXT", description="how to talk to the brokers")
    sasl_mechanism: SaslMechanism = Field(default="SCRAM-SHA-512", description="how to log in where the protocol is SASL")
    username: Name | None = Field(default=None, description="user to log in as")
    password_file: Name | None = Field(default=None, description="file that holds the password and nothing else")
    ca_file: Name | None = Field(default=None, description="PEM file of the authority that signed the brokers' certificates; absent: the system's")
    cert_file: Name | None = Field(default=None, description="PEM file of the client certificate, for brokers that ask for one (mTLS)")
    key_file: Name | None = Field(default=None, description="PEM file of the client certificate's key")
    session_timeout_ms: int = Field(default=6000, ge=1000, le=300_000, description="a worker that is silent or stands still for longer is replaced")

    @model_validator(mode="after")
    def _complete(self) -> Kafka:
        if not BROKERS.fullmatch(self.bootstrap):
            raise ValueError("bootstrap is not host:port, or several separated by commas; a kafka:// URL and a login do not belong there")
        if self.security_protocol.startswith("SASL") and not (self.username and self.password_file):
            raise ValueError(f"security_protocol {self.security_protocol!r} needs username and password_file")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together: give both or none")
        return self


class Influx(Group):
    """Where trends and alerts are stored, `[influx]`."""

    url: Name = Field(default="http://localhost:8086", description="address of InfluxDB 2")
    organisation: Name = Field(default="routecast", description="organisation")
    bucket_prefix: str = Field(default="routecast_", max_length=100, pattern=r"^[a-zA-Z0-9._-]*$", description="before the name of every bucket")
    token_file: Name = Field(default="influx.token", description="file that holds the token of the sink, which may only write, and nothing else")
    read_token_file: Name = Field(default="influx-read.token", description="file that holds the token of those who only read, such as Grafana")
    admin_token_file: Name = Field(default="influx-admin.token", description="file that holds the token by which `routecast influx init` makes the rest")


class Alerting(Group):
    """Who is told of alerts, `[alerts]`. The address of a webhook is a secret: it is read from a file."""

    webhook_file: Name | None = Field(default=None, description="file that holds the URL to which workers post alerts and nothing else; absent: nobody is told")
    timeout_ms: float = Field(default=10_000, ge=100, le=120_000, description="longest time for one post, ms; it is tried again after that")


class Config(Group):
    """The whole of `routecast.toml`."""

    target: tuple[TargetConfig, ...] = Field(min_length=1, max_length=10_000, description="the targets")
    routing: Routing = Field(default=Routing(), description="how targets are chosen")
    service: dict[Name, dict[str, object]] = Field(default={}, description="per service, keys of [routing] that differ")
    adaptive: Adaptive = Field(default=Adaptive(), description="learning")
    thresholds: Thresholds = Field(default=Thresholds(), description="plain alert thresholds")
    intervals: Intervals = Field(default=Intervals(), description="how often things happen")
    planning: Planning = Field(default=Planning(), description="capacity and recommendations")
    alerts: Alerting = Field(default=Alerting(), description="who is told of alerts")
    kafka: Kafka = Field(default=Kafka(), description="the log of a fleet")
    influx: Influx = Field(default=Influx(), description="where trends and alerts are stored")

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        twice = sorted(name for name, count in Counter(target.id for target in self.target).items() if count > 1)
        if twice:
            raise ValueError(f"target ids must be unique; more than once: {', '.join(map(repr, twice))}")
        for name in self.service:
            if name not in self.services:
                raise ValueError(f"[service.{name}] belongs to no target: services are {', '.join(map(repr, sorted(self.services)))}")
            self.routing_for(name)
        return self

    @property
    def services(self) -> frozenset[str]:
        """Names of all services."""
        return frozenset(target.service for target in self.target)

    def targets_of(self, service: str) -> tuple[TargetConfig, ...]:
        """Targets of a service, in the order of the file; empty for an unknown one."""
        return tuple(target for target in self.target if target.service == service)

    def routing_for(self, service: str) -> Routing:
        """`[routing]` with the overrides of `[service.NAME]`."""
        overrides = self.service.get(service)
        return Routing.model_validate(_merged(self.routing.model_dump(), overrides)) if overrides else self.routing

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits that differ when anything in the configuration does."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


def _merged(base: dict[str, object], over: dict[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        merged[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
