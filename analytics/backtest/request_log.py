"""What a backtest needs of recorded events: the attempts, and what was asked and answered beside their times."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.capacity.attempts import FAILED, OK, OTHER, REFUSED, TIMEOUT, Attempts
from routecast.models.events import CALLER_FAULTS, Completed, Event, Feedback, Started, Urgency

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ENDS: Final = {"ok": OK, "timeout": TIMEOUT, "error": FAILED, "rate_limited": REFUSED, "cancelled": OTHER}
_MOST: Final = 400_000
URGENCIES: Final[tuple[Urgency, ...]] = ("low", "medium", "high")


class Asked(NamedTuple):
    """What a request asked for, as far as its start tells."""

    urgency: Urgency = "medium"
    deadline_ms: float = math.inf
    caller_region: str = ""


class Row(NamedTuple):
    """One attempt."""

    service: str
    request: str
    attempt: int
    target: str
    emitter: str
    start_ms: float
    duration_ms: float
    end: int
    """OK, TIMEOUT, FAILED, REFUSED or OTHER."""
    first: bool
    """The first of its request, and no hedge: an arrival."""
    ttft_ms: float
    input_tokens: float
    output_tokens: float
    usd: float
    quality: float
    retry_after_ms: float
    per_min: float
    """Requests per minute that the provider's headers allowed."""
    policy: str


class RequestLog:
    """Gathers attempts of all services from events in any order.

    Memory: about 600 bytes an attempt; the first `most` are kept, `left_out` counts the others.

    Args:
        services: the service of each configured target, for events that name none.
        most: attempts that are kept.
    """

    def __init__(self, services: dict[str, str] | None = None, most: int = _MOST) -> None:
        self._services = services or {}
        self._most = most
        self._rows: list[Row] = []
        self._asked: dict[tuple[str, int], Asked] = {}
        self._open: set[tuple[str, int]] = set()
        self._seen: set[tuple[str, int]] = set()
        self._judged: dict[str, float] = {}
        self.twice = 0
        """Ends that came again."""
        self.left_out = 0

    @property
    def services(self) -> frozenset[str]:
        """Services that were met."""
        return frozenset(row.service for row in self._rows if row.service)

    @property
    def unended(self) -> int:
        """Attempts of which the start alone is recorded."""
        return len(self._open)

    def add(self, event: Event) -> None:
        """Keep what the event tells of an attempt."""
        if isinstance(event, Started):
            self._begin(event)
        elif isinstance(event, Completed):
            self._end(event)
        elif isinstance(event, Feedback) and event.quality is not None:
            self._judged[event.request_id] = event.quality

    def _begin(self, event: Started) -> None:
        place = (event.request_id, event.attempt)
        if place not in self._seen:
            self._open.add(place)
        asked = Asked(event.urgency, event.deadline_ms or math.inf, event.caller_region)
        if asked != Asked() and len(self._asked) < self._most:
            self._asked[place] = asked

    def _end(self, event: Completed) -> None:
        place = (event.request_id, event.attempt)
        self._open.discard(place)
        if place in self._seen and not (event.decision is not None and event.decision.hedge):
            self.twice += 1
            return
        self._seen.add(place)
        if len(self._rows) >= self._most:
            self.left_out += 1
            return
        self._rows.append(self._row(event))

    def _row(self, event: Completed) -> Row:
        limits, decision = event.limits, event.decision
        return Row(
            service=event.service or self._services.get(event.target, ""), request=event.request_id, attempt=event.attempt, target=event.target,
            emitter=event.emitter, start_ms=event.started_at_ms, duration_ms=event.duration_ms,
            end=OTHER if event.error_type in CALLER_FAULTS else _ENDS[event.outcome], first=event.attempt == 1 and not (decision and decision.hedge),
            ttft_ms=_number(event.ttft_ms), input_tokens=_number(event.input_tokens), output_tokens=_number(event.output_tokens),
            usd=_number(event.cost_usd), quality=_number(event.quality), retry_after_ms=_number(event.retry_after_ms),
            per_min=_number(limits.requests_per_min if limits else None), policy=decision.policy if decision else "",
        )  # fmt: skip

    def traffic(self, service: str, from_ms: float = -math.inf, until_ms: float = math.inf) -> RecordedTraffic:
        """The attempts of a service that began in [from_ms, until_ms), epoch ms."""
        rows = sorted((row for row in self._rows if row.service == service and from_ms <= row.start_ms < until_ms), key=lambda row: row.start_ms)
        return RecordedTraffic(rows, self._asked, self._judged)


class RecordedTraffic:
    """Attempts to the targets of one service, in the order in which they began."""

    def __init__(self, rows: list[Row], asked: dict[tuple[str, int], Asked], judged: dict[str, float]) -> None:
        self.rows = rows
        self._asked = asked
        names = tuple(sorted({row.target for row in rows}))
        number = {name: i for i, name in enumerate(names)}
        quality = [judged.get(row.request, row.quality) if row.end == OK else math.nan for row in rows]
        self.attempts = Attempts(
            names, np.array([number[row.target] for row in rows], np.int64), _column([row.start_ms for row in rows]),
            _column([row.duration_ms for row in rows]), np.array([row.end for row in rows], np.int64), np.array([row.first for row in rows], np.bool_),
            _column([row.input_tokens for row in rows]), _column([row.output_tokens for row in rows]), _column([row.usd for row in rows]),
        )  # fmt: skip
        self.ttft_ms = _column([row.ttft_ms for row in rows])
        self.quality = _column(quality)
        self.retry_after_ms = _column([row.retry_after_ms for row in rows])
        self.per_min = _column([row.per_min for row in rows])

    @property
    def policy(self) -> str:
        """The policy that decided most of the attempts; empty where events name none."""
        named = Counter(row.policy for row in self.rows if row.policy)
        return named.most_common(1)[0][0] if named else ""

    def asked(self, row: Row) -> Asked:
        """What the request of an attempt asked for."""
        return self._asked.get((row.request, row.attempt), Asked())


def _column(values: list[float]) -> Floats:
    return np.array(values, float)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
