"""Details (topic `routecast.details`): every figure of every target, provider and service and of the whole system, for people to read.

One record per service, every metrics interval. Ratios leave out what the caller did itself (`cancelled` and `caller_fault`).
A figure without evidence is None (absent on the wire); durations are milliseconds, quality and satisfaction 0..1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, ValidationError

from routecast.models.errors import DecodeError
from routecast.models.insights import Direction, Metric
from routecast.models.recommendation import Recommendation

WindowName = Literal["10s", "1m", "5m", "1h", "24h"]

_Ratio = Field(default=None, ge=0, le=1)


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")


class Duration(_Frozen):
    """Distribution of one duration in one window. Quantiles come from a sketch and are within 1 %."""

    n: NonNegativeInt = 0
    """Observations; without any, everything else is None."""
    mean_ms: NonNegativeFloat | None = None
    min_ms: NonNegativeFloat | None = None
    max_ms: NonNegativeFloat | None = None
    p50_ms: NonNegativeFloat | None = None
    p90_ms: NonNegativeFloat | None = None
    p95_ms: NonNegativeFloat | None = None
    p99_ms: NonNegativeFloat | None = None
    p95_low_ms: NonNegativeFloat | None = None
    """Lower end of the 95 % interval of p95, from order statistics."""
    p95_high_ms: NonNegativeFloat | None = None


class Judgement(_Frozen):
    """Mean of what users or graders said, 0..1, and how many spoke."""

    n: NonNegativeInt = 0
    mean: float | None = _Ratio


class Resources(_Frozen):
    """What targets said of themselves; None where none did."""

    cpu_ratio: float | None = _Ratio
    memory_ratio: float | None = _Ratio
    network_ms: NonNegativeFloat | None = None
    queue_depth: NonNegativeInt | None = None
    """Largest reported."""


class LateDetails(_Frozen):
    """What came in during a window and was too late for its own: more than ten minutes. It is in the totals, and only shown here."""

    n: NonNegativeInt = 0
    """Starts, ends and feedback."""
    quality: Judgement = Judgement()
    """What feedback said of attempts that ended long ago."""
    satisfaction: Judgement = Judgement()


class WindowDetails(_Frozen):
    """Figures of one subject over [start_ms, end_ms), epoch milliseconds. Counts are of attempts that ended in it.

    A window that is longer than anything is known begins with what is known; rates are per minute of [start_ms, end_ms).
    """

    start_ms: float
    end_ms: float
    last_update_ms: float | None = None
    """Start of the newest half-second in which one of its attempts started or ended."""
    requests: NonNegativeInt = 0
    requests_per_min: NonNegativeFloat = 0.0
    judged: NonNegativeInt = 0
    """Attempts behind the ratios: all but `cancelled` and `caller_fault`."""
    success_ratio: float | None = _Ratio
    error_ratio: float | None = _Ratio
    timeout_ratio: float | None = _Ratio
    rate_limit_ratio: float | None = _Ratio
    latency: Duration = Duration()
    """Whole duration of attempts that succeeded or timed out."""
    ttft: Duration = Duration()
    """Time to first chunk of attempts that streamed."""
    tpot: Duration = Duration()
    """Time per output token after the first chunk."""
    in_flight_max: NonNegativeInt | None = None
    """Most that were in flight at the same time, looked at every half-second; None where that is not known."""
    tokens_per_min: NonNegativeFloat = 0.0
    """Input and output together."""
    input_tokens: NonNegativeInt = 0
    output_tokens: NonNegativeInt = 0
    cost_usd: NonNegativeFloat = 0.0
    quality: Judgement = Judgement()
    satisfaction: Judgement = Judgement()
    resources: Resources = Resources()
    late: LateDetails | None = None
    """None where nothing came late."""


class OutcomesTotal(_Frozen):
    """How attempts ended since the pipeline began."""

    ok: NonNegativeInt = 0
    error: NonNegativeInt = 0
    timeout: NonNegativeInt = 0
    rate_limited: NonNegativeInt = 0
    cancelled: NonNegativeInt = 0
    caller_fault: NonNegativeInt = 0
    lost: int = 0
    """Started and never ended: their process died, or their end comes later than 10 min."""
    late: NonNegativeInt = 0
    """Events older than every kept window: in these totals, in no window."""


class SubjectDetails(_Frozen):
    """A target, provider, service or the system; the fields that name it are None where they do not apply."""

    id: str
    provider: str | None = None
    model: str | None = None
    service: str | None = None
    region: str | None = None
    started_total: NonNegativeInt = 0
    """Attempts begun since the pipeline began."""
    requests_total: NonNegativeInt = 0
    """Attempts ended since the pipeline began: the outcomes without `lost` and `late`."""
    outcomes_total: OutcomesTotal = OutcomesTotal()
    in_flight: NonNegativeInt = 0
    windows: dict[WindowName, WindowDetails] = {}
    trends: dict[Metric, Direction] = {}
    """Where its figures were going at the last analysis; those of which that is not known are left out."""


class Details(_Frozen):
    """Everything known at `at_ms`: the targets of one service, and all providers, all services and the system beside them."""

    service: str
    term: int
    seq: int
    """`(term, seq)` of the snapshot published with it."""
    at_ms: float
    targets: tuple[SubjectDetails, ...] = ()
    providers: tuple[SubjectDetails, ...] = ()
    services: tuple[SubjectDetails, ...] = ()
    system: SubjectDetails
    recommendations: tuple[Recommendation, ...] = ()
    """What should be done about the service, the most urgent first."""

    def encode(self) -> bytes:
        """JSON, figures without evidence left out; equal details give equal bytes."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> Details:
        """The details of a record.

        Raises DecodeError when a field is missing or outside its range: a reader keeps what it had.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise DecodeError(f"not a details record: {error}") from error


def find(subjects: Iterable[SubjectDetails], name: str) -> SubjectDetails | None:
    """The details of this name; None where there are none."""
    return next((subject for subject in subjects if subject.id == name), None)
