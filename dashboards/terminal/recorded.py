"""A recording as a film: what its leaders published, computed again tick by tick, with what operators and routers said meanwhile."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from routecast.dashboards.terminal.player import Film, unheard
from routecast.dashboards.terminal.source import Frame, Heard
from routecast.models.config import Config
from routecast.models.errors import CheckFailed
from routecast.streams.memory import Record
from routecast.streams.recordings.attempts import recorded_config
from routecast.streams.recordings.recording import Recording
from routecast.streams.recordings.verification import Verification
from routecast.streams.topics import CONTROL, TICKS, TRIPS, Topic

_TOLD: Final[tuple[Topic, ...]] = (CONTROL, TRIPS, TICKS)


def film_of(path: Path, config: Config | None = None) -> Film:
    """Of a recording, with its own configuration unless another is given. Raises ConfigError, DecodeError, CheckFailed where it cannot be played."""
    with Recording(path) as recording:
        known = config or recorded_config(recording)
        if known is None:
            raise CheckFailed(f"{str(path)!r} holds no configuration that this version reads: give one with --config")
        first = next(iter(Verification(recording, _silent).play()), None)
        if first is None:
            raise CheckFailed(f"{str(path)!r} has no tick that can be computed again: was a worker leading, and did it tick after the recording began?")
        return Film(path.name, known, partial(_frames, path), first[0].at_ms, recording.manifest.last_ms, unheard)


def _frames(path: Path) -> Generator[Frame]:
    """A frame a tick."""
    with Recording(path) as recording:
        said = _said(recording)
        waiting = next(said, None)
        for tick, published in Verification(recording, _silent).play():
            records: list[Heard] = []
            while waiting is not None and waiting.record.append_ms <= tick.at_ms:
                records.append(waiting)
                waiting = next(said, None)
            records += [Heard(message.topic, Record(tick.seq, tick.at_ms, message.key, message.value)) for message in published if message.topic != TICKS]
            yield Frame(tick.at_ms, records)


def _said(recording: Recording) -> Iterator[Heard]:
    """Words of operators and routers, and claims of leaders, in the order of time."""
    return heapq.merge(*(_of(recording, topic) for topic in _TOLD), key=lambda heard: heard.record.append_ms)


def _of(recording: Recording, topic: Topic) -> Iterator[Heard]:
    for record in recording.records(topic, 0):
        yield Heard(topic, record)


def _silent(events: int, at_ms: float) -> None:
    """Nobody watches the progress."""
