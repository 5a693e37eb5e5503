"""What people are told about targets: a line each, everything about one, and what became of an operator's word."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from routecast.models.details import SubjectDetails


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class TargetLine(_Frozen):
    """A target as the newest snapshot shows it; figures are None where none was published."""

    id: str
    service: str
    provider: str
    model: str
    region: str | None
    state: str
    share: float | None = None
    """Planned share of the service's traffic, 0..1."""
    in_flight: int | None = None
    success: float | None = None
    """Lower bound of the success ratio, 0..1."""
    time_s: float | None = None
    cost_s: float | None = None
    """Expected time to a success."""
    score: float | None = None
    weight: float
    policy: str
    """Of its service."""


class SnapshotAge(_Frozen):
    """Which snapshot of a service the figures are from."""

    service: str
    term: int
    seq: int
    age_s: float
    """Since it was made, by this machine's clock."""
    stale: bool
    """Older than ten periods: nobody publishes."""


class TargetLines(_Frozen):
    """All targets of the configuration, and those beside them that events named."""

    snapshots: tuple[SnapshotAge, ...]
    targets: tuple[TargetLine, ...]


class TargetFigures(TargetLine):
    """Everything that is published of one target."""

    snapshot: SnapshotAge | None
    figures: dict[str, Any]
    """Its entry in the snapshot, as routers read it."""
    details: SubjectDetails | None
    details_at_ms: float | None


class Word(_Frozen):
    """An operator's word and what became of it."""

    target: str
    """Empty where it is about a service."""
    action: Literal["drain", "resume", "set_weight", "set_policy", "silence", "unsilence", "elect_policy", "start_experiment", "stop_experiment"]
    service: str | None
    """None: the service of the target is unknown, all services are meant, or alerts."""
    offset: int
    """In the control topic."""
    snapshot: tuple[int, int] | None = None
    """(term, seq) of the first snapshot that follows it; None where nobody waited for it."""
    took_ms: float | None = None
    """From its confirmation by the log until that snapshot was here."""
    state: str | None = None
    share: float | None = None
    weight: float | None = None
    """Of the target, as that snapshot shows it."""
    policy: str | None = None
    """Of the service, as that snapshot shows it; empty: each router's configured one."""
    experiment: str | None = None
    """Name and salt of what runs on the service, as that snapshot shows it; empty: nothing."""


class PolicyLine(_Frozen):
    """The policy of a service, and who set it."""

    service: str
    policy: str
    set_by: Literal["operator", "configuration"]
    """A program that gives its routers a policy has the last word for them."""
    follows: str
    """The policy by which targets are drawn: another one than `policy` where that is `auto`."""
    why: str = ""
    """Why `auto` follows it; empty where no evidence chose it."""


class PolicyLines(_Frozen):
    """The policies of all configured services."""

    snapshots: tuple[SnapshotAge, ...]
    services: tuple[PolicyLine, ...]
