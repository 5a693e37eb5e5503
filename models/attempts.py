"""What became of a request that the router carried out: its attempts, what each of them ended with, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from routecast.models.decision import Decision
from routecast.models.events import Outcome

Value = TypeVar("Value")


class Verdict(NamedTuple):
    """What an attempt is counted as, and whether another target may be asked."""

    outcome: Outcome
    error_type: str = ""
    """`timeout`, `rate_limit`, `server_error`, `overloaded`, `connection`; a caller's own fault: `auth`, `invalid_request`, `content_filter`,
    `context_length`; `_OTHER`."""
    http_status: int | None = None
    retry: bool = True
    """Whether another attempt can help; of no account where the outcome is `ok`."""


class Attempt(NamedTuple):
    """One call to one target on behalf of a request."""

    number: int
    """Counts from 1; with the request's id it names the call in the log."""
    decision: Decision
    """Target, propensity and explanation."""
    outcome: Outcome
    duration_ms: float
    cause: str
    """Why it failed, in a few words; empty where it did not."""
    error_type: str = ""
    http_status: int | None = None
    error: BaseException | None = None
    """What `send` raised."""

    @property
    def target(self) -> str:
        """Id of the target that was called."""
        return self.decision.target

    def __str__(self) -> str:
        """Target, outcome, duration and cause in one phrase."""
        return f"{self.target}: {self.outcome} after {self.duration_ms:.0f} ms" + (f", {self.cause}" if self.cause else "")


@dataclass(frozen=True, slots=True)
class Answer(Generic[Value]):
    """What `send` returned in the attempt that succeeded, and all attempts that were made."""

    value: Value
    attempts: tuple[Attempt, ...]
    """In the order of their ends; the last one is the one that succeeded."""
    request_id: str
    ref: str
    """Opaque reference for `Emitter.feedback`."""
    waited_ms: float = 0.0
    """Time spent in the waiting queue."""

    @property
    def decision(self) -> Decision:
        """The decision that led to the answer."""
        return self.attempts[-1].decision

    @property
    def target(self) -> str:
        """Id of the target that answered."""
        return self.decision.target
