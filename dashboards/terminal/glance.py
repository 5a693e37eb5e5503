"""Details read at a glance: the few figures of a table's row, without the checks and objects of everything else.

A record of a thousand targets takes `models.details` a third of a second; this a few milliseconds, ten times a minute.
"""

from __future__ import annotations

import msgspec

from routecast.models.details import WindowName
from routecast.models.errors import DecodeError


class Times(msgspec.Struct, frozen=True):
    """Of one duration."""

    p50_ms: float | None = None
    p95_ms: float | None = None


class Reported(msgspec.Struct, frozen=True):
    """What a target says of itself."""

    queue_depth: int | None = None


class Window(msgspec.Struct, frozen=True):
    """Of one subject; fields as in `models.details`."""

    requests: int = 0
    judged: int = 0
    requests_per_min: float = 0.0
    success_ratio: float | None = None
    error_ratio: float | None = None
    timeout_ratio: float | None = None
    rate_limit_ratio: float | None = None
    latency: Times = Times()
    ttft: Times = Times()
    resources: Reported = Reported()

    @property
    def failure_ratio(self) -> float | None:
        """Errors and timeouts."""
        return None if self.error_ratio is None else min(1.0, self.error_ratio + (self.timeout_ratio or 0.0))


NOTHING = Window()


class Subject(msgspec.Struct, frozen=True):
    """A target, or the system."""

    id: str
    provider: str | None = None
    model: str | None = None
    region: str | None = None
    started_total: int = 0
    windows: dict[WindowName, Window] = {}


class Glance(msgspec.Struct, frozen=True):
    """A record of details."""

    service: str
    at_ms: float
    system: Subject
    targets: tuple[Subject, ...] = ()


_decoder = msgspec.json.Decoder(Glance)


def glance(data: bytes) -> Glance:
    """The figures of a record of details. Raises DecodeError where it is none."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DecodeError(f"not a details record: {error}") from error
