from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from msgspec.structs import replace

from routecast.models.config import Config
from routecast.models.errors import CheckFailed
from routecast.models.rows import PaneRow, TargetPane, TotalsRow, decode_row, encode_row, pane_key, totals_key
from routecast.models.tick import TickRecord, decode_tick
from routecast.streams.clock import FixedClock
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.memory import MemoryLog, MemoryReader, Record
from routecast.streams.recordings.recorder import Recorder, cut
from routecast.streams.recordings.recording import BASE, Recording, RecordingWriter
from routecast.streams.topics import CONTROL, EVENTS, PANES, STATE, TICKS, Topic
from routecast.testing import Fleet

CONFIG = Config.model_validate({"target": [{"id": f"t{i}", "provider": "p", "model": "m", "service": "chat"} for i in range(3)]})
T0 = 1_700_000_000_000


@pytest.fixture
def fleet() -> Fleet:
    """A fleet on two partitions that logs checkpoints, after some traffic."""
    fleet = Fleet(CONFIG, routers=3, seed=1, partitions=2)
    fleet.pipeline.kept, fleet.pipeline.checkpoint_ms = 1_000_000, 5_000
    _traffic(fleet, 600)
    return fleet


def _traffic(fleet: Fleet, requests: int) -> None:
    luck = random.Random(fleet.now_ms)
    for _ in range(requests):
        fleet.advance_to(fleet.now_ms + luck.expovariate(0.05))
        router = fleet.router(luck.randrange(3))
        fleet.queue.after(luck.lognormvariate(6, 1), router.start(router.choose()).finish)


def test_a_recording_begins_at_the_newest_checkpoint(fleet: Fleet, tmp_path: Path, run: Callable[..., Any]) -> None:
    """With the configuration, the checkpoint and its tick, and of everything else only what came after."""
    log = fleet.pipeline.log
    newest = [record for record in log.read(STATE, 0, 0) if record.key == b"checkpoint"][-1]
    checkpoint = Checkpoint.decode(newest.value or b"")

    async def work() -> None:
        with RecordingWriter(tmp_path / "a.rec", "p.") as out:
            recorder = Recorder(MemoryReader(log), out)
            await recorder.begin()
            await recorder.copy()
            _traffic(fleet, 100)
            await recorder.copy()
            await recorder.copy()

    run(work())
    with Recording(tmp_path / "a.rec") as recording:
        base = recording.manifest.base
        assert base is not None
        assert (base.term, base.seq, base.offsets) == (checkpoint.term, checkpoint.seq, checkpoint.offsets)
        states = list(recording.records(STATE, 0))
        assert [record.key for record in states[:2]] == [f"config/{CONFIG.version}".encode(), b"checkpoint"]
        assert states[1] == newest
        for partition, offset in checkpoint.offsets.items():
            assert list(recording.records(EVENTS, partition)) == log.read(EVENTS, partition, offset + 1, 1_000_000)
        first = decode_tick(next(recording.records(TICKS, 0)).value or b"")
        assert isinstance(first, TickRecord)
        assert (first.term, first.seq) == (checkpoint.term, checkpoint.seq)
        assert recording.manifest.events > 200


def test_the_oldest_checkpoint_is_one_whose_rows_can_be_read(fleet: Fleet, tmp_path: Path, run: Callable[..., Any]) -> None:
    """Nine minutes before the newest, although there are older ones."""
    fleet.advance_to(fleet.now_ms + 700_000)
    records = [record for record in fleet.pipeline.log.read(STATE, 0, 0) if record.key == b"checkpoint"]

    async def work() -> None:
        with RecordingWriter(tmp_path / "a.rec", "p.") as out:
            await Recorder(MemoryReader(fleet.pipeline.log), out, "oldest").begin()

    run(work())
    with Recording(tmp_path / "a.rec") as recording:
        assert recording.manifest.base is not None
        assert 535_000 <= records[-1].append_ms - recording.manifest.base.at_ms <= 540_000


