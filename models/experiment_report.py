"""What is known of an experiment: counts, estimates, intervals that may be looked at at any time, and the verdict in words."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

from routecast.models.experiments import Measure, Rail, Unit

Finding = Literal["better", "worse", "undecided"]
EndedBy = Literal["", "operator", "time", "guard rail"]


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")


class Level(_Frozen):
    """A measure of one arm."""

    units: NonNegativeInt
    """Observations: requests, or blocks of time."""
    mean: float
    """latency: ms, geometric mean of answers of the usual length; success: share; quality: score; cost: USD."""


class ArmReport(_Frozen):
    """One arm, counted exactly."""

    name: str
    policy: str
    """Empty: as outside the experiment."""
    share: float
    targets: tuple[str, ...] = ()
    """It has these alone; empty: all."""
    weights: dict[str, float] = {}
    """By target, in place of the configured ones; 0: kept away from it."""
    exposed: NonNegativeInt
    """Requests that were assigned to it and started, also those that never ended."""
    attempts: NonNegativeInt
    """Calls that were started, repeated ones included."""
    ended: NonNegativeInt
    """Of the exposed, those whose first call has ended."""
    ok: NonNegativeInt
    failed: NonNegativeInt
    """Errors, timeouts and refusals among the first calls."""
    cancelled: NonNegativeInt
    caller_fault: NonNegativeInt
    agreed: NonNegativeInt = 0
    """Shadow decisions for the target that served."""
    p95_ms: float | None = None
    """Of answers and timeouts."""
    levels: dict[Measure, Level] = {}
    stopped_ms: float | None = None
    stopped_why: str = ""


class Comparison(_Frozen):
    """An arm beside the control in one measure."""

    arm: str
    measure: Measure
    effect: float
    """success, quality: difference; latency, cost: relative, −0.1 = a tenth less."""
    low: float
    high: float
    """The interval holds at all times together, see `confidence`."""
    confidence: float = Field(gt=0, lt=1)
    finding: Finding


class RailReport(_Frozen):
    """A guard rail of an arm."""

    arm: str
    rail: Rail
    limit: float
    harm: float | None = None
    """Beside the control, in the unit of the limit; None: too little is known."""
    low: float | None = None
    """The least harm that is compatible with what was seen: above the limit, the arm is stopped."""


class SampleRatio(_Frozen):
    """Whether the arms got the shares that they should."""

    tested: bool
    """Only requests are assigned one by one; sessions and blocks bring several."""
    p: float = Field(default=1.0, ge=0, le=1)
    """Valid however often somebody looks."""
    ok: bool = True


class ExperimentReport(_Frozen):
    """An experiment as it stands."""

    type: Literal["experiment"] = "experiment"
    name: str
    salt: str
    service: str
    unit: Unit
    shadow: bool
    measure: Measure
    state: Literal["running", "ended"]
    started_ms: float
    at_ms: float
    ends_ms: float
    """When it ends, or has ended."""
    ended_by: EndedBy = ""
    why: str = ""
    arms: tuple[ArmReport, ...]
    comparisons: tuple[Comparison, ...] = ()
    rails: tuple[RailReport, ...] = ()
    sample_ratio: SampleRatio
    to_go_s: NonNegativeFloat | None = None
    """Until a difference as large as the one that shows would be certain, at the present rate; None: it is, or nobody can say."""
    verdict: str
    """In words, with effect and interval; `undecided` is an answer."""

    @property
    def standing(self) -> Literal["better", "worse", "undecided", "invalid", "over"]:
        """In a word: what is found of any arm; `invalid` where the sample ratio is off."""
        found = {item.finding for item in self.comparisons if item.measure == self.measure}
        if self.state == "ended" or not self.sample_ratio.ok:
            return "over" if self.state == "ended" else "invalid"
        return "better" if "better" in found else "worse" if "worse" in found else "undecided"

    @property
    def key(self) -> str:
        """Of its record."""
        return f"experiment/{self.name}.{self.salt}"


class ExperimentReports(_Frozen):
    """All experiments that are known, the running ones first."""

    at_ms: float
    experiments: tuple[ExperimentReport, ...]
