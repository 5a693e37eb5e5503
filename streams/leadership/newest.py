"""The newest stretch of an embedded log as a file, for whoever looks at the evidence: events, and the snapshots as they were published."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from routecast.models.config import Config
from routecast.streams.memory import MemoryLog, Record
from routecast.streams.recordings.recording import RecordingWriter
from routecast.streams.topics import EVENTS, SCORES, STATE, Topic

NEWEST: Final = "newest.routecast"
ROOM: Final = {EVENTS: 32 << 20, SCORES: 16 << 20}
"""Bytes of each partition that an embedded log keeps while evidence may be asked for: some 30,000 requests, and nine minutes of snapshots of 20 targets."""
_TOPICS: Final[tuple[Topic, ...]] = (SCORES, EVENTS)


def write_newest(log: MemoryLog, config: Config, path: Path, stretch_ms: float) -> None:
    """Write what the log still holds of the last `stretch_ms`, as of its newest event. Raises RoutecastError where the file cannot be written."""
    with RecordingWriter(path, config.kafka.prefix) as out:
        out.add(STATE, 0, Record(0, 0.0, f"config/{config.version}".encode(), config.model_dump_json().encode()))
        since_ms = max((record.append_ms for partition in log.partitions(EVENTS) for record in _last(log, partition)), default=0.0) - stretch_ms
        for topic in _TOPICS:
            for partition in log.partitions(topic):
                _copy(log, topic, partition, since_ms, out)


def _last(log: MemoryLog, partition: int) -> list[Record]:
    return log.read(EVENTS, partition, log.end(EVENTS, partition) - 1)


def _copy(log: MemoryLog, topic: Topic, partition: int, since_ms: float, out: RecordingWriter) -> None:
    offset = 0
    while records := log.read(topic, partition, offset):
        for record in records:
            if record.append_ms >= since_ms:
                out.add(topic, partition, record)
        offset = records[-1].offset + 1