class _Breaking(MemoryReader):
    """A log whose connection breaks after `left` records."""

    left = 0

    async def stretch(self, topic: str, partition: int, first: int, end: int) -> AsyncIterator[Record]:
        async for record in super().stretch(topic, partition, first, end):
            if self.left == 0:
                raise KafkaConnectionError
            self.left -= 1
            yield record


async def _interrupted(log: MemoryLog, path: Path, after: int, *, again: bool) -> None:
    """A recording whose copy breaks after so many records, and that goes on where asked."""
    read = _Breaking(log)
    with RecordingWriter(path, "p.") as out:
        recorder = Recorder(read, out, "beginning")
        read.left = -1
        await recorder.begin()
        read.left = after
        with pytest.raises(KafkaConnectionError):
            await recorder.copy()
        read.left = -1
        if again:
            await recorder.copy()


def test_an_interrupted_copy_names_nothing_that_is_not_in_the_file(fleet: Fleet, tmp_path: Path, run: Callable[..., Any]) -> None:
    """Wherever it is cut, the events of a recorded tick are recorded too."""
    log = fleet.pipeline.log
    total = sum(log.end(topic, partition) for topic in (EVENTS, TICKS, STATE) for partition in (0, 1))
    for after in range(0, total, 37):
        run(_interrupted(log, tmp_path / f"{after}.rec", after, again=False))
        with Recording(tmp_path / f"{after}.rec") as recording:
            last = {found.partition: found.last_offset for found in recording.manifest.of(EVENTS)}
            for record in recording.records(TICKS, 0):
                tick = decode_tick(record.value or b"")
                assert isinstance(tick, TickRecord)
                assert all(offset <= last.get(partition, -1) for partition, offset in tick.offsets.items())


def test_an_interrupted_copy_goes_on_where_it_stopped(fleet: Fleet, tmp_path: Path, run: Callable[..., Any]) -> None:
    """Nothing twice, nothing left out."""
    log = fleet.pipeline.log
    for after in (0, 1, 100, 300, 460):
        run(_interrupted(log, tmp_path / f"{after}.rec", after, again=True))
        with Recording(tmp_path / f"{after}.rec") as recording:
            for topic, partition in ((EVENTS, 0), (EVENTS, 1), (TICKS, 0), (STATE, 0)):
                assert list(recording.records(topic, partition)) == log.read(topic, partition, 0, 1_000_000)


