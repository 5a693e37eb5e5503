"""What `routecast replay` reports."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class TargetReplay(_Frozen):
    """What the recorded events say of one target; counts are attempts."""

    target: str
    started: int
    ok: int
    error: int
    timeout: int
    rate_limited: int
    cancelled: int
    caller_fault: int
    mean_ok_ms: float | None = Field(description="mean duration of successes, ms; absent without any")

    @property
    def ended(self) -> int:
        """Attempts that ended, in whatever way."""
        return self.ok + self.error + self.timeout + self.rate_limited + self.cancelled + self.caller_fault


class Verified(_Frozen):
    """What was computed again and found to be the same, byte for byte."""

    ticks: int
    snapshots: int
    checkpoints: int
    terms: tuple[int, ...] = Field(description="leaders, each verified on its own")
    unverified: dict[int, str] = Field(description="terms, of which the file does not hold the beginning, and why")


class ReplayReport(_Frozen):
    """A recording, folded again."""

    file: str
    routecast: str = Field(description="version that recorded it")
    begins: str = Field(description="checkpoint, or the first event")
    events: int
    bad: int = Field(description="events that could not be read")
    requests: int = Field(description="attempts that ended")
    first_ms: float = Field(description="append time of the first event, epoch ms")
    last_ms: float
    ticks: int
    targets: tuple[TargetReplay, ...]
    verified: Verified | None = Field(description="absent where it was not asked for")
    fold_s: float = Field(description="how long folding took, seconds")
    verify_s: float | None = Field(description="how long verifying took, seconds; absent where it was not asked for")

    @property
    def events_per_s(self) -> float:
        """Speed of folding."""
        return self.events / self.fold_s if self.fold_s > 0 else 0.0
