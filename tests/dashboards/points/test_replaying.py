from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from routecast.dashboards.influx.connection import Connection
from routecast.dashboards.influx.line_protocol import Line
from routecast.dashboards.points.replaying import Checkpoints, InfluxBucket, LineFile, Pace, RunLines, play
from routecast.models.config import Config, Intervals
from routecast.models.errors import ConfigError
from routecast.models.events import Completed, Event, Marker, RouterStats, encode_events
from routecast.streams.clock import FixedClock, SystemClock
from routecast.streams.memory import Record
from routecast.streams.recordings.ranges import EVERYTHING, Range
from routecast.streams.recordings.recording import Recording, RecordingWriter
from routecast.streams.recordings.rerun import Rerun

T0 = 1_700_000_000_000.0
CONFIG = Config.model_validate({"target": [{"id": name, "provider": f"p-{name}", "model": "m", "service": "chat"} for name in "ab"]}).model_copy(
    update={"intervals": Intervals(snapshot_ms=5000)}
)
WHOSE = {"recording": "r"}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    """Two minutes on two partitions: completions, a marker, a report of a router."""
    file, luck = tmp_path_factory.mktemp("recording") / "a.rec", random.Random(4)
    with RecordingWriter(file, "routecast.") as out:
        out.add("state", 0, Record(0, T0, f"config/{CONFIG.version}".encode(), CONFIG.model_dump_json().encode()))
        for number in range(240):
            at_ms, duration_ms = T0 + number * 500.0, luck.uniform(50, 900)
            ended: dict[str, Any] = {"started_at_ms": at_ms - duration_ms, "duration_ms": duration_ms, "outcome": luck.choice(["ok", "ok", "error"])}
            events: list[Event] = [Completed(at_ms=at_ms, request_id=f"{number}", target=luck.choice("ab"), service="chat", start_reported=False, **ended)]
            events += [Marker(at_ms=at_ms, title="deployed"), RouterStats(at_ms=at_ms, emitter="e", services=("chat",))] if number == 100 else []
            out.add("events", number % 2, Record(number // 2, at_ms + 5, b"", encode_events(events)))
    with Recording(file) as found:
        yield found


class _Stopping:
    """Stores in a file, and stops the replay after so many batches."""

    def __init__(self, file: LineFile, stop: asyncio.Event, after: int) -> None:
        self._file, self._stop, self._left = file, stop, after

    async def store(self, lines: Sequence[Line]) -> Sequence[str]:
        """Store, and count."""
        self._left -= 1
        if self._left == 0:
            self._stop.set()
        return await self._file.store(lines)

    @property
    def size(self) -> int:
        """Of the file."""
        return self._file.size


class _Hurried(FixedClock):
    """A clock by which a second passes whenever somebody looks: every moment is stored by itself."""

    def monotonic_s(self) -> float:
        """Later than before."""
        self.at_ms += 1000.0
        return self.at_ms / 1000.0


def _lines(recording: Recording, within: Range = EVERYTHING) -> RunLines:
    return RunLines(Rerun(recording, CONFIG, within), CONFIG, "run 1")


async def _play(recording: Recording, path: Path, checkpoint: Path | None, after: int = 0) -> bool:
    checkpoints, stop = Checkpoints(checkpoint, WHOSE), asyncio.Event()
    with LineFile(path, checkpoints.last().size) as file:
        store = _Stopping(file, stop, after)
        return (await play(_lines(recording), store, Pace(SystemClock(), None, stop), checkpoints, _Hurried(T0))).finished


def test_interrupted_and_resumed_is_the_same_byte_for_byte(recording: Recording, tmp_path: Path) -> None:
    """However often it was stopped, and whatever was written behind the last checkpoint."""
    whole, pieces, checkpoint = tmp_path / "whole", tmp_path / "pieces", tmp_path / "checkpoint"
    assert asyncio.run(_play(recording, whole, None))
    stops = 0
    while not asyncio.run(_play(recording, pieces, checkpoint, after=35)):
        stops += 1
        with pieces.open("ab") as torn:
            torn.write(b"provider_window,targ")
    assert stops >= 2
    assert pieces.read_bytes() == whole.read_bytes()
    assert b"provider_window,run=run\\ 1,model=" in whole.read_bytes()


def test_counts_of_the_points_are_those_of_the_events(recording: Recording) -> None:
    """Every attempt is in one window of ten seconds of its target; markers and states are there too; all go to the bucket of replays."""
    last: dict[tuple[bytes, bytes], bytes] = {}
    for _, lines in _lines(recording).steps():
        for line in lines:
            assert line.destination.bucket == "replay"
            head, fields, at = line.text.replace(b"run\\ 1", b"run").split(b" ", 2)[0], line.text, line.text.rsplit(b" ", 1)[1]
            last[head, at] = fields
    found = Counter[str]()
    for (head, _), fields in last.items():
        if head.startswith(b"provider_window,") and b"window=10s" in head and b"target=_all" not in head:
            found["requests"] += int(fields.split(b"requests=")[1].split(b"i")[0])
        found[head.split(b",")[0].decode()] += 1
    assert found["requests"] == 240
    assert found["router_event"] >= 1
    assert found["provider_state"] > 0


def test_a_range_is_replayed_by_itself(recording: Recording) -> None:
    """Nothing is known of what was before."""
    rerun = Rerun(recording, CONFIG, Range(T0 + 30_000, T0 + 60_000))
    assert next(rerun.steps()).at_ms == T0 + 35_005
    assert sum(1 for _ in rerun.steps()) > 0
    assert rerun.playback.events == 62


def test_the_checkpoint_of_another_replay_is_refused(tmp_path: Path) -> None:
    """It would leave a hole in what is stored; so would a file that is no checkpoint."""
    file = tmp_path / "checkpoint"
    Checkpoints(file, WHOSE).save(Checkpoints(None, WHOSE).last())
    with pytest.raises(ConfigError, match="another replay: recording differ"):
        Checkpoints(file, {"recording": "other"}).last()
    file.write_text("{}")
    with pytest.raises(ConfigError, match="is no checkpoint"):
        Checkpoints(file, WHOSE).last()


def test_moments_are_due_as_far_apart_as_they_were_divided_by_the_speed() -> None:
    """The first at once; a stop ends the wait."""

    async def run() -> float:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        pace = Pace(SystemClock(), 100.0, stop)
        await pace.until(T0)
        begun_s = loop.time()
        await pace.until(T0 + 4000)
        took_s = loop.time() - begun_s
        stop.set()
        await pace.until(T0 + 1e9)
        return took_s

    assert asyncio.run(run()) >= 0.039


def test_replaying_twice_into_influxdb_changes_nothing(recording: Recording, store: Any) -> None:
    """Points carry the run, and stay as many and as they were."""

    async def once() -> int:
        with InfluxBucket(Connection(store.settings, store.token), SystemClock(), random.Random(1)) as bucket:
            told = await play(_lines(recording), bucket, Pace(SystemClock(), None, asyncio.Event()), Checkpoints(None, {}), SystemClock())
        assert (told.finished, told.bad) == (True, ())
        return told.lines

    columns = ("_time", "_measurement", "_field", "_value", "target", "service", "window", "run")
    assert asyncio.run(once()) > 100
    first = store.points("replay", columns)
    assert asyncio.run(once()) > 100
    assert store.points("replay", columns) == first
    assert {point[-1] for point in first} == {"run 1"}
    wanted = ("provider_window", "requests", "10s")
    assert sum(int(value) for _, name, field, value, target, _, window, _ in first if (name, field, window) == wanted and target in "ab") == 240
