"""The emitter: how a process reports its requests, without ever waiting and without ever raising into the caller.

Delivery: events leave in batches, 50 ms after the first or at once after a failure, in the order in which they were emitted, and
all of one emitter go to one partition. What is lost in a crash of this process: events not yet flushed; the requests they belong to
are booked `lost` ten minutes later. When the log is away, the oldest events make room for new ones and are counted in `dropped`; the
end of a call whose start was dropped says so. A wrong figure is taken out of its event and logged, an event that cannot do without it
is dropped. A forked child begins with a new name, an empty buffer and draws of its own; the parent's events are the parent's to send.
"""

from __future__ import annotations

import logging
import math
import os
import random
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec.structs import asdict

from routecast.models.decision_ref import CallRef
from routecast.models.events import Completed, Event, Feedback, Outcome, Started, decode_events, encode_events, mended
from routecast.streams.clock import Clock, SystemClock
from routecast.streams.fork import renew_after_fork

LINGER_MS = 50.0
"""Longest time an event waits for company."""
BATCH = 500
_CAPACITY = 100_000
_MOST_ANNOUNCED = 1_000
_SILENT_S = 10.0
"""Least time between two complaints about lost events."""
_CALM = frozenset({"ok", "cancelled"})

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
        self._begin()
        renew_after_fork(self, Emitter._begin_anew)

    def _begin(self) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{self._rng.getrandbits(32):08x}"
        self.partition_draw = self._rng.random()
        """0..1: picks the partition, kept for this emitter's life."""
        self.emitted = 0
        self.dropped = 0
        self._ids = count(1)
        self._buffer: deque[Event] = deque()
        self._announced: deque[Event] = deque(maxlen=_MOST_ANNOUNCED)
        self._unreported: set[tuple[str, int]] = set()
        """Calls whose start was lost while their end may still come, a hundred thousand at most."""
        self._taking = threading.Lock()
        self._asked = False
        """Whether somebody was asked to take what waits."""
        self._silent_until_s = -math.inf

    def _begin_anew(self) -> None:
        """In a forked child; its siblings must not draw what it draws."""
        self._rng.seed()
        self._closer = None
        self._begin()

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
        return f"{self.name}-{next(self._ids)}"

    def emit(self, event: Event) -> None:
        """Take one event. Never blocks, never raises."""
        buffer = self._buffer
        if len(buffer) >= self._capacity:
            self._drop_oldest()
        buffer.append(event)
        self.emitted += 1
        if self._wake is not None:
            urgent = isinstance(event, Completed) and isinstance(event.outcome, str) and event.outcome not in _CALM
            if urgent or not self._asked:
                self._asked = True
                self._wake(urgent)

    def announce(self, event: Event) -> None:
        """Take what the fleet must know at once, on a topic of its own; the newest thousand are kept. Never blocks, never raises."""
        self._announced.append(event)
        if self._wake is not None:
            self._wake(True)  # noqa: FBT003 - the emitter's callback

    def take_announced(self) -> bytes | None:
        """What was announced, as one record, or None. What it returns is the caller's to deliver."""
        events: list[Event] = []
        with suppress(IndexError):
            while len(events) < BATCH:
                events.append(self._announced.popleft())
        return encode_events(events) if events else None

    def started(self, request_id: str, target: str, **fields: Any) -> None:
        """Report that a call began. `fields`: any field of `Started`; a wrong one is logged, not raised."""
        self._build(Started, fields | {"request_id": request_id, "target": target})

    def completed(self, request_id: str, target: str, outcome: Outcome, duration_ms: float, **fields: Any) -> None:
        """Report that a call ended. `fields`: any field of `Completed`; a wrong one is logged, not raised.

        Without `start_reported=True` the call counts as one whose start was never written.
        """
        needed = {"request_id": request_id, "target": target, "outcome": outcome, "duration_ms": duration_ms}
        self._build(Completed, {"start_reported": False, **fields, **needed})

    def feedback(self, reference: str, *, quality: float | None = None, satisfaction: float | None = None) -> None:
        """Report quality or satisfaction (0..1) of an earlier call by its `call.ref`; minutes or days later."""
        try:
            known = msgspec.json.decode(reference, type=CallRef)
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
            self.lose(f"feedback: {str(reference)[:80]!r} is no call.ref")
            return
        self._build(Feedback, {**asdict(known), "quality": quality, "satisfaction": satisfaction})

    def _build(self, kind: type[Started | Completed | Feedback], fields: dict[str, Any]) -> None:
        fields = {"at_ms": self._clock.now_ms(), **fields, "emitter": self.name}
        try:
            if kind is Completed and "started_at_ms" not in fields:
                fields["started_at_ms"] = max(0.0, float(fields["at_ms"]) - float(fields["duration_ms"]))
            known = {name: value for name, value in fields.items() if name in kind.__struct_fields__}
            self.emit(kind(**known))
        except Exception as error:  # noqa: BLE001 - reporting must not hurt the caller, whatever it was given
            self.lose(f"an event: {error}")

    def lose(self, why: str) -> None:
        """Count an event that will not be reported, and say why."""
        self.dropped += 1
        self.complain(f"dropped {why[:200]}")

    def complain(self, text: str) -> None:
        """Log what is wrong with what was reported, but not every time: the same fault comes with every request."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._silent_until_s:
            self._silent_until_s = now_s + _SILENT_S
            _log.warning("emitter %r %s (%d events lost so far; next word in %.0f s at the earliest)", self.name, text, self.dropped, _SILENT_S)

    def _drop_oldest(self) -> None:
        try:
            event = self._buffer.popleft()
        except IndexError:
            return
        self._forget(event)
        self.lose("the oldest event: the buffer is full, can the log be reached?")

    def _forget(self, event: object) -> None:
        """An event is lost: the end of this call must say that it had no start; after its end there is nothing more to say."""
        key = _call_of(event)
        if isinstance(event, Completed):
            self._unreported.discard(key)
        elif isinstance(event, Started) and len(self._unreported) < _CAPACITY:
            self._unreported.add(key)

    def take(self, limit: int = BATCH) -> bytes | None:
        """The oldest waiting events as one record for the log, or None. What it returns is the caller's to deliver."""
        with self._taking:
            self._asked = False
            while batch := self._oldest(limit):
                record = self._record(batch)
                if record is not None:
                    return record
        return None

    def _oldest(self, limit: int) -> list[Event]:
        batch: list[Event] = []
        with suppress(IndexError):
            while len(batch) < limit:
                batch.append(self._buffer.popleft())
        return batch

    def _record(self, batch: list[Event]) -> bytes | None:
        """The events as readers accept them: they were read again, and mended where necessary."""
        if self._unreported:
            batch = [self._honest(event) for event in batch]
        try:
            record = encode_events(batch)
            if not decode_events(record)[1]:
                return record
        except Exception as error:  # noqa: BLE001 - whatever was put into one event, the others must leave
            _log.debug("a batch is written event by event: %s", error)
        sound = [event for event in map(self._mend, batch) if event is not None]
        return encode_events(sound) if sound else None

    def _mend(self, event: Event) -> Event | None:
        sound, reason = mended(event)
        if sound is None:
            self._forget(event)
            self.lose(f"an event: {reason}")
            return None
        if reason:
            self.complain(f"left a figure out of an event: {reason}")
        return self._honest(sound)

    def _honest(self, event: Event) -> Event:
        """The end of a call whose start was lost says so."""
        if not isinstance(event, Completed) or _call_of(event) not in self._unreported:
            return event
        self._unreported.discard(_call_of(event))
        return msgspec.structs.replace(event, start_reported=False)

    @property
    def waiting(self) -> int:
        """Events in the buffer."""
        return len(self._buffer)

    @property
    def announcing(self) -> int:
        """Announcements that wait."""
        return len(self._announced)


def halves(record: bytes) -> list[bytes]:
    """The events of a record in two records; none where it holds only one."""
    events = msgspec.json.decode(record, type=list[msgspec.Raw])
    middle = len(events) // 2
    return [msgspec.json.encode(part) for part in (events[:middle], events[middle:])] if middle else []


def _call_of(event: object) -> tuple[str, int]:
    request_id, attempt = getattr(event, "request_id", ""), getattr(event, "attempt", 0)
    return (request_id, attempt) if isinstance(request_id, str) and isinstance(attempt, int) else ("", 0)
