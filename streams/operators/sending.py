"""Events made by hand: what is missing and plain is filled in, all are checked before the first is appended.

Delivery: every record is confirmed by the log; after an error those before it are there. Ordering: events of one topic as they were given.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from routecast.models.config import Config
from routecast.models.errors import DecodeError, RoutecastError
from routecast.models.events import Control, Event, Tripped, decode_events
from routecast.models.sent import Appended
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.brokers.reading import reader
from routecast.streams.emitter import BATCH
from routecast.streams.leadership.leading import producer
from routecast.streams.topics import CONTROL, EVENTS, MOST_EVENT_BYTES, Topic

_TRIPS: Topic = "trips"
_RECORD_BYTES = MOST_EVENT_BYTES * 8 // 10
_SHOWN = 200

RawEvent = dict[str, Any]


class RawRecord(NamedTuple):
    """A record to append."""

    topic: Topic
    key: bytes
    value: bytes
    events: int = 0


def parse(text: bytes) -> list[object]:
    """The JSON values of a text: one, those of an array, or one or an array a line. Raises DecodeError naming every line that is no JSON."""
    if not text.strip():
        return []
    try:
        whole = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return _parse_lines(text, error)
    return whole if isinstance(whole, list) else [whole]


def _parse_lines(text: bytes, whole: Exception) -> list[object]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) < 2:
        raise DecodeError(f"not JSON: {whole}; give an object, an array of objects, or one object a line")
    found: list[object] = []
    wrong: list[str] = []
    for number, line in lines:
        try:
            value = msgspec.json.decode(line)
            found += value if isinstance(value, list) else [value]
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            wrong.append(f"line {number} is not JSON: {error}: {_shown(line)}")
    if wrong:
        raise DecodeError("\n".join(wrong))
    return found


def completed(value: object, now_ms: float, rng: random.Random, common: Mapping[str, str]) -> object:
    """The event with what a person leaves out: `at_ms`, a `request_id`, when it started, and the fields in `common`.

    A completion that got its id here has no start that anybody reported.
    """
    if not isinstance(value, dict):
        return value
    event: RawEvent = {"at_ms": round(now_ms)} | {name: text for name, text in common.items() if text} | value
    kind = event.get("type")
    if kind in {"request.started", "request.completed"} and "request_id" not in event:
        event["request_id"] = f"hand-{rng.getrandbits(48):012x}"
        if kind == "request.completed":
            event.setdefault("start_reported", False)
    if kind == "request.completed" and all(isinstance(event.get(name), int | float) for name in ("at_ms", "duration_ms")):
        event.setdefault("started_at_ms", event["at_ms"] - event["duration_ms"])
    return event


def checked(values: Sequence[object]) -> list[RawRecord]:
    """Records of these events, at most as large as an emitter's. Raises DecodeError with the reason for every event that is wrong."""
    if not values:
        raise DecodeError("no events: give an object, an array of objects, or one object a line")
    encoded: list[tuple[Topic, bytes, bytes]] = []
    wrong: list[str] = []
    for number, value in enumerate(values, 1):
        raw = msgspec.json.encode(value)
        good, bad = decode_events(raw)
        if bad or not isinstance(value, dict):
            wrong.append(f"event {number}: {bad[0].reason if bad else 'an array inside an array'}: {_shown(raw)}")
        else:
            encoded.append((*_place(good[0]), raw))
    if wrong:
        raise DecodeError("\n".join(wrong))
    return [record for (topic, key), items in groupby(encoded, lambda item: item[:2]) for record in _batched(topic, key, [raw for _, _, raw in items])]


def _place(event: Event) -> tuple[Topic, bytes]:
    if isinstance(event, Control):
        return CONTROL, event.key.encode()
    return (_TRIPS if isinstance(event, Tripped) else EVENTS), b""


def _batched(topic: Topic, key: bytes, raws: Sequence[bytes]) -> Iterator[RawRecord]:
    """Arrays of events; one event a record where a key tells records apart."""
    most = 1 if key else BATCH
    batch: list[bytes] = []
    size = 0
    for raw in raws:
        if batch and (len(batch) >= most or size + len(raw) > _RECORD_BYTES):
            yield RawRecord(topic, key, b"[" + b",".join(batch) + b"]", len(batch))
            batch, size = [], 0
        batch.append(raw)
        size += len(raw) + 1
    if batch:
        yield RawRecord(topic, key, b"[" + b",".join(batch) + b"]", len(batch))


async def append(config: Config, records: Sequence[RawRecord], partition: int) -> list[Appended]:
    """Append records; those of topics with one partition go there. Raises RoutecastError for a topic or partition that is not there."""
    async with reader(config.kafka) as read:
        topics: set[Topic] = {record.topic for record in records}
        for topic in topics:
            there, name = await read.partitions(topic), topic_name(config.kafka, topic)
            if not there:
                raise RoutecastError(f"topic {name!r} does not exist: `routecast topics create` makes it")
            if topic == EVENTS and partition not in there:
                raise RoutecastError(f"topic {name!r} has no partition {partition}: its partitions are 0 to {max(there)}")
    appended: list[Appended] = []
    async with producer(config) as out:
        for record in records:
            at = partition if record.topic == EVENTS else 0
            sent = await out.send_and_wait(topic_name(config.kafka, record.topic), record.value, key=record.key or None, partition=at)
            appended.append(Appended(topic=sent.topic, partition=sent.partition, offset=sent.offset, events=record.events))
    return appended


def _shown(raw: bytes) -> str:
    text = raw.decode(errors="replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
