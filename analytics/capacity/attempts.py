"""Attempts as events tell of them: when each began, how long it took, how it ended, how many tokens it had."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.models.events import CALLER_FAULTS, Completed, Event

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

OK, TIMEOUT, FAILED, REFUSED, OTHER = range(5)
"""How an attempt ended: `error` is FAILED, `rate_limited` REFUSED; `cancelled` and the caller's own faults, which say nothing of the target, OTHER."""
_ENDS: Final = {"ok": OK, "timeout": TIMEOUT, "error": FAILED, "rate_limited": REFUSED, "cancelled": OTHER}
MOST = 200_000


class Attempts(NamedTuple):
    """Attempts in the order in which they began; every array has one entry for each."""

    names: tuple[str, ...]
    """Targets, by number."""
    target: Ints
    start_ms: Floats
    duration_ms: Floats
    end: Ints
    """OK, TIMEOUT, FAILED, REFUSED or OTHER."""
    first: Bools
    """Whether it was the first of its request and no hedge: an arrival."""
    input_tokens: Floats
    """Not a number where nobody said."""
    output_tokens: Floats
    usd: Floats

    def of(self, number: int, most: int | None = None) -> Attempts:
        """Those to one target, the newest `most` of them."""
        mine = np.flatnonzero(self.target == number)[-most if most is not None else 0 :]
        return Attempts(
            self.names, self.target[mine], self.start_ms[mine], self.duration_ms[mine], self.end[mine], self.first[mine], self.input_tokens[mine],
            self.output_tokens[mine], self.usd[mine],
        )  # fmt: skip

    @property
    def span_ms(self) -> float:
        """From the first start to the last."""
        return float(self.start_ms[-1] - self.start_ms[0]) if len(self.start_ms) > 1 else 0.0


class AttemptLog:
    """Gathers the newest attempts of all services. Memory: about 300 bytes each, `most` of them.

    Args:
        services: the service of each configured target, for events that name none.
        most: attempts that are kept.
    """

    def __init__(self, services: Mapping[str, str] | None = None, most: int = MOST) -> None:
        self._services = services or {}
        self._kept: deque[tuple[str, str, float, float, int, bool, float, float, float]] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def services(self) -> frozenset[str]:
        """Services that were met."""
        return frozenset(row[0] for row in self._kept if row[0])

    def add(self, event: Event) -> None:
        """Keep it if it tells of the end of an attempt."""
        if not isinstance(event, Completed):
            return
        service = event.service or self._services.get(event.target, "")
        end = OTHER if event.error_type in CALLER_FAULTS else _ENDS[event.outcome]
        hedge = event.decision is not None and event.decision.hedge
        self._kept.append((
            service, event.target, event.started_at_ms, event.duration_ms, end, event.attempt == 1 and not hedge, _number(event.input_tokens),
            _number(event.output_tokens), _number(event.cost_usd),
        ))  # fmt: skip

    def attempts(self, service: str, from_ms: float = -math.inf) -> Attempts:
        """Those of a service that began at or after `from_ms`, epoch ms."""
        rows = sorted((row[1:] for row in self._kept if row[0] == service and row[2] >= from_ms), key=lambda row: row[1])
        names = tuple(sorted({row[0] for row in rows}))
        number = {name: i for i, name in enumerate(names)}
        target, start_ms, duration_ms, end, first, input_tokens, output_tokens, usd = zip(*rows, strict=True) if rows else [()] * 8
        return Attempts(
            names, np.array([number[name] for name in target], np.int64), np.array(start_ms, float), np.array(duration_ms, float),
            np.array(end, np.int64), np.array(first, np.bool_), np.array(input_tokens, float), np.array(output_tokens, float), np.array(usd, float),
        )  # fmt: skip


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
