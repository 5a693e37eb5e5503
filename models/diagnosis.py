"""What `routecast doctor` tells people: each check, how it went, and what mends it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat

Status = Literal["ok", "warning", "failed", "skipped"]
Cause = Literal["configuration", "unreachable", "check"]


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class Checked(_Frozen):
    """One thing that a check found; a check may find several."""

    check: str
    """Name of the check, as docs/doctor.md explains it."""
    status: Status
    detail: str
    """A sentence; of what was skipped, because of what."""
    fix: str = ""
    """A command or an edit, where something is not as it must be; several of them may be lines."""
    cause: Cause | None = None
    """What kind of failure it is, which decides the exit code; None where it is none."""
    took_ms: NonNegativeFloat
    """How long the whole check took."""


class Diagnosis(_Frozen):
    """Everything that was looked at, in the order in which it matters."""

    role: str | None
    """Whose needs were checked; None: everything that an operator wants to know."""
    checks: tuple[Checked, ...]

    @property
    def failed(self) -> tuple[Checked, ...]:
        """What must be mended."""
        return tuple(found for found in self.checks if found.status == "failed")
