"""A small fleet in virtual time: three targets, one of which fails from the 60th to the 100th second."""

from __future__ import annotations

import random
from collections.abc import Generator
from functools import partial
from typing import NamedTuple

import pytest

from routecast.dashboards.terminal.journal import Journal
from routecast.dashboards.terminal.picture import Picture
from routecast.dashboards.terminal.player import Film, unheard
from routecast.dashboards.terminal.source import Frame, Heard
from routecast.models.config import Config
from routecast.streams.calls.call import Call
from routecast.streams.memory import MemoryLog
from routecast.streams.topics import CONTROL, DETAILS, INSIGHTS, SCORES, TICKS, TRIPS, Topic
from routecast.testing import Fleet

TOPICS: tuple[Topic, ...] = (CONTROL, TRIPS, TICKS, SCORES, DETAILS, INSIGHTS)
CONFIG = Config.model_validate({"target": [{"id": name, "provider": f"p-{name}", "model": "m", "service": "chat"} for name in ("a", "b", "c")]})


class Story(NamedTuple):
    """What was published, a frame a second, and the log it was published on."""

    frames: list[Frame]
    log: MemoryLog

    @property
    def film(self) -> Film:
        """To be played."""
        return Film("story", CONFIG, self._open, self.frames[0].at_ms, self.frames[-1].at_ms, unheard)

    def _open(self) -> Generator[Frame]:
        yield from self.frames

    def journal(self, second: float) -> Journal:
        """What is known at that second."""
        journal = Journal(CONFIG)
        for frame in self.frames:
            if frame.at_ms <= self.frames[0].at_ms + second * 1000.0:
                for topic, record in frame.records:
                    journal.take(topic, record)
        return journal

    def picture(self, second: float) -> Picture:
        """The same, to be drawn."""
        return Picture(self.journal(second), CONFIG, "story")


@pytest.fixture(scope="session")
def story() -> Story:
    """Two minutes of it."""
    fleet, luck = Fleet(CONFIG, routers=2, seed=5), random.Random(5)
    fleet.pipeline.kept, fleet.pipeline.checkpoint_ms = 1_000_000, 10_000
    start_ms, at_ms, frames, read = fleet.now_ms, fleet.now_ms, list[Frame](), dict[Topic, int]()
    while at_ms < start_ms + 120_000.0:
        at_ms += luck.expovariate(0.008)
        fleet.advance_to(at_ms)
        router = fleet.router(luck.randrange(2))
        call = router.start(router.choose())
        failing = call.decision.target == "b" and 60_000.0 <= at_ms - start_ms < 100_000.0
        fleet.queue.after(40.0 if failing else 300.0 * luck.lognormvariate(0, 0.3), partial(_end, call, failing))
        if not frames or at_ms >= frames[-1].at_ms + 1000.0:
            frames.append(Frame(at_ms, _new(fleet.pipeline.log, read)))
    return Story(frames, fleet.pipeline.log)


def _end(call: Call, failing: bool) -> None:
    call.first_chunk()
    call.finish(outcome="error" if failing else "ok", error_type="server_error" if failing else "")


def _new(log: MemoryLog, read: dict[Topic, int]) -> list[Heard]:
    found: list[Heard] = []
    for topic in TOPICS:
        records = log.read(topic, 0, read.get(topic, 0))
        found += [Heard(topic, record) for record in records]
        read[topic] = read.get(topic, 0) + len(records)
    return found
