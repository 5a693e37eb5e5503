"""A recording through the whole pipeline again: the fold, and a leader of its own that ticks in recorded time. No clock and no log.

What is published follows from the recording, the range and the configuration alone: every run gives the same bytes, however fast it goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from routecast.models.config import Config
from routecast.models.rows import KEPT_MS, PANE_MS
from routecast.streams.leadership.leader import Leader, Message, trips_of, word_of
from routecast.streams.recordings.playback import Playback
from routecast.streams.recordings.ranges import EVERYTHING, Placed, Range, in_time
from routecast.streams.recordings.recording import Recording
from routecast.streams.topics import CONTROL, EVENTS, TRIPS, Topic

_SETTLED_MS = KEPT_MS + 120_000
"""How long after the last event its windows are closed for good."""


class Source(NamedTuple):
    """A recorded record that readers of the log see beside what is published."""

    topic: Topic
    place: str
    """`topic/partition/offset`."""
    value: bytes | None


class Step(NamedTuple):
    """A moment of recorded time."""

    at_ms: float
    sources: Sequence[Source]
    """Events and operators' words appended since the moment before."""
    messages: Sequence[Message]
    """What the leader publishes."""


class Rerun:
    """Goes from tick to tick, one every `intervals.snapshot_ms`; after the last event only windows are closed.

    Args:
        recording: the file.
        config: targets and intervals, as the leader should know them.
        within: only these events.
        tell: told how many events were folded and the append time they have reached, epoch ms.
    """

    def __init__(self, recording: Recording, config: Config, within: Range = EVERYTHING, tell: Callable[[int, float], None] = lambda *_: None) -> None:
        self.playback = Playback(recording, within, tell)
        self._recording, self._within = recording, within
        self._period_ms = float(config.intervals.snapshot_ms)
        self._leader = Leader(config, 1, self.playback.begin_ms, self.playback.merge)
        self._leader.windows.recalled()
        self._words, self._trips, self._events = (Until(in_time(recording, topic, times(within))) for topic in (CONTROL, TRIPS, EVENTS))

    def steps(self) -> Iterator[Step]:
        """All moments, in their order."""
        at_ms, playback, seq = self.playback.begin_ms, self.playback, 0
        while playback.next_ms < math.inf:
            at_ms, seq = at_ms + self._period_ms, seq + 1
            playback.advance(at_ms)
            words = self._heard(at_ms)
            events = [_source(EVENTS, placed) for placed in self._events.before(at_ms)]
            yield Step(at_ms, [*words, *events], self._leader.tick(at_ms))
        for end_ms in range(int(at_ms // PANE_MS + 1) * PANE_MS, int(at_ms + _SETTLED_MS), PANE_MS):
            playback.merge.expire(end_ms - KEPT_MS)
            self._leader.windows.update(end_ms, playback.merge)
            yield Step(end_ms, (), [Message(*published) for published in self._leader.windows.publish(end_ms, 1, seq)])

    def _heard(self, at_ms: float) -> list[Source]:
        """Let the leader hear what operators and routers said; the former for readers too."""
        words = list(self._words.before(at_ms))
        for placed in words:
            if placed.record.value is not None:
                self._leader.hear(placed.record.offset, word_of(placed.record.value)[0])
        for placed in self._trips.before(at_ms):
            self._leader.heed(placed.record.offset, placed.append_ms, trips_of(placed.record.value or b"")[0])
        return [_source(CONTROL, placed) for placed in words]


class Until:
    """Records of a topic, taken moment by moment."""

    def __init__(self, records: Iterator[Placed]) -> None:
        self._records = records
        self._waiting = next(records, None)

    def before(self, at_ms: float) -> Iterator[Placed]:
        """Those appended before this moment that were not taken yet."""
        while (placed := self._waiting) is not None and placed.append_ms < at_ms:
            yield placed
            self._waiting = next(self._records, None)


def _source(topic: Topic, placed: Placed) -> Source:
    return Source(topic, f"{topic}/{placed.partition}/{placed.record.offset}", placed.record.value)


def times(within: Range) -> Range:
    """The same range for other topics: offsets of events say nothing of theirs."""
    return Range(*(None if isinstance(bound, Mapping) else bound for bound in within))
