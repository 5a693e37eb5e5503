"""A recording of any length for measurements: an hour of a million events, 20 targets, 4 partitions, as routers report them."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from pathlib import Path

from core import START_MS, configuration

from routecast.models.events import Completed, DecisionRef, Event, Started, encode_events
from routecast.streams.memory import Record
from routecast.streams.recordings.recording import RecordingWriter

TARGETS, PARTITIONS = 20, 4
PER_RECORD = 100
_APART_MS = 7.2
"""Between two starts: half a million requests an hour."""
_LINGER_MS = 5.0


def write_recording(path: Path, events: int) -> None:
    """Write it; seconds a million events."""
    config, offsets = configuration(TARGETS), [0] * PARTITIONS
    waiting: list[list[Event]] = [[] for _ in range(PARTITIONS)]
    with RecordingWriter(path, "routecast.") as out:
        out.add("state", 0, Record(0, START_MS, f"config/{config.version}".encode(), config.model_dump_json().encode()))
        for event in _events(events):
            partition = hash_of(event) % PARTITIONS
            waiting[partition].append(event)
            if len(waiting[partition]) >= PER_RECORD:
                out.add("events", partition, _record(offsets, partition, waiting))
        for partition in range(PARTITIONS):
            if waiting[partition]:
                out.add("events", partition, _record(offsets, partition, waiting))


def _record(offsets: list[int], partition: int, waiting: list[list[Event]]) -> Record:
    """What waits of a partition, as the log takes it; a start that waited longer than the last end is as late as that."""
    events, waiting[partition] = waiting[partition], []
    offsets[partition] += 1
    return Record(offsets[partition] - 1, events[-1].at_ms + _LINGER_MS, b"", encode_events(events))


def hash_of(event: Event) -> int:
    """What an emitter's draw of a partition is here: a request keeps one."""
    return int(event.request_id) if isinstance(event, Started | Completed) else 0


def _events(count: int) -> Iterator[Event]:
    """In the order of their times."""
    luck, open_, made, at_ms = random.Random(1), list[tuple[float, int, Completed]](), 0, START_MS
    while made < count:
        at_ms += luck.expovariate(1 / _APART_MS)
        while open_ and open_[0][0] <= at_ms and made < count:
            made += 1
            yield heapq.heappop(open_)[2]
        if made >= count:
            return
        started, completed = _request(luck, made, at_ms)
        made += 1
        yield started
        heapq.heappush(open_, (completed.at_ms, made, completed))


def _request(luck: random.Random, number: int, at_ms: float) -> tuple[Started, Completed]:
    target, duration_ms = luck.randrange(TARGETS), luck.lognormvariate(6.4, 0.84)
    decision = DecisionRef(
        policy="performance", snapshot=(1, int((at_ms - START_MS) / 1000) + 1), propensity=round(luck.uniform(0.002, 0.9), 6), candidates="fffff"
    )
    name, request = f"target-{target:04}", f"{number}"
    started = Started(
        at_ms=at_ms, emitter=f"host-{number % 16}", request_id=request, target=name, provider=f"provider-{target % 8}", model=f"model-{target % 5}",
        service="chat", input_tokens=luck.randrange(2000), decision=decision,
    )  # fmt: skip
    ok = luck.random() < 0.98
    completed = Completed(
        at_ms=at_ms + duration_ms, emitter=started.emitter, request_id=request, target=name, service="chat", started_at_ms=at_ms, duration_ms=duration_ms,
        outcome="ok" if ok else "error", ttft_ms=duration_ms * 0.3 if ok else None, error_type="" if ok else "server_error", input_tokens=started.input_tokens,
        output_tokens=luck.randrange(400), decision=decision,
    )  # fmt: skip
    return started, completed
