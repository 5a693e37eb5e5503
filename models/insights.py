"""Insights (topic `routecast.insights`): what the figures mean. Changes, trends, alerts, recommendations, capacity.

Every record is one `Insight` under the key that `key` names; the newest of a key counts, so that a reader who knows all newest records knows what
is true now. A figure without evidence is None (absent on the wire). Units of values follow from the metric, see `Metric`; times are epoch
milliseconds, ratios 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, TypeAdapter, ValidationError

from routecast.models.capacity import Capacity
from routecast.models.errors import DecodeError
from routecast.models.experiment_report import ExperimentReport
from routecast.models.recommendation import Recommendation as Recommendation  # noqa: PLC0414 - whoever reads insights reads what they are made of
from routecast.models.severity import AlertKind, Severity
from routecast.models.subject import Subject as Subject  # noqa: PLC0414
from routecast.models.subject import SubjectKind as SubjectKind  # noqa: PLC0414

Metric = Literal["response_time", "ttft", "tpot", "error_ratio", "throughput", "quality", "cost"]
Direction = Literal["improving", "declining", "stable", "unknown"]

UNITS: Final[Mapping[Metric, str]] = {
    "response_time": "ms",
    "ttft": "ms",
    "tpot": "ms",
    "error_ratio": "ratio",
    "throughput": "per_min",
    "quality": "score",
    "cost": "usd_per_request",
}
LESS_IS_BETTER: Final[frozenset[Metric]] = frozenset({"response_time", "ttft", "tpot", "error_ratio", "cost"})


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")


class Change(_Frozen):
    """A metric of a target that went to another level: an anomaly until it returns or becomes the usual level."""

    type: Literal["change"] = "change"
    id: str
    """The same from its detection to its end, whoever leads."""
    version: NonNegativeInt
    """Rises with everything said of it."""
    subject: Subject
    metric: Metric
    worse: bool
    """Whether the new level is the worse one; throughput is neither, so False."""
    since_ms: float
    """When the level changed, as estimated from the evidence."""
    detected_ms: float
    before: float
    """The usual level, in the unit of the metric."""
    after: float
    """The level since then."""
    statistic: NonNegativeFloat
    """Evidence when it was detected, in the unit of the threshold: log-likelihood ratio."""
    threshold: NonNegativeFloat
    """What the evidence had to exceed."""
    n: NonNegativeInt
    """Observations since the change."""
    ended_ms: float | None = None
    """When it was over; None while it lasts."""
    ended_by: Literal["returned", "accepted"] | None = None
    """Back at the usual level, or the new level became the usual one."""

    @property
    def key(self) -> str:
        """Of its record."""
        return f"change/{self.id}"


class Trend(_Frozen):
    """Where one metric of one subject goes."""

    subject: Subject
    metric: Metric
    trend: Direction
    """From its slope and the metric's direction; `unknown` where there is too little evidence for any of the others."""
    current: float | None = None
    """The level at the end of the windows, in the unit of the metric."""
    previous: float | None = None
    """The level at their beginning."""
    change: float | None = None
    """`current` − `previous`."""
    change_ratio: float | None = None
    """`change` ÷ `previous`."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """1 − p of the slope being none."""
    windows: NonNegativeInt
    """Windows with a value, of those looked at."""
    window_ms: float
    """Length of each."""
    end_ms: float
    """End of the last."""


class Trends(_Frozen):
    """All trends of a service's targets, and of the service itself."""

    type: Literal["trends"] = "trends"
    service: str
    at_ms: float
    trends: tuple[Trend, ...]

    @property
    def key(self) -> str:
        """Of its record."""
        return f"trends/{self.service}"


class AlertEvidence(_Frozen):
    """What one window said when the alert was last looked at."""

    window_ms: float
    n: NonNegativeInt
    """Requests, or judgements of quality, in it."""
    bad: NonNegativeFloat
    """Those of them that count against the objective."""
    value: float | None = None
    """The ratio, mean or rate it shows, in the unit of the alert."""
    low: float | None = None
    """Lower end of its interval (Jeffreys for ratios)."""
    high: float | None = None


class Alert(_Frozen):
    """Somebody should look. Raised once, updated when its severity or reason changes, cleared once."""

    type: Literal["alert"] = "alert"
    id: str
    """The same from raise to clear, whoever leads."""
    version: NonNegativeInt
    """Rises with everything said of it: (id, version) names a notification."""
    incident: str
    """Alerts of one incident share it; the first of them notifies, the others inform."""
    notify: bool
    """Whether this record is to wake somebody: the first of its incident, a rise to critical, or its end."""
    kind: AlertKind
    severity: Severity
    state: Literal["raised", "updated", "cleared"]
    subject: Subject
    rule: Literal["burn_rate", "threshold"]
    title: str
    """One sentence: who, what, how bad, since when."""
    threshold: float
    """What the value exceeded, or fell below, in the unit of `unit`."""
    value: float
    """What it is now."""
    target: float
    """What the objective or the configuration asks for."""
    unit: Literal["ratio", "ms", "per_min", "score", "burn_rate"]
    started_ms: float
    at_ms: float
    """When it was last looked at."""
    ended_ms: float | None = None
    inhibited_by: str = ""
    """The alert that explains this one, which therefore notifies nobody; empty: none."""
    silenced_until_ms: float | None = None
    """An operator wants to hear nothing of it until then."""
    evidence: tuple[AlertEvidence, ...] = ()

    @property
    def key(self) -> str:
        """Of its record."""
        return f"alert/{self.id}"


class Recommendations(_Frozen):
    """Everything that should be done about a service now; empty where nothing should."""

    type: Literal["recommendations"] = "recommendations"
    service: str
    at_ms: float
    recommendations: tuple[Recommendation, ...]

    @property
    def key(self) -> str:
        """Of its record."""
        return f"recommendations/{self.service}"


Insight = Annotated[Change | Trends | Alert | Recommendations | Capacity | ExperimentReport, Field(discriminator="type")]
_insight: TypeAdapter[Change | Trends | Alert | Recommendations | Capacity | ExperimentReport] = TypeAdapter(Insight)


def encode_insight(insight: Insight) -> bytes:
    """JSON, what is unknown left out; equal insights give equal bytes."""
    return insight.model_dump_json(exclude_none=True).encode()


def decode_insight(data: bytes) -> Insight:
    """The insight of a record.

    Raises DecodeError when it is none: a reader keeps what it had.
    """
    try:
        return _insight.validate_json(data)
    except ValidationError as error:
        raise DecodeError(f"not an insight: {error}") from error
