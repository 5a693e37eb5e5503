from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path

import pytest

from routecast.models.config import Config
from routecast.models.errors import CheckFailed, ConfigError
from routecast.models.events import Control
from routecast.models.snapshot import encode_snapshot
from routecast.streams.emitter import Emitter
from routecast.streams.memory import MemoryReader, Record
from routecast.streams.recordings.ranges import Range
from routecast.streams.recordings.recorder import From, Recorder
from routecast.streams.recordings.recording import Recording, RecordingWriter
from routecast.streams.replaying import replay_into
from routecast.streams.router import Router
from routecast.streams.topics import CONTROL, EVENTS, SCORES, STATE, TRIPS
from routecast.testing import Fleet

CONFIG = Config.model_validate(
    {
        "target": [{"id": f"t{i}", "provider": f"p{i % 2}", "model": "m", "service": "chat"} for i in range(4)],
        "intervals": {"snapshot_ms": 1000, "metrics_ms": 2000},
    }
)


class _Recorded:
    """Half a minute of a fleet in which a target goes down and another is drained, as its log and as a recording."""

    def __init__(self, folder: Path) -> None:
        self.fleet = Fleet(CONFIG, routers=3, seed=4, partitions=2)
        self.fleet.pipeline.kept, self.fleet.pipeline.checkpoint_ms = 1_000_000, 5_000
        self.log, luck = self.fleet.pipeline.log, random.Random(5)
        for number in range(700):
            self.fleet.advance_to(self.fleet.now_ms + luck.expovariate(0.025))
            if number == 350:
                self.fleet.tell(Control(at_ms=self.fleet.now_ms, target="t3", action="drain"))
            call = self.fleet.router(number % 3).start(self.fleet.router(number % 3).choose())
            down = call.decision.target == "t0" and 200 < number < 300
            self.fleet.queue.after(luck.lognormvariate(5.5, 0.6), call.finish, "error" if down else "ok")
        self.fleet.advance_to(self.fleet.now_ms + 3000)
        self.whole, self.later = folder / "whole.rec", folder / "later.rec"
        asyncio.run(self._record(self.whole, "beginning"))
        asyncio.run(self._record(self.later, "oldest"))

    async def _record(self, file: Path, begin: From) -> None:
        with RecordingWriter(file, "routecast.") as out:
            recorder = Recorder(MemoryReader(self.log), out, begin, within_ms=10_000)
            await recorder.begin()
            await recorder.copy()

    def published(self) -> list[bytes]:
        return [record.value or b"" for record in self.log.read(SCORES, 0, 0, 100_000)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> _Recorded:
    """Recorded once."""
    return _Recorded(tmp_path_factory.mktemp("replaying"))


@pytest.mark.parametrize("part", ["whole", "later"])
def test_routers_see_what_was_published_byte_for_byte(recorded: _Recorded, part: str) -> None:
    """From the first event as from a checkpoint, in the recorded order; and the log holds what was recorded."""
    file: Path = getattr(recorded, part)
    seen: list[bytes] = []
    with replay_into(f"memory://exact-{part}", file) as replay, Router.connect_sync(f"memory://exact-{part}", config=replay.config) as router:
        events: list[bytes | None] = []
        offset = 0
        for moment in replay:
            fresh = replay.log.read(EVENTS, 0, offset)
            offset, events = offset + len(fresh), events + [record.value for record in fresh]
            if any(message.topic == SCORES for message in moment.messages):
                assert router.snapshot is not None
                seen.append(encode_snapshot(router.snapshot))
        assert (replay.exact, replay.progress.finished, replay.progress.differing) == (True, True, 0)
        assert replay.progress.share == 1.0
        details = router.target("t1")
        assert details is not None
        assert details.requests_total > 0
    expected = recorded.published()
    assert len(seen) > 8
    assert seen == expected[-len(seen) :]
    assert part == "later" or seen == expected
    with Recording(file) as recording:
        assert events == [record.value for record in recording.records(EVENTS, 0)]
        assert replay.progress.records == sum(1 for topic in (EVENTS, CONTROL, TRIPS) for p in recording.partitions(topic) for _ in recording.records(topic, p))


def test_a_difference_is_counted(recorded: _Recorded, tmp_path: Path) -> None:
    """An outcome that was changed afterwards leads to other snapshots than the recorded ticks name."""
    changed = tmp_path / "changed.rec"
    with Recording(recorded.whole) as recording, RecordingWriter(changed, "routecast.") as out:
        for stretch in recording.manifest.stretches:
            for record in recording.records(stretch.topic, stretch.partition):
                value = record.value.replace(b'"outcome":"error"', b'"outcome":"ok"') if record.value and stretch.topic == EVENTS else record.value
                out.add(stretch.topic, stretch.partition, record._replace(value=value))
    with replay_into("memory://changed", changed) as replay:
        for _ in replay:
            pass
        assert replay.progress.differing > 10


def test_what_routers_do_there_changes_nothing(recorded: _Recorded) -> None:
    """Neither the log nor a snapshot; several policies decide side by side from the same ones, the same again each time."""

    def play(url: str) -> tuple[list[tuple[str, ...]], int]:
        with replay_into(url, recorded.whole) as replay:
            policies = ("performance", "weighted", "round_robin")
            connections = [Router.connect_sync(url, config=replay.config, policy=policy, rng=random.Random(1)) for policy in policies]
            routers = [connection.__enter__() for connection in connections]
            chosen: list[tuple[str, ...]] = []
            with Emitter.connect(url, config=replay.config) as emitter:
                for _ in replay:
                    decisions = [router.choose() for router in routers]
                    chosen.append(tuple(decision.target for decision in decisions))
                    routers[0].start(decisions[0]).finish("error")
                    emitter.started("r", "t0")
            for connection in connections:
                connection.__exit__(None, None, None)
            assert replay.progress.differing == 0
            return chosen, replay.log.end(EVENTS, 0)

    first, events = play("memory://side")
    assert first == play("memory://side")[0]
    assert events == recorded.log.end(EVENTS, 0)
    assert len({len(set(row)) for row in first}) > 1
    drained = [row for row in first[-10:] if "t3" in row]
    assert drained == []


def test_a_thread_plays_at_a_speed_pauses_and_stops(recorded: _Recorded) -> None:
    """A router waits for the first snapshot; nothing is played while it pauses; after a stop it is not finished."""
    with replay_into("memory://thread", recorded.whole, speed=20.0) as replay:
        replay.start()
        with Router.connect_sync("memory://thread", config=replay.config) as router:
            assert router.snapshot is not None
            replay.pause()
            assert not replay.wait(0.0)
            stands = replay.progress
            replay.speed = 1000.0
            assert not replay.wait(0.15)
            assert replay.progress.snapshots <= stands.snapshots + 1
            replay.resume()
            assert replay.wait(30.0)
            assert replay.progress.finished
            assert replay.progress.snapshots == len(recorded.published())
    with replay_into("memory://thread", recorded.whole, speed=1.0) as replay:
        replay.start()
        replay.stop()
        assert replay.wait(10.0)
        assert (replay.progress.finished, replay.progress.share < 1.0) == (False, True)
    assert "routecast-replay" not in {thread.name for thread in threading.enumerate()}


def test_another_leader_may_publish(recorded: _Recorded) -> None:
    """Under a configuration of one's own, or of a range, from the same events."""
    config = CONFIG.model_copy(update={"intervals": CONFIG.intervals.model_copy(update={"snapshot_ms": 5000})})
    with replay_into("memory://own", recorded.whole, config=config) as replay, Router.connect_sync("memory://own", config=config) as router:
        assert sum(1 for _ in replay) in range(5, 9)
        assert router.snapshot is not None
        assert router.snapshot.period_ms == 5000
        assert not replay.exact
    with Recording(recorded.whole) as recording:
        middle_ms = (recording.manifest.first_ms + recording.manifest.last_ms) / 2
    with replay_into("memory://own", recorded.whole, within=Range(begin=middle_ms)) as replay:
        assert 0 < sum(1 for _ in replay) < 20
        assert replay.config == CONFIG


def test_what_cannot_be_replayed_is_refused_with_a_reason(recorded: _Recorded, tmp_path: Path) -> None:
    """Another log, a name that is taken, no configuration, no leader, a speed that is none."""
    with pytest.raises(ConfigError, match="memory://NAME"):
        replay_into("kafka://localhost:9092", recorded.whole)
    with pytest.raises(ConfigError, match="above 0"):
        replay_into("memory://refused", recorded.whole, speed=0.0)
    with replay_into("memory://refused", recorded.whole), pytest.raises(ConfigError, match="already runs"):
        replay_into("memory://refused", recorded.whole)
    bare, alone = tmp_path / "bare.rec", tmp_path / "alone.rec"
    with RecordingWriter(bare, "routecast.") as out:
        out.add(EVENTS, 0, Record(0, 1000.0, b"", b"[]"))
    with RecordingWriter(alone, "routecast.") as out:
        out.add(EVENTS, 0, Record(0, 1000.0, b"", b"[]"))
        out.add(STATE, 0, Record(0, 1000.0, f"config/{CONFIG.version}".encode(), CONFIG.model_dump_json().encode()))
    with pytest.raises(ConfigError, match="give config="):
        replay_into("memory://refused", bare)
    with replay_into("memory://refused", alone) as replay:
        with pytest.raises(CheckFailed, match="no tick"):
            next(replay)
        replay.start()
        with pytest.raises(CheckFailed, match="no tick"):
            replay.wait(10.0)
