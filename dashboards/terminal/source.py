"""Where records come from: Kafka as it goes, a recording, a demonstration."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, Protocol

from routecast.models.config import Config
from routecast.models.events import Control
from routecast.streams.memory import Record
from routecast.streams.topics import Topic


class Heard(NamedTuple):
    """A record of the log."""

    topic: Topic
    record: Record


class Frame(NamedTuple):
    """What came at one moment."""

    at_ms: float
    """Of the source's time, epoch ms."""
    records: Sequence[Heard]
    """Of each topic in the order of its log."""
    trouble: str = ""
    """Why nothing comes; empty: nothing is wrong."""
    fresh: bool = False
    """Whether it begins anew: what was known before is forgotten."""


class Source(Protocol):
    """Delivers frames for ever, through whatever troubles; says operators' words."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def config(self) -> Config:
        """Targets and intervals."""
        ...

    def now_ms(self) -> float:
        """What time it is there, epoch ms."""
        ...

    def frames(self) -> AsyncGenerator[Frame]:
        """Frames as they come; close it (`aclosing`) to let go of what it holds."""
        ...

    async def say(self, word: Control) -> str:
        """Say an operator's word; what became of it, for people. Raises RoutecastError where it is not heard."""
        ...
