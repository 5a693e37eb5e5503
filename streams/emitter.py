"""The emitter: how a process reports its requests, without ever waiting and without ever raising into the caller.

Delivery: events leave in batches, 50 ms after the first or at once after a failure, in the order in which they were emitted, and
all of one emitter go to one partition. What is lost in a crash of this process: events not yet flushed; the requests they belong to
are booked `lost` ten minutes later. When the log is away, the oldest events make room for new ones and are counted in `dropped`.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from collections import deque
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from routecast.models.events import Completed, Event, Feedback, Outcome, Started, encode_events
from routecast.streams.clock import Clock, SystemClock
from routecast.streams.fork import renew_after_fork

LINGER_MS = 50.0
"""Longest time an event waits for company."""
BATCH = 500
_CAPACITY = 100_000

if TYPE_CHECKING:
    from routecast.models.config import Config

_log = logging.getLogger(__name__)


class Emitter:
    """Buffer between the caller and the log.

    Args:
        clock: time stamps of events.
        rng: names this emitter and picks its partition.
        capacity: events that are kept while the log is away; the oldest are dropped first.
        wake: called with True when something is urgent (a failure), with False when the first event waits; must not block.
    """

    def __init__(
        self, clock: Clock | None = None, rng: random.Random | None = None, *, capacity: int = _CAPACITY, wake: Callable[[bool], None] | None = None
    ) -> None:
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()
        self._capacity = capacity
        self._wake = wake
        self._closer: Callable[[float], bool] | None = None
        self._fresh()
        renew_after_fork(self._fresh)

    def _fresh(self) -> None:
        """Begin with a new name and an empty buffer: what the parent had buffered is the parent's to send."""
        self.name = f"{socket.gethostname()}-{os.getpid()}-{self._rng.getrandbits(32):08x}"
        self.partition_draw = self._rng.random()
        """0..1: picks the partition, kept for this emitter's life."""
        self.emitted = 0
        self.dropped = 0
        self._next_id = 0
        self._buffer: deque[Event] = deque()
        self._unreported: set[tuple[str, int]] = set()
        self._taking = threading.Lock()

    @classmethod
    def connect(cls, url: str, config: Config | str | Path | None = None, *, rng: random.Random | None = None) -> Emitter:
        """An emitter on a log, for applications that choose by themselves; `with` closes it. `config`: as for `Router.connect`."""
        from routecast.streams.connect import open_emitter  # noqa: PLC0415 - the connection knows the emitter

        return open_emitter(url, config, rng, os.environ)

    def on_close(self, closer: Callable[[float], bool]) -> None:
        """What `close` does: deliver and let go of the log, within so many seconds; whether it could."""
        self._closer = closer

    def close(self, timeout_s: float = 5.0) -> bool:
        """Deliver what waits and let go of the log; whether that took no longer than `timeout_s`. Later events stay in the buffer."""
        closer, self._closer = self._closer, None
        return closer(timeout_s) if closer is not None else not self._buffer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def request_id(self) -> str:
        """A new id, unique across emitters."""
        self._next_id += 1
        return f"{self.name}-{self._next_id}"

    def emit(self, event: Event) -> None:
        """Take one event. Never blocks, never raises."""
        buffer = self._buffer
        if len(buffer) >= self._capacity:
            self._drop_oldest()
        buffer.append(event)
        self.emitted += 1
        if self._wake is not None:
            urgent = isinstance(event, Completed) and event.outcome not in _CALM
            if urgent or len(buffer) == 1:
                self._wake(urgent)

    def started(self, request_id: str, target: str, **fields: Any) -> None:
        """Report that a call began. `fields`: any field of `Started`; a wrong one is logged, not raised."""
        self._build(Started, request_id=request_id, target=target, **fields)

    def completed(self, request_id: str, target: str, outcome: Outcome, duration_ms: float, **fields: Any) -> None:
        """Report that a call ended. `fields`: any field of `Completed`; a wrong one is logged, not raised.

        Without `start_reported=True` the call counts as one whose start was never written.
        """
        now_ms = fields.get("at_ms", self._clock.now_ms())
        if isinstance(duration_ms, Real) and isinstance(now_ms, Real):
            fields.setdefault("started_at_ms", max(0.0, float(now_ms) - float(duration_ms)))
        fields.setdefault("start_reported", False)
        self._build(Completed, request_id=request_id, target=target, outcome=outcome, duration_ms=duration_ms, **fields)

    def feedback(self, reference: str, *, quality: float | None = None, satisfaction: float | None = None) -> None:
        """Report quality or satisfaction (0..1) of an earlier call by its `call.ref`; minutes or days later."""
        try:
            request_id, target, completed_at_ms = msgspec.json.decode(reference, type=tuple[str, str, float])
        except (msgspec.DecodeError, TypeError):
            _log.warning("feedback dropped: %r is no call.ref", reference)
            return
        self._build(Feedback, request_id=request_id, target=target, completed_at_ms=completed_at_ms, quality=quality, satisfaction=satisfaction)

    def _build(self, kind: type[Started | Completed | Feedback], **fields: Any) -> None:
        fields.setdefault("at_ms", self._clock.now_ms())
        fields["emitter"] = self.name
        try:
            plain = {name: _plain(value) for name, value in fields.items()}
            event = msgspec.convert(plain | {"type": kind.__struct_config__.tag}, kind)
        except (msgspec.ValidationError, TypeError) as error:
            _log.warning("event dropped: %s", error)
            self.dropped += 1
            return
        self.emit(event)

    def start_was_dropped(self, request_id: str, attempt: int) -> bool:
        """Whether the start of this call had to make room; its completion then says so. Asked once per call."""
        key = (request_id, attempt)
        if key in self._unreported:
            self._unreported.discard(key)
            return True
        return False

    def _drop_oldest(self) -> None:
        try:
            event = self._buffer.popleft()
        except IndexError:
            return
        self.dropped += 1
        if isinstance(event, Started) and len(self._unreported) < self._capacity:
            self._unreported.add((event.request_id, event.attempt))

    def take(self, limit: int = BATCH) -> bytes | None:
        """The oldest waiting events as one record for the log, or None. What it returns is the caller's to deliver."""
        with self._taking:
            batch: list[Event] = []
            try:
                while len(batch) < limit:
                    batch.append(self._buffer.popleft())
            except IndexError:
                pass
            return self._encode(batch) if batch else None

    def _encode(self, batch: list[Event]) -> bytes | None:
        try:
            return encode_events(batch)
        except (TypeError, ValueError, OverflowError, msgspec.EncodeError) as error:
            if len(batch) == 1:
                self.dropped += 1
                _log.warning("event dropped: %s", error)
                return None
        parts = [self._encode([event]) for event in batch]
        good = [part[1:-1] for part in parts if part is not None]
        return b"[" + b",".join(good) + b"]" if good else None

    @property
    def waiting(self) -> int:
        """Events in the buffer."""
        return len(self._buffer)


def _plain(value: object) -> object:
    """Numbers of other libraries (numpy) as plain ones, everything else as it is."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


_CALM = frozenset({"ok", "cancelled"})
