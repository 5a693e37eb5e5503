"""A recording, or a range of one, through the fold in the order of time: rows as they were at any moment of it. No clock and no log.

What is known at a moment is what was appended before it, so the same recording gives the same rows, however fast it is played.
"""

from __future__ import annotations

from collections.abc import Callable

from routecast.analytics.merge import Merge
from routecast.models.rows import KEPT_MS
from routecast.streams.recordings.ranges import EVERYTHING, Range
from routecast.streams.recordings.recording import Recording
from routecast.streams.recordings.replay import PartitionReplay, base_rows
from routecast.streams.topics import EVENTS


class Playback:
    """Folds of all partitions, advanced from moment to moment, and their rows merged.

    Args:
        recording: the file.
        within: only these events. From a beginning of its own on nothing is known of what was before; else the rows of the file's checkpoint are.
        tell: told how many events were folded and the append time they have reached, epoch ms.

    Memory: a part of each partition, and the rows of ten minutes.
    """

    def __init__(self, recording: Recording, within: Range = EVERYTHING, tell: Callable[[int, float], None] = lambda *_: None) -> None:
        self._tell = tell
        self.events = 0
        """How many were folded."""
        self.reached_ms = 0.0
        """When the last of them was appended; 0 before the first."""
        self.merge = Merge()
        """The rows of all partitions."""
        base = base_rows(recording) if within.begin is None else {}
        self._partitions = [
            PartitionReplay(recording, partition, base.get(partition, {}), self._told, within) for partition in sorted({*base, *recording.partitions(EVENTS)})
        ]
        for rows in base.values():
            for key, value in rows.items():
                self.merge.add(key, value)
        began = recording.manifest.base
        self.end_ms = within.last_ms(recording.manifest.last_ms)
        """No event was appended after it."""
        self.begin_ms = began.at_ms if began is not None and base else min(self.next_ms, self.end_ms)
        """The moment before the first event; the end where there is none."""
        self.merge.expire(self.begin_ms - KEPT_MS)

    def _told(self, events: int, at_ms: float) -> None:
        self.events += events
        self.reached_ms = max(self.reached_ms, at_ms)
        self._tell(self.events, at_ms)

    @property
    def next_ms(self) -> float:
        """When the next record was appended; infinite after the last."""
        return min((one.next_ms for one in self._partitions), default=float("inf"))

    def advance(self, at_ms: float) -> None:
        """Fold everything that was appended before this moment, epoch ms."""
        for one in self._partitions:
            if one.next_ms < at_ms:
                for key, value in one.advance(float("inf"), at_ms):
                    self.merge.add(key, value)
                one.forget(at_ms)
