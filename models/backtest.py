"""What `routecast backtest` found out: recorded requests under several policies, simulated, and beside it what the log itself can tell."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from routecast.models.decision import Explanation
from routecast.models.report import Estimate, Part

Metric = Literal[
    "mean_ms", "p50_ms", "p95_ms", "p99_ms", "time_to_success_ms", "failed_ratio", "rate_limited_ratio", "usd_per_request", "quality", "regret_ms",
    "largest_share", "failover_s", "failback_s", "alert_precision", "alert_recall",
]  # fmt: skip


class Figures(Part):
    """The metrics of a policy, with 95 % intervals over the seeds; None: nothing in the recording tells."""

    mean_ms: Estimate | None = Field(description="mean time of a request that succeeded, from its arrival through all attempts, ms")
    p50_ms: Estimate | None = Field(description="the same, median, ms")
    p95_ms: Estimate | None = Field(description="the same, 95th percentile, ms")
    p99_ms: Estimate | None = Field(description="the same, 99th percentile, ms")
    time_to_success_ms: Estimate | None = Field(description="mean over all requests, one without success costing 30 s more, ms")
    failed_ratio: Estimate | None = Field(description="requests without success ÷ requests")
    rate_limited_ratio: Estimate | None = Field(description="attempts that were refused (429) ÷ attempts")
    usd_per_request: Estimate | None = Field(description="mean cost of an answered request, USD")
    quality: Estimate | None = Field(description="mean quality of the targets that answered, 0..1")
    regret_ms: Estimate | None = Field(description="time to success − that of the better of two rules with perfect fresh state (ORC, BEST), ms")
    largest_share: Estimate | None = Field(description="largest share of the attempts that one target got, 0..1")
    failover_s: Estimate | None = Field(description="mean time from the beginning of an outage to the last request to it, probes aside, s")
    failback_s: Estimate | None = Field(description="mean time from the end of an outage to the first answer to a request that is no probe, s")
    alert_precision: Estimate | None = Field(description="alerts that a labelled incident explains ÷ alerts, 0..1")
    alert_recall: Estimate | None = Field(description="labelled incidents that an alert named ÷ labelled incidents, 0..1")


METRICS: Final[tuple[str, ...]] = tuple(Figures.model_fields)


class FittedTarget(Part):
    """What was fitted of one target."""

    target: str
    answers: int = Field(description="answers behind the fit; of a recorded provider run, its answers")
    slots: float | None = Field(description="calls it works on at once before others wait; None: no bound")
    slowing: float = Field(description="how much longer each further call makes the others, beyond the knee; 0: not at all")
    knee: float = Field(description="calls up to which none slows down")
    alone_ms: float = Field(description="mean time of an answer alone, ms")
    ttft_ms: float | None = Field(description="of that, until the first chunk, ms; None: nothing streamed")
    tpot_ms: float | None = Field(description="time per output token after the first, ms; None: unknown")
    fail_ratio: float = Field(description="failures outside the spells ÷ attempts")
    requests_per_min: float | None = Field(description="rate limit, configured or read from headers; None: none known")
    usd_per_request: float | None
    quality: float | None


class SpellRow(Part):
    """A stretch in which a target was not as usual; played again at its time."""

    target: str
    kind: Literal["failing", "refusing", "slow"]
    from_s: float = Field(description="since the first request, s")
    until_s: float
    level: float = Field(description="share of attempts that failed or were refused; of a slow one, how many times as long answers took")
    attempts: int = Field(description="recorded attempts that tell of it; 0: injected")


class Incident(Part):
    """A labelled incident."""

    target: str
    from_ms: float = Field(description="epoch ms")
    until_ms: float = Field(description="epoch ms")
    kind: str = Field(description="a kind of alert (error_rate, response_time, throughput, quality): only such alerts count; other words: any alert does")


class Failover(Part):
    """How a policy left a target that went down and came back to it; seconds, of the first seed."""

    target: str
    from_s: float
    until_s: float
    left_after_s: float | None = Field(description="last request but probes, after the beginning; None: nothing was sent there")
    attempts: int = Field(description="attempts into the outage, probes aside")
    back_after_s: float | None = Field(description="first answer to a request that is no probe, after the end; None: not within the run")


class Raised(Part):
    """An alert of the simulated analysis."""

    target: str
    kind: str
    severity: str
    from_s: float
    until_s: float | None
    explained: bool = Field(description="a labelled incident explains it")


class Noticed(Part):
    """An incident, and the alert that named it."""

    target: str
    kind: str
    from_s: float
    until_s: float
    attempts: int = Field(description="calls to the target that ended in it, or in the minute after")
    bad: int = Field(description="of those, failed or slower than the objective")
    alert: str = Field(description="kind, subject and severity of the first alert that named it; empty: none did")
    why: str = Field(description="why none did, with the figures of the nearest rule; empty: one did")


class StateSpan(Part):
    """A state of a target as the snapshots showed it; usual ones are left out."""

    target: str
    state: str
    from_s: float
    until_s: float


class Series(Part):
    """A policy over time, in equal stretches of the run; None where nothing arrived."""

    step_s: float
    p50_ms: tuple[float | None, ...]
    p95_ms: tuple[float | None, ...]
    p95_low_ms: tuple[float | None, ...] = Field(description="lowest of the seeds")
    p95_high_ms: tuple[float | None, ...]
    shares: dict[str, tuple[float, ...]] = Field(description="per target, its share of the attempts")


class PolicyAnswer(Part):
    """One policy in the simulation."""

    name: str
    policy: str = Field(description="the balancing policy behind the name")
    configuration: str = Field(description="version of the configuration it ran with")
    figures: Figures
    shares: dict[str, float] = Field(description="per target, its share of the attempts")
    failovers: tuple[Failover, ...]
    alerts: tuple[Raised, ...] = Field(description="of the first seed")
    states: tuple[StateSpan, ...] = Field(description="of the first seed")
    series: Series


class Difference(Part):
    """A policy beside the first one on the same requests and the same luck; 95 % intervals of the ratio over the seeds."""

    name: str
    to: str
    mean: Estimate | None = Field(description="time to success ÷ that of the first policy")
    p95: Estimate | None = Field(description="p95 ÷ that of the first policy")
    failed: Estimate | None = Field(description="failed ratio − that of the first policy")


class OffPolicy(Part):
    """What the recorded decisions themselves say of a policy, by off-policy evaluation."""

    name: str
    method: str
    value_ms: Estimate | None = Field(description="mean time to success of a request, ms, under the recorded load; None: refused")
    effective_n: float | None = Field(description="recorded decisions that it is worth")
    refused: str = Field(description="why there is no answer; empty: there is one")


class Worst(Part):
    """A decision after which a request took far longer than any target would have needed alone."""

    at_s: float
    request: int
    took_ms: float
    best_alone_ms: float = Field(description="what the quickest target would have taken for it alone, ms")
    failed: bool
    decision: Explanation


class Quality(Part):
    """Something to know of the data."""

    what: str
    count: int
    meaning: str


class Fidelity(Part):
    """What was recorded beside what the simulation makes of the recorded policy: how far it can be believed."""

    policy: str = Field(description="that decided the recorded requests")
    recorded: dict[str, float] = Field(description="metric → recorded figure")
    simulated: dict[str, Estimate] | None = Field(description="the same, simulated; None: the policy was not among those compared")


class Source(Part):
    """What was played."""

    kind: Literal["recording", "trace"]
    name: str
    digest: str = Field(description="first twelve hexadecimal digits of the SHA-256 of the input")
    service: str
    from_ms: float = Field(description="first request, epoch ms")
    until_ms: float
    requests: int
    routers: int


class Check(Part):
    """A condition that makes the command fail."""

    expression: str
    policy: str
    value: float | None
    failed: bool


class Backtest(Part):
    """Everything that `routecast backtest` found out."""

    routecast: str
    source: Source
    seeds: tuple[int, ...]
    configuration: str = Field(description="version of the configuration")
    command: str = Field(description="prints it again")
    verdict: str
    targets: tuple[FittedTarget, ...]
    spells: tuple[SpellRow, ...]
    labels: tuple[Incident, ...] = Field(description="incidents that alerts are judged by")
    labelled: bool = Field(description="whether somebody labelled them; else they are the spells found in the recording")
    policies: tuple[PolicyAnswer, ...] = Field(description="simulated with fitted service times")
    differences: tuple[Difference, ...]
    off_policy: tuple[OffPolicy, ...]
    disagreements: tuple[str, ...] = Field(description="where the two answers differ, and why")
    fidelity: Fidelity | None
    noticed: tuple[Noticed, ...] = Field(default=(), description="every incident, of the first policy and seed")
    worst: tuple[Worst, ...] = Field(description="of the first policy and seed")
    quality: tuple[Quality, ...]
    checks: tuple[Check, ...] = ()
