"""A recording, moment by moment: what was appended to the log since the moment before, and what its leaders published. No clock and no log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from routecast.models.config import Config
from routecast.models.errors import CheckFailed
from routecast.models.tick import TickRecord
from routecast.streams.leadership.leader import Message
from routecast.streams.memory import Record
from routecast.streams.recordings.decisions import Told
from routecast.streams.recordings.ranges import EVERYTHING, Range, in_time
from routecast.streams.recordings.recording import Recording
from routecast.streams.recordings.rerun import Rerun, Until, times
from routecast.streams.recordings.verification import Verification
from routecast.streams.topics import CONTROL, EVENTS, SCORES, TRIPS, Topic

_SOURCES: Final[tuple[Topic, ...]] = (EVENTS, CONTROL, TRIPS)


class Source(NamedTuple):
    """A recorded record."""

    append_ms: float
    topic: Topic
    partition: int
    record: Record


class Moment(NamedTuple):
    """One tick of a leader."""

    at_ms: float
    sources: Sequence[Source]
    """Events and words appended since the moment before, in the order of their append times."""
    messages: Sequence[Message]
    """What the leader published: the tick first, then snapshots, then the rest."""
    differing: int
    """Snapshots that are not, byte for byte, the ones that the recorded tick names."""


def recorded_moments(recording: Recording, tell: Told) -> Iterator[Moment]:
    """Every recorded tick with what was published at it, computed again; term by term, so that time may go back where leaders overlapped.

    Raises CheckFailed where no leader's beginning is in the file.
    """
    sources, at_ms = _Sources(recording, EVERYTHING), 0.0
    verification = Verification(recording, tell)
    for tick, messages in verification.play():
        at_ms = tick.at_ms
        yield Moment(at_ms, sources.before(at_ms), messages, _differing(tick, messages))
    if not at_ms:
        why = "; ".join(f"term {term}: {reason}" for term, reason in verification.unverified.items()) or "it holds no tick of a leader"
        raise CheckFailed(f"what was published cannot be computed again ({why}): give a configuration, and a leader of its own will tick")
    yield Moment(max(at_ms, recording.manifest.last_ms), sources.before(float("inf")), (), 0)


def own_moments(recording: Recording, config: Config, within: Range, tell: Told) -> Iterator[Moment]:
    """What a leader with this configuration publishes that sees these events, one tick every `intervals.snapshot_ms` of recorded time."""
    sources, rerun = _Sources(recording, within), Rerun(recording, config, within, tell)
    last_ms = rerun.playback.end_ms + config.intervals.snapshot_ms
    for step in rerun.steps():
        if step.at_ms > last_ms:
            return
        yield Moment(step.at_ms, sources.before(step.at_ms), step.messages, 0)


def _differing(tick: TickRecord, messages: Sequence[Message]) -> int:
    found = {message.key.decode(): sha256(message.value).hexdigest() for message in messages if message.topic == SCORES}
    return sum(found.get(service) != tick.sha256.get(service) for service in {*found, *tick.sha256})


class _Sources:
    """Recorded records of all topics that are not published ones."""

    def __init__(self, recording: Recording, within: Range) -> None:
        self._topics: Mapping[Topic, Until] = {topic: Until(in_time(recording, topic, within if topic == EVENTS else times(within))) for topic in _SOURCES}

    def before(self, at_ms: float) -> list[Source]:
        """Those appended before this moment that were not taken yet."""
        found = [Source(placed.append_ms, topic, placed.partition, placed.record) for topic, until in self._topics.items() for placed in until.before(at_ms)]
        return sorted(found, key=lambda source: source.append_ms)
