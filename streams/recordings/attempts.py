"""Attempts from where events are kept: a recording, or the last minutes of a log. For people; nothing is committed.

Delivery: what is on the log or in the file is read once. Ordering: none is needed, attempts are put in the order of their starts. Records
that cannot be read are passed over.
"""

from __future__ import annotations

from collections.abc import Callable

from aiokafka import TopicPartition
from pydantic import ValidationError

from routecast.analytics.capacity.attempts import AttemptLog
from routecast.models.config import Config, Kafka
from routecast.models.errors import CheckFailed, ConfigError
from routecast.models.events import decode_events
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.brokers.reading import PartitionReader, consumer
from routecast.streams.folding import MOST_RECORD_BYTES
from routecast.streams.memory import Record
from routecast.streams.recordings.recording import Recording
from routecast.streams.topics import EVENTS, STATE

Told = Callable[[int, float], None]
"""Told how many events were read and the append time they have reached, epoch ms."""

_CONFIG = b"config/"


def recorded_config(recording: Recording) -> Config | None:
    """The newest configuration that a leader logged into the recording; None where there is none that this version reads."""
    newest: Record | None = None
    for record in recording.records(STATE, 0):
        if record.key.startswith(_CONFIG) and record.value is not None:
            newest = record
    if newest is None or newest.value is None:
        return None
    try:
        return Config.model_validate_json(newest.value)
    except ValidationError:
        return None


def read_recording(recording: Recording, log: AttemptLog, tell: Told) -> int:
    """Put all recorded attempts into the log; how many events there were. Raises CheckFailed at a part that is damaged."""
    events = 0
    for partition in recording.partitions(EVENTS):
        for record in recording.records(EVENTS, partition):
            events += _take(record, log)
            tell(events, record.append_ms)
    return events


async def read_log(settings: Kafka, log: AttemptLog, from_ms: float, tell: Told) -> int:
    """Put the attempts that were appended since `from_ms` (epoch ms) into the log; how many events there were.

    Reads up to what is there when it begins. Raises Unreachable, and CheckFailed where there is no topic of events.
    """
    events = 0
    async with consumer(settings) as client:
        reader = PartitionReader(client, settings)
        partitions = await reader.partitions(EVENTS)
        if not partitions:
            raise CheckFailed(f"there is no topic {settings.prefix + EVENTS!r} at {settings.bootstrap}: check kafka.prefix, or `routecast topics create`")
        places = {partition: TopicPartition(topic_name(settings, EVENTS), partition) for partition in partitions}
        found = await client.offsets_for_times({place: int(from_ms) for place in places.values()})
        ends = await reader.ends(EVENTS, partitions)
        for partition, place in places.items():
            begin = found[place]
            if begin is None:
                continue
            async for record in reader.stretch(EVENTS, partition, begin.offset, ends[partition]):
                events += _take(record, log)
                tell(events, record.append_ms)
    return events


def _take(record: Record, log: AttemptLog) -> int:
    if record.value is None or len(record.value) > MOST_RECORD_BYTES:
        return 0
    good, _ = decode_events(record.value)
    for event in good:
        log.add(event)
    return len(good)


def service_of(asked: str | None, config: Config | None, met: frozenset[str]) -> str:
    """The service that was asked for, or the only one there is. Raises ConfigError where it does not exist or one must be named."""
    known = sorted(met | (config.services if config is not None else frozenset()))
    if asked is not None and asked in known:
        return asked
    if not known:
        raise ConfigError("no event names a service: give --config with the targets and their services")
    if asked is not None:
        raise ConfigError(f"there is no service {asked!r}: choose among {', '.join(map(repr, known))}")
    if len(known) > 1:
        raise ConfigError(f"which service? There are {', '.join(map(repr, known))}: give --service")
    return known[0]
