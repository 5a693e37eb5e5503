"""What an operator can do about a service, and what it would bring."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from routecast.models.severity import Severity
from routecast.models.subject import Subject

RecommendationKind = Literal["drain", "raise_limit", "add_target", "change_weight", "look_at_quality", "renegotiate_cost"]


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")


class Effect(_Frozen):
    """What would become of one figure of the service, by simulation of the recorded load."""

    figure: str
    """Name with unit, for instance `p95_ms`."""
    now: float
    expected: float
    low: float | None = None
    """Ends of its 95 % interval over the simulated runs."""
    high: float | None = None


class Recommendation(_Frozen):
    """Something an operator can do, with what it would bring."""

    id: str
    """Of kind and subject: the same while it stands."""
    kind: RecommendationKind
    priority: Severity
    subject: Subject
    description: str
    """What is the matter, with its figures."""
    action: str
    """What to do: a command where there is one."""
    effects: tuple[Effect, ...] = ()
    figures: dict[str, float] = {}
    """The figures behind it, names with units."""
    since_ms: float
