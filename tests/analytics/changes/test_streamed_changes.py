from __future__ import annotations

import math
import random

import numpy as np
import pytest

from routecast.analytics.changes.streamed_changes import StreamedChanges
from routecast.analytics.checkpoint import pack, restore, state_of, unpack
from routecast.analytics.sketch import BUCKETS, buckets_of
from routecast.analytics.windows.columns import DURATIONS
from routecast.analytics.windows.period import period_of
from routecast.analytics.windows.window import WindowStats
from routecast.models.config import Config
from routecast.models.insights import Change, Subject
from routecast.testing import Fleet

T = 1_700_000_000_000.0
SUBJECTS = [Subject(kind="system", id="all"), *(Subject(kind="target", id=name, provider="p", service="chat") for name in "ab")]


class Streams:
    """Periods of ten seconds, twenty streamed answers of each target in every one."""

    def __init__(self, seed: int = 1) -> None:
        self.changes, self.luck, self.at_ms = StreamedChanges(), np.random.default_rng(seed), T

    def run(self, periods: int, slower: float = 1.0) -> list[Change]:
        """What is said while the first chunk of the first target takes so much longer."""
        said: list[Change] = []
        for _ in range(periods):
            stats = WindowStats(3)
            for metric, median_ms in (("ttft", 400.0), ("tpot", 20.0)):
                for subject in (1, 2):
                    factor = slower if (metric, subject) == ("ttft", 1) else 1.0
                    us = (self.luck.lognormal(math.log(median_ms * 1000 * factor), 0.6, 20)).astype(np.int64)
                    sketch = np.bincount(buckets_of(us), minlength=BUCKETS)
                    for row in (0, subject):
                        stats.sketches[row, DURATIONS.index(metric)] += sketch
                        stats.sum(f"{metric}_n")[row] += 20
            said += self.changes.update(period_of(self.at_ms, self.at_ms + 10_000, SUBJECTS, stats, np.full(3, 1000.0)))
            self.at_ms += 10_000.0
        return said


def test_a_first_chunk_that_takes_longer_is_a_change_of_its_target_alone() -> None:
    """The system and the time per token stay out of it; it is over once."""
    streams = Streams()
    assert streams.run(120) == []
    began_ms = streams.at_ms
    (first, *more) = streams.run(30, slower=1.6)
    assert (first.metric, first.subject, first.worse, first.version) == ("ttft", SUBJECTS[1], True, 1)
    assert first.detected_ms - began_ms <= 60_000
    assert first.before == pytest.approx(400 * math.exp(0.18), rel=0.1)
    assert (more or [first])[-1].after / first.before == pytest.approx(1.6, rel=0.2)
    *_, last = streams.run(60)
    assert (last.id, last.ended_by) == (first.id, "returned")


def test_streams_continue_from_a_checkpoint() -> None:
    """In the middle of an alarm, to the bit."""
    one = Streams()
    one.run(120)
    assert one.run(10, slower=2.0) != []
    saved = unpack(pack({name: state_of(part) for name, part in one.changes.parts.items()}))
    other = Streams()
    other.changes.grow(3)
    for name, part in other.changes.parts.items():
        restore(part, saved[name])
    other.at_ms, other.luck.bit_generator.state = one.at_ms, one.luck.bit_generator.state
    assert one.run(60) == other.run(60) != []


@pytest.mark.untraced
def test_a_fleet_says_that_chunks_begin_later() -> None:
    """From what applications report to the topic: the time to first chunk of one target, while whole answers take as long as ever."""
    names = ("a", "b")
    fleet = Fleet(Config.model_validate({"target": [{"id": name, "provider": "p", "model": "m", "service": "chat"} for name in names]}), routers=1, seed=1)
    luck = random.Random(1)

    def run(seconds: int, slower: float) -> list[Change]:
        for i in range(4 * seconds):
            fleet.advance_to(fleet.now_ms + 250.0)
            name = names[i % 2]
            ttft_ms = luck.lognormvariate(5.0, 0.4) * (slower if name == "a" else 1.0)
            rest_ms = luck.lognormvariate(8.0, 0.4)
            fleet.router(0).emitter.completed(f"r{i}", name, "ok", ttft_ms + rest_ms, ttft_ms=ttft_ms, output_tokens=100, service="chat")
        return [insight for insight in fleet.insights() if isinstance(insight, Change)]

    assert run(600, 1.0) == []
    (change,) = run(180, 2.0)
    assert (change.metric, change.subject.id, change.worse, change.ended_ms) == ("ttft", "a", True, None)
    assert change.after / change.before == pytest.approx(2.0, rel=0.2)
