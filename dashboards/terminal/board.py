"""What the terminal view shows, as data: what `routecast top --once --json` prints.

Times are epoch milliseconds, durations milliseconds unless the name says otherwise, ratios 0..1. A figure without evidence is None.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from routecast.models.details import SubjectDetails, WindowName
from routecast.models.insights import Alert, Change, Direction, Recommendation, Trend
from routecast.models.severity import Severity
from routecast.models.snapshot import State

HappeningKind = Literal["state", "trip", "alert", "change", "recommendation", "word", "leader"]


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class Since(_Frozen):
    """From when on something is as it is."""

    at_ms: float
    exact: bool
    """False: it was so already when the records begin that were read."""


class TargetRow(_Frozen):
    """A target: how it is, since when, and what routing makes of it."""

    id: str
    service: str
    provider: str
    model: str
    region: str | None
    state: State
    since: Since
    """Of `open` and `recovering` together: what is tried again and fails again is one story."""
    trouble: int
    """How much somebody should look, 0 = well; rows are ordered by it unless asked otherwise."""
    alert: Severity | None
    """Of the most severe alert about it that goes on."""
    score: float
    success: float
    """Lower bound of the success ratio."""
    cost_s: float
    """Expected time to a success."""
    usd: float
    """Expected price of an average request."""
    share: float | None
    """Of the attempts of its service that began within the last minute; None where none did."""
    planned: float | None
    """Of the service's traffic, as routers draw it by the newest snapshot; None where they go by a policy that draws from no plan."""
    planned_before: float | None
    """The same before its state changed; None where that was not seen."""
    ramp: float
    in_flight: float
    capacity: float
    headroom: float
    weight: float
    queue: int | None
    """Its own queue, where it reports one."""
    requests_per_min: float | None
    p50_ms: float | None
    p95_ms: float | None
    ttft_p95_ms: float | None
    failure_ratio: float | None
    """Errors and timeouts."""
    rate_limit_ratio: float | None
    judged: int
    """Attempts behind the ratios, in the window of the board."""
    trend: Direction
    """The worst of its metrics."""
    p95s: tuple[float | None, ...]
    """One a window of 10 s, the newest last, at most sixty."""
    rates: tuple[float | None, ...]
    """Requests per minute, likewise."""


class Happening(_Frozen):
    """A line of the event log."""

    at_ms: float
    kind: HappeningKind
    who: str
    """Target, service or worker."""
    service: str | None
    level: str
    """The state, a severity, `over`, or the operator's wish."""
    text: str


class ServiceLine(_Frozen):
    """A service, and whether anybody publishes for it."""

    service: str
    policy: str
    """That routers go by, unless one was made with its own."""
    term: int
    seq: int
    age_ms: float
    stale: bool
    """Older than ten periods."""
    routers: int


class Board(_Frozen):
    """Everything on the screen."""

    at_ms: float
    source: str
    """Where it is from."""
    trouble: str
    """Why there is nothing new, or nothing at all; empty: there is."""
    sentence: str
    """Who is bad, since when, and what is done about it."""
    services: tuple[ServiceLine, ...]
    leader: str
    """The worker that leads; empty: unknown."""
    window: WindowName
    """Of the figures."""
    requests_per_min: float | None
    success_ratio: float | None
    p95_ms: float | None
    alerts: tuple[Alert, ...]
    """That go on, the most severe first."""
    changes: tuple[Change, ...]
    recommendations: tuple[Recommendation, ...]
    targets: tuple[TargetRow, ...]
    """What needs a look first, then what has most of the traffic."""
    happenings: tuple[Happening, ...]
    """The newest last."""


class Why(_Frozen):
    """Why a target gets its share: what a router does that reads the newest snapshot and has nothing in flight."""

    policy: str
    probability: float
    """Of being drawn for a request that asks for nothing."""
    cost_s: float | None
    """None: it is no candidate."""
    reason: str
    would_change: str
    """What would have to happen for it to get more."""


class TargetPage(_Frozen):
    """Everything about one target."""

    at_ms: float
    row: TargetRow
    sentence: str
    why: Why | None
    """None: the configuration does not know the target, or there is no router for it."""
    details: SubjectDetails | None
    alerts: tuple[Alert, ...]
    changes: tuple[Change, ...]
    trends: tuple[Trend, ...]
    recommendations: tuple[Recommendation, ...]
    happenings: tuple[Happening, ...]
