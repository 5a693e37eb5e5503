"""Lines into InfluxDB: one request at a time, until every line is stored or known to be unstorable.

Delivery: `store` returns once the server has answered 204 for every line, or said why it never will; however long the server is away. Lost
in a crash: nothing of what `store` had returned; what it was about to store is to be given again. Ordering: lines of one destination are
stored in their order, so that of two points of one series and time the later one stays.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Protocol

from routecast.dashboards.influx.delivery import STORED, Answer, Delivery, Rejected, Send, refusal
from routecast.dashboards.influx.line_protocol import Destination, Encoder, Line, Point
from routecast.dashboards.influx.schema import MEASUREMENTS, PIPELINE, Bucket
from routecast.models.errors import Unreachable
from routecast.streams.clock import Clock

MOST_LINES: Final = 5_000
MOST_BYTES: Final = 4 * 1024 * 1024
"""Of a request, before compression."""
_SILENT_S: Final = 10.0
"""Least time between two complaints about the same trouble."""

_log = logging.getLogger(__name__)


class Target(Protocol):
    """Where lines go."""

    def write(self, destination: Destination, lines: Sequence[Line]) -> Answer:
        """Write; blocks, and never raises for what a server or a network does."""
        ...


class Writer:
    """Stores lines.

    Args:
        target: where they go.
        clock: wall clock for ages, monotonic for how long writes take.
        rng: draws waits.
        sleep: waits.

    `store` raises Unreachable where somebody has to mend something: a token, a bucket, an address.
    """

    def __init__(self, target: Target, clock: Clock, rng: random.Random, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self._target = target
        self._clock = clock
        self._rng = rng
        self._sleep = sleep
        self._witnesses: dict[Destination, Line] = {}
        self._complained_s = -_SILENT_S
        self.up = True
        """Whether the last request was understood."""
        self.stored = 0
        self.rejected = 0
        self.requests = 0
        self.put_off = 0
        """Requests that were not answered or put off."""
        self.busy_s = 0.0
        """Time spent in requests."""

    async def store(self, lines: Sequence[Line]) -> list[Rejected]:
        """Store these lines; those that cannot be."""
        rejected: list[Rejected] = []
        for destination, batch in _batches(lines):
            rejected += await self._store(destination, batch)
        return rejected

    async def check(self) -> None:
        """Ask, with an empty body, whether the token may write to every bucket of the registry. An outage is no answer.

        Raises Unreachable where it may not.
        """
        used: set[Bucket] = {bucket for measurement in MEASUREMENTS for bucket in measurement.buckets.values()}
        for bucket in used:
            answer = await self._send(Destination(bucket, "ms"), ())
            if self.up and answer.status != STORED:
                raise Unreachable(refusal(answer.status, answer.message))

    async def _store(self, destination: Destination, lines: Sequence[Line]) -> list[Rejected]:
        now_ms = self._clock.now_ms()
        delivery = Delivery(lines, self._witnesses.get(destination) or _first_witness(destination, now_ms), self._rng, now_ms)
        while (step := delivery.step()) is not None:
            if isinstance(step, Send):
                delivery.answered(await self._send(destination, step.lines))
            else:
                await self._sleep(step.seconds)
        if delivery.stored:
            self._witnesses[destination] = delivery.witness
        self.stored += delivery.stored
        self.rejected += len(delivery.rejected)
        return delivery.rejected

    async def _send(self, destination: Destination, lines: Sequence[Line]) -> Answer:
        began_s = self._clock.monotonic_s()
        answer = await asyncio.to_thread(self._target.write, destination, lines)
        now_s = self._clock.monotonic_s()
        self.busy_s += now_s - began_s
        self.requests += 1
        self.up = 0 < answer.status < 500 and answer.status != 429
        self.put_off += not self.up
        if not self.up and now_s >= self._complained_s + _SILENT_S:
            self._complained_s = now_s
            _log.warning("InfluxDB does not store at present (%s), trying again: %s", answer.status or "no answer", answer.message[:200])
        return answer


def _first_witness(destination: Destination, now_ms: float) -> Line:
    """Until something was stored there: a point that says only that a sink writes there."""
    point = Point(PIPELINE, ("sink", "first write"), now_ms, (*(None,) * (len(PIPELINE.fields) - 1), 1))
    line = Encoder(PIPELINE).line(point)
    head, time = line.text.rsplit(b" ", 1)
    return line._replace(text=head + b" " + time + (b"000000" if destination.precision == "ns" else b""), destination=destination)


def _batches(lines: Sequence[Line]) -> Iterator[tuple[Destination, Sequence[Line]]]:
    """By destination, none longer than a request may be."""
    groups: dict[Destination, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.destination, []).append(line)
    for destination, group in groups.items():
        first, size = 0, 0
        for place, line in enumerate(group):
            if place > first and (place - first >= MOST_LINES or size + len(line.text) >= MOST_BYTES):
                yield destination, group[first:place]
                first, size = place, 0
            size += len(line.text) + 1
        yield destination, group[first:]