def test_a_log_that_is_away_is_waited_for(tmp_path: Path, run: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """What was there before and after is recorded once; `stop` still records what is there by then."""
    log = MemoryLog(FixedClock(T0))

    class Away(MemoryReader):
        """Is away the second time it is asked."""

        asked = 0
        came_back = asyncio.Event()

        async def partitions(self, topic: str) -> list[int]:
            self.asked += topic == STATE
            if self.asked == 3:
                raise KafkaConnectionError
            if self.asked > 3:
                self.came_back.set()
            return await super().partitions(topic)

    async def work() -> None:
        read, stop = Away(log), asyncio.Event()
        log.append(EVENTS, b"[1]")
        with RecordingWriter(tmp_path / "a.rec", "p.") as out:
            recorder = Recorder(read, out)
            await recorder.begin()
            following = asyncio.create_task(recorder.follow(stop))
            await read.came_back.wait()
            log.append(EVENTS, b"[2]")
            stop.set()
            await following

    run(work())
    with Recording(tmp_path / "a.rec") as recording:
        assert [record.value for record in recording.records(EVENTS, 0)] == [b"[1]", b"[2]"]
    assert "the log cannot be read" in caplog.text


class TestCut:
    """Rows as they were at an offset."""

    @staticmethod
    def _log(*records: tuple[bytes, bytes | None]) -> MemoryReader:
        log = MemoryLog(FixedClock(T0))
        for key, value in records:
            log.append(PANES, value, key=key)
        return MemoryReader(log)

    @staticmethod
    def _pane(fence: int, pane_ms: int = T0) -> tuple[bytes, bytes]:
        return pane_key(0, pane_ms, 0), encode_row(PaneRow(0, pane_ms, 0, fence, list[TargetPane]()))

    @staticmethod
    def _closing(fence: int) -> tuple[bytes, bytes]:
        return totals_key(0, 0), encode_row(TotalsRow(0, 0, fence, 0.0, []))

    def _fences(self, run: Callable[..., Any], log: MemoryReader, offset: int, at_ms: float = T0 + 1000) -> list[tuple[str, int]]:
        rows = [(record.key, decode_row(record.key, record.value or b"")) for record in run(cut(log, 0, offset, at_ms))]
        return [(key.decode().split("/")[0], row.fence) for key, row in rows]

    def test_it_ends_with_the_row_that_closes_it(self, run: Callable[..., Any]) -> None:
        """Later rows do not count, nor does a row of a later flush that came before its closing row."""
        log = self._log(self._pane(3), self._closing(3), self._pane(5), self._pane(9), self._closing(5), self._pane(9), self._closing(9))
        assert self._fences(run, log, 5) == [("pane", 5), ("totals", 5)]
        assert self._fences(run, log, 3) == [("pane", 3), ("totals", 3)]

    def test_the_higher_fence_wins(self, run: Callable[..., Any]) -> None:
        """Whoever wrote last."""
        log = self._log(self._pane(5), self._pane(3), self._closing(5))
        assert self._fences(run, log, 5) == [("pane", 5), ("totals", 5)]

    def test_a_pane_is_left_out_once_fold_and_leader_have_let_it_go(self, run: Callable[..., Any]) -> None:
        """A tombstone alone says nothing to a leader whose clock is behind."""
        log = self._log(self._pane(3), self._closing(3), (pane_key(0, T0, 0), None), self._closing(5))
        assert self._fences(run, log, 5, T0 + 609_999) == [("pane", 3), ("totals", 5)]
        assert self._fences(run, log, 5, T0 + 610_000) == [("totals", 5)]

    def test_a_cut_that_is_compacted_away_is_an_error(self, run: Callable[..., Any]) -> None:
        """With what to do."""
        with pytest.raises(CheckFailed, match=r"panes/0 no longer holds the rows at offset 4: begin with the newest checkpoint"):
            run(cut(self._log(self._pane(5), self._closing(5)), 0, 4, T0))


def test_a_checkpoint_that_cannot_be_read_is_an_error(tmp_path: Path, run: Callable[..., Any]) -> None:
    """The recording could never be verified; no file is left behind."""
    log = MemoryLog(FixedClock(T0))
    log.append(STATE, b"nonsense", key=b"checkpoint")

    async def work() -> None:
        with RecordingWriter(tmp_path / "a.rec", "p.") as out:
            await Recorder(MemoryReader(log), out).begin()

    with pytest.raises(CheckFailed, match="cannot be read: wait half a minute"):
        run(work())
    assert not (tmp_path / "a.rec").exists()


def test_operators_words_are_recorded_from_the_checkpoint_on(fleet: Fleet, tmp_path: Path, run: Callable[..., Any]) -> None:
    """Those it contains are in it."""
    topics: list[Topic] = [CONTROL]
    log = fleet.pipeline.log
    newest = [record for record in log.read(STATE, 0, 0) if record.key == b"checkpoint"][-1]
    log.append(CONTROL, b"old")
    log.append(CONTROL, b"new")
    log.append(STATE, _with_control(newest.value or b"", 0), key=b"checkpoint")

    async def work() -> None:
        with RecordingWriter(tmp_path / "a.rec", "p.") as out:
            recorder = Recorder(MemoryReader(log), out)
            await recorder.begin()
            await recorder.copy()

    run(work())
    with Recording(tmp_path / "a.rec") as recording:
        assert [record.value for topic in topics for record in recording.records(topic, 0)] == [b"new"]
        assert recording.partitions(BASE) == [0, 1]


def _with_control(value: bytes, control: int) -> bytes:
    return replace(Checkpoint.decode(value), control=control).encode()
