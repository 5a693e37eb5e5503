"""Every error routecast raises on purpose.

The tree::

    RoutecastError
    ├── ConfigError      the configuration file or environment is wrong
    ├── DecodeError      bytes from a log are not what the contract says
    ├── NoTarget         strict requirements left no target to choose
    ├── Unreachable      a server that is needed does not answer
    ├── CheckFailed      what was checked is not as it should be
    ├── StaleSnapshot    a snapshot is older than the caller allowed
    ├── CallFailed       `Router.call` got no answer, whatever it tried
    └── QueueFull        every target is full and the bounded waiting queue has no room in time

Nothing on the path of a request raises because data is old or missing: the router degrades and says so in the decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from routecast.models.attempts import Attempt

Why = Literal["caller_fault", "attempts", "retry_budget", "deadline", "overload", "no_target"]
_NEXT = {
    "caller_fault": "the fault is the caller's own, no other target was asked: correct it",
    "attempts": "no attempts are left: see whether the targets have a trouble in common, or allow more attempts",
    "retry_budget": "the retry budget is spent: most requests fail at present, see `routecast targets list`",
    "deadline": "the deadline has passed: give more time or ask for fewer tokens",
    "overload": "every other target is full: lower the load or add capacity",
    "no_target": "no other target meets the requirements: relax them or drop strict=True",
}


class RoutecastError(Exception):
    """Root of all errors of this library."""


class ConfigError(RoutecastError):
    """The configuration cannot be used; the text names file, key, value and what is allowed."""


class DecodeError(RoutecastError):
    """A record does not follow the contract of its topic; the text says what was expected."""


class Unreachable(RoutecastError):  # noqa: N818 - names the state
    """A server that is needed does not answer or does not let us in; the text says what to check."""


class CheckFailed(RoutecastError):  # noqa: N818 - names what happened
    """Something that was checked is not as it should be; the text says what and where."""


EXCLUDED = "excluded by the caller"


class NoTarget(RoutecastError):  # noqa: N818 - the name is what the caller asks for: a target; there is none
    """No target meets requirements that were marked strict, or the caller excluded all.

    `reasons` holds, for every target of the service, why it was left out.
    """

    def __init__(self, service: str, reasons: Mapping[str, str]) -> None:
        self.service = service
        self.reasons = dict(reasons)
        listed = "; ".join(f"{target!r}: {reason}" for target, reason in self.reasons.items()) or "the service has no targets"
        advice = "exclude fewer" if set(self.reasons.values()) == {EXCLUDED} else "relax them or drop strict=True"
        super().__init__(f"no target of service {service!r} meets the requirements ({listed}): {advice}")


class StaleSnapshot(RoutecastError):  # noqa: N818 - names the thing that is stale
    """The newest snapshot is older than the caller allowed."""

    def __init__(self, service: str, age_ms: float, allowed_ms: float) -> None:
        self.service = service
        self.age_ms = age_ms
        self.allowed_ms = allowed_ms
        super().__init__(
            f"snapshot of service {service!r} is {age_ms:.0f} ms old, more than the {allowed_ms:.0f} ms allowed: "
            "check that a worker is running and that this process can reach the log"
        )


class CallFailed(RoutecastError):  # noqa: N818 - names what happened
    """No attempt of a request succeeded; raised from what the last one raised.

    `why` says what ended the trying, `attempts` holds every attempt with its cause, `answer` what `send` returned in the last one, where
    that was a response with an error status.
    """

    def __init__(self, service: str, why: Why, attempts: Sequence[Attempt], answer: object = None) -> None:
        self.service = service
        self.why: Why = why
        self.attempts = tuple(attempts)
        self.answer = answer
        listed = "; ".join(map(str, self.attempts)) or "no attempt was made"
        super().__init__(f"no answer from service {service!r} ({listed}): {_NEXT[why]}")


class QueueFull(RoutecastError):  # noqa: N818 - names the state, as in asyncio.QueueFull
    """Every target is full and the waiting queue has no room in time; `retry_after_ms` estimates when it will have."""

    def __init__(self, service: str, retry_after_ms: float) -> None:
        self.service = service
        self.retry_after_ms = retry_after_ms
        super().__init__(f"service {service!r} is full and its waiting queue has no room in time: retry in about {retry_after_ms:.0f} ms or lower the load")
