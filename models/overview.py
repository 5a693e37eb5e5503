"""What operators are told of insights: everything that is true now, alerts one by one, silences, and what came of a test of the webhook."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from routecast.models.capacity import Capacity
from routecast.models.experiment_report import ExperimentReport
from routecast.models.insights import Alert, Change, Recommendation, Trend
from routecast.models.severity import AlertKind, Severity
from routecast.models.targets import SnapshotAge


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class Overview(_Frozen):
    """What is true now, by the newest records of the topic of insights."""

    at_ms: float
    """When it was read."""
    snapshots: tuple[SnapshotAge, ...]
    """Whether anybody publishes."""
    alerts: tuple[Alert, ...]
    """That go on, the most severe first."""
    changes: tuple[Change, ...]
    """That last, the newest first."""
    trends: tuple[Trend, ...]
    """Of all subjects and metrics, also the stable and the unknown ones."""
    recommendations: tuple[Recommendation, ...]
    """The most urgent first."""
    capacity: tuple[Capacity, ...]
    experiments: tuple[ExperimentReport, ...] = ()
    """That run, and those that ended within a day."""
    unreadable: int = 0
    """Records that are no insights and were left out."""


class AlertLines(_Frozen):
    """Alerts, the most severe first."""

    at_ms: float
    snapshots: tuple[SnapshotAge, ...]
    alerts: tuple[Alert, ...]


class AlertStory(_Frozen):
    """One alert with those it has to do with."""

    alert: Alert
    going_on: bool
    explained_by: Alert | None
    explains: tuple[Alert, ...]
    """Those that notify nobody because of it."""
    incident: tuple[Alert, ...]
    """The others of its incident."""


class Silence(_Frozen):
    """Alerts of which nobody wants to hear; what is None is left open."""

    kind: AlertKind | None
    subject: str | None
    severity: Severity | None
    """The most severe that is silenced."""
    until_ms: float
    since_ms: float
    why: str


class Silenced(_Frozen):
    """All silences that have not ended."""

    at_ms: float
    silences: tuple[Silence, ...]


class Tried(_Frozen):
    """What came of a test notification."""

    delivered: bool
    key: str
    status: int
    """Of HTTP; 0: no answer."""
    answer: str
    took_ms: float
