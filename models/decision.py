"""What a router decided for one request, and the long form for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from routecast.models.config import TargetConfig
from routecast.models.decision_ref import DecisionRef, ShadowRef
from routecast.models.snapshot import TargetScore


class Factors(BaseModel):
    """The four adaptive factors of a target, 0..1 each, higher is better."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    current_load: float = Field(ge=0, le=1, description="1 − min(1, utilisation), with this router's own requests")
    history: float = Field(ge=0, le=1, description="score over the long horizon")
    real_time: float = Field(ge=0, le=1, description="score over the last minute")
    requirements: float = Field(ge=0, le=1, description="how well it meets what the request asks for")


class Alternative(BaseModel):
    """A target that was not chosen."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    target: str
    score: float = Field(description="published score, 0..1")
    cost_s: float | None = Field(description="expected cost at the time of the decision, seconds; none where it was not a candidate")
    probability: float = Field(ge=0, le=1, description="chance it had of being drawn")
    reason: str = Field(description="why it was not chosen")


class Explanation(BaseModel):
    """A decision in full; built only when asked."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    target: str
    provider: str
    model: str
    service: str
    region: str | None
    policy: str
    snapshot: tuple[int, int] = Field(description="(term, seq) of the snapshot used; (0, 0): the configuration alone")
    propensity: float = Field(gt=0, le=1, description="probability with which this target was drawn")
    score: float = Field(description="published score, 0..1")
    cost_s: float = Field(description="expected cost at the time of the decision, seconds")
    response_time_ms: float = Field(description="estimate for an average request, including the expected wait")
    reliability: float = Field(description="lower bound of the success ratio")
    quality: float | None = Field(description="mean quality; none until feedback arrives")
    factors: Factors
    reason: str = Field(description="why this target, in words")
    load_impact: str = Field(description="what the request does to the target's load")
    unmet: tuple[str, ...] = Field(description="requirements the target does not meet or that are not known to be met")
    alternatives: tuple[Alternative, ...]


class Explains(Protocol):
    """Knows the candidates of a decision well enough to explain it."""

    @property
    def caller_region(self) -> str:
        """Where the caller is; empty where nobody said so."""
        ...

    def explain(self, decision: Decision) -> Explanation:
        """The long form of a decision made from these candidates."""
        ...


class Assigned(msgspec.Struct, frozen=True, gc=False):
    """What an experiment made of a request."""

    arm: str
    """As events name it; empty where the arm was stopped."""
    request_id: str = ""
    """By which the request was assigned; empty where it was not."""
    shadow: ShadowRef | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The target chosen for one request. Cheap: everything long is computed when asked for."""

    config: TargetConfig
    """The chosen target as configured."""
    policy: str
    snapshot: tuple[int, int]
    """(term, seq) of the snapshot used; (0, 0): the configuration alone."""
    propensity: float
    """Probability with which this target was drawn from the candidates."""
    candidates: str
    """Bit mask of the candidates in snapshot order, hexadecimal."""
    forced: str
    """Why the draw was not the plain one; empty otherwise."""
    entry: TargetScore
    """The chosen target as published."""
    packed_costs: bytes
    """`costs` as float64 of this machine: open calls keep their decisions, 8 bytes a candidate."""
    position: int
    """Where the target stands among the candidates."""
    source: Explains
    hedge: bool = False
    """Whether it is for a second attempt beside a slow first one."""
    assigned: Assigned | None = None
    """By the experiment that runs; None: by none."""

    @property
    def costs(self) -> Sequence[float]:
        """Expected cost in seconds of each candidate at the time of the decision, in the order of the candidates."""
        return memoryview(self.packed_costs).cast("d").tolist()

    @property
    def target(self) -> str:
        """Id of the chosen target."""
        return self.config.id

    @property
    def provider(self) -> str:
        """Who runs it."""
        return self.config.provider

    @property
    def model(self) -> str:
        """What it runs."""
        return self.config.model

    @property
    def service(self) -> str:
        """The service it belongs to."""
        return self.config.service

    @property
    def region(self) -> str | None:
        """Where it is."""
        return self.config.region

    @property
    def caller_region(self) -> str:
        """Where the caller is; empty where nobody said so."""
        return self.source.caller_region

    @property
    def score(self) -> float:
        """Published score of the target, 0..1."""
        return self.entry.score

    @property
    def reliability(self) -> float:
        """Lower bound of the target's success ratio, 0..1."""
        return self.entry.success

    @property
    def quality(self) -> float | None:
        """Mean quality of the target, 0..1; None until feedback arrives."""
        return self.entry.quality if self.entry.quality_n > 0 else None

    @property
    def response_time_ms(self) -> float:
        """Estimated time of an average request at the target when it meets no queue, ms."""
        return self.entry.time_s * 1000

    @property
    def request_id(self) -> str:
        """By which an experiment assigned the request; empty where none did."""
        return self.assigned.request_id if self.assigned is not None else ""

    def ref(self) -> DecisionRef:
        """What is logged with the request."""
        arm, shadow = (self.assigned.arm, self.assigned.shadow) if self.assigned is not None else ("", None)
        return DecisionRef(
            policy=self.policy, snapshot=self.snapshot, propensity=self.propensity, candidates=self.candidates, forced=self.forced, hedge=self.hedge,
            arm=arm, shadow=shadow,
        )  # fmt: skip

    def explain(self) -> Explanation:
        """The decision in full: factors, alternatives, reasons."""
        return self.source.explain(self)
