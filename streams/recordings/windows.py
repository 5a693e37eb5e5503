"""Closed windows of a recording: its events through the fold, and the rows through the code that closes windows live."""

from __future__ import annotations

import math
from collections.abc import Iterator

from routecast.analytics.windows.closing import Closing
from routecast.analytics.windows.concurrency import MINUTE_MS
from routecast.analytics.windows.details import DetailsBuilder
from routecast.analytics.windows.history import HOUR_MS
from routecast.models.config import Config
from routecast.models.metrics import WindowRecord
from routecast.models.rows import KEPT_MS, PANE_MS
from routecast.streams.recordings.playback import Playback

_ALL = 1_000_000


def closed_windows(playback: Playback, config: Config) -> Iterator[WindowRecord]:
    """The windows of everything that is played, in the order in which they close; of equal keys the last counts.

    Windows that were over before the recording began are left out; those that were not over when it ended are closed as if nothing followed.
    Memory: what a leader needs for its windows.
    """
    merge = playback.merge
    begin_ms = int(playback.begin_ms)
    builder = DetailsBuilder(config, (begin_ms - KEPT_MS - PANE_MS) // MINUTE_MS * MINUTE_MS + MINUTE_MS, merge)
    closing = Closing(builder, begin_ms - begin_ms % MINUTE_MS)
    closing.recalled()
    at_ms, settled_ms = begin_ms - begin_ms % MINUTE_MS, 0.0
    while at_ms <= settled_ms or playback.next_ms < math.inf:
        idle = at_ms > settled_ms and playback.next_ms >= at_ms + MINUTE_MS
        at_ms = int(playback.next_ms if idle else at_ms) // MINUTE_MS * MINUTE_MS + MINUTE_MS
        playback.advance(at_ms)
        merge.expire(at_ms - KEPT_MS)
        merge.take_news()  # of half-seconds, which nobody asks for here: they would be kept
        builder.update(at_ms, merge)
        closing.look()
        yield from closing.take(_ALL)
        settled_ms = playback.reached_ms // HOUR_MS * HOUR_MS + HOUR_MS + KEPT_MS + 2 * MINUTE_MS
