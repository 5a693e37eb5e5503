from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from routecast.models.config import Config
from routecast.models.errors import CheckFailed
from routecast.models.events import decode_events
from routecast.streams.memory import MemoryReader
from routecast.streams.recordings.range_recorder import record_range
from routecast.streams.recordings.ranges import Range
from routecast.streams.recordings.recording import Recording, RecordingWriter
from routecast.streams.recordings.replay import replay
from routecast.testing import Fleet

CONFIG = Config.model_validate({"target": [{"id": name, "provider": "p", "model": "m", "service": "chat"} for name in "ab"]})


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    """A minute of a fleet on two partitions."""
    fleet, luck = Fleet(CONFIG, routers=2, seed=2, partitions=2), random.Random(2)
    fleet.pipeline.kept = 1_000_000
    for _ in range(200):
        fleet.advance_to(fleet.now_ms + 300)
        call = fleet.router(luck.randrange(2)).start(fleet.router(0).choose())
        fleet.queue.after(luck.uniform(50, 400), call.finish)
    return fleet


def _record(fleet: Fleet, file: Path, within: Range, run: Callable[..., Any]) -> None:
    with RecordingWriter(file, "routecast.") as out:
        run(record_range(MemoryReader(fleet.pipeline.log), out, within))


def test_a_stretch_of_time_holds_what_was_appended_in_it(fleet: Fleet, tmp_path: Path, run: Callable[..., Any]) -> None:
    """Of events and ticks, from its beginning to before its end; and it replays."""
    begin_ms, file = fleet.now_ms - 30_000, tmp_path / "a.rec"
    _record(fleet, file, Range(begin_ms, begin_ms + 10_000), run)
    log = fleet.pipeline.log
    with Recording(file) as recording:
        for topic in ("events", "ticks"):
            for partition in log.partitions(topic):
                expected = [record for record in log.read(topic, partition, 0, 100_000) if begin_ms <= record.append_ms < begin_ms + 10_000]
                assert list(recording.records(topic, partition)) == expected
        assert recording.manifest.base is None
        assert recording.manifest.of("state")
        found = replay(recording, lambda *_: None)
    assert found.events == recording.manifest.events > 50


def test_offsets_name_a_stretch_of_each_partition(fleet: Fleet, tmp_path: Path, run: Callable[..., Any]) -> None:
    """Partitions that are not named are whole; ticks are those of the time of the events."""
    file = tmp_path / "a.rec"
    _record(fleet, file, Range({0: 10}, {0: 14, 1: 5}), run)
    with Recording(file) as recording:
        assert [[record.offset for record in recording.records("events", partition)] for partition in (0, 1)] == [[10, 11, 12, 13], [0, 1, 2, 3, 4]]
        times = [record.append_ms for partition in (0, 1) for record in recording.records("events", partition)]
        assert [record.append_ms for record in recording.records("ticks", 0) if not min(times) <= record.append_ms <= max(times)] == []
        assert sum(len(decode_events(record.value or b"")[0]) for p in (0, 1) for record in recording.records("events", p)) == recording.manifest.events


def test_a_stretch_without_events_is_an_error(fleet: Fleet, tmp_path: Path, run: Callable[..., Any]) -> None:
    """Rather than a file in which nothing is."""
    with pytest.raises(CheckFailed, match="no event was appended within this range"):
        _record(fleet, tmp_path / "a.rec", Range(fleet.now_ms + 1000, None), run)
    assert not (tmp_path / "a.rec").exists()
