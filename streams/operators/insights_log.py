"""What is known of insights and silences, read once from the log: for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from routecast.models.config import Config
from routecast.models.events import Control, decode_events
from routecast.models.insights import Alert, Change, Insight, decode_insight
from routecast.models.overview import Silence
from routecast.models.targets import SnapshotAge
from routecast.streams.brokers.reading import decoded, reader
from routecast.streams.operators.published import ages, needed, newest
from routecast.streams.topics import CONTROL, INSIGHTS

_SILENCE = b"silence/"


class Said(NamedTuple):
    """The newest record of every key."""

    insights: Sequence[Insight]
    unreadable: int
    """Records that are none."""
    end: int
    """Offset to follow the topic from."""
    published_ms: float | None
    """Of the newest snapshot; None: there never was one."""
    snapshots: tuple[SnapshotAge, ...]

    @property
    def alerts(self) -> list[Alert]:
        """Of all that was said, also those that are over."""
        return [insight for insight in self.insights if isinstance(insight, Alert)]

    @property
    def as_of_ms(self) -> float:
        """Until when somebody spoke, epoch ms; 0 = nobody ever did."""
        if self.published_ms is not None:
            return self.published_ms
        return max((insight.at_ms for insight in self.insights if not isinstance(insight, Change)), default=0.0)


async def said(config: Config, now_ms: float) -> Said:
    """Everything that was said last of each thing. Raises Unreachable, RoutecastError where the topics do not exist."""
    published = await newest(config)
    async with reader(config.kafka) as read:
        await needed(read, config.kafka, INSIGHTS)
        values, end = await read.newest(INSIGHTS)
    found = [decoded(value, decode_insight) for value in values.values()]
    good = [insight for insight in found if insight is not None]
    published_ms = max((snapshot.at_ms for snapshot in published.snapshots.values()), default=None)
    return Said(good, len(found) - len(good), end, published_ms, ages(published, now_ms))


async def silences(config: Config, now_ms: float) -> list[Silence]:
    """Those that have not ended, the one that ends first in front. Raises Unreachable, RoutecastError where the topic does not exist."""
    async with reader(config.kafka) as read:
        await needed(read, config.kafka, CONTROL)
        values, _ = await read.newest(CONTROL)
    words = [event for key, value in values.items() if key.startswith(_SILENCE) for event in decode_events(value)[0]]
    found = [silence for word in words if isinstance(word, Control) and (silence := _silence(word)) is not None]
    return sorted((silence for silence in found if silence.until_ms > now_ms), key=lambda silence: silence.until_ms)


def _silence(word: Control) -> Silence | None:
    if word.action != "silence" or word.until_ms is None:
        return None
    return Silence(
        kind=word.alert, subject=word.subject or None, severity=word.severity, until_ms=word.until_ms, since_ms=word.at_ms, why=word.why
    )  # fmt: skip
