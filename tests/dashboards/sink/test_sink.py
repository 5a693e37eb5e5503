from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from routecast.dashboards.influx.connection import Connection
from routecast.dashboards.influx.writer import Writer
from routecast.dashboards.points.vitals import SinkVitals
from routecast.dashboards.sink.sink import Sink
from routecast.models.config import Config
from routecast.models.errors import CheckFailed, Unreachable
from routecast.models.events import DecisionCount, Marker, RouterStats, encode_events
from routecast.models.metrics import WindowRecord
from routecast.servers.influx_faults import Fault, FaultProxy
from routecast.streams.brokers.access import SINK
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.reading import reader
from routecast.streams.clock import SystemClock
from routecast.streams.topics import Topic

Run = Callable[[Coroutine[Any, Any, Any]], Any]

NOW_MS = int(time.time() * 1000) // 10_000 * 10_000


def _window(number: int, ok: int = 1) -> bytes:
    start_ms = NOW_MS - 3_600_000 + number * 10_000
    return WindowRecord(
        kind="target", id="a", provider="p-a", model="m", service="chat", window="10s", start_ms=start_ms, end_ms=start_ms + 10_000, covered_ms=10_000,
        version=1, ok=ok,
    ).encode()  # fmt: skip


async def _append(config: Config, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=config.kafka.bootstrap, acks="all") as out:
        for value in values:
            await out.send_and_wait(config.kafka.prefix + topic, value, partition=0)


async def _committed(config: Config, topic: Topic) -> int:
    async with reader(config.kafka, group=config.kafka.prefix + SINK) as read:
        return await read.committed(topic, 0)


async def _dead(config: Config) -> list[tuple[str, bytes]]:
    async with reader(config.kafka) as read:
        end = (await read.ends("deadletter", [0]))[0]
        return [(record.key.decode(), record.value or b"") async for record in read.stretch("deadletter", 0, 0, end)]


@pytest.fixture
def stored(config: Config, store: Any, run: Run) -> Config:
    """Topics on a broker, buckets on a server."""
    run(create_topics(config.kafka))
    return config.model_copy(update={"influx": store.settings})


class Sinking:
    """A sink in this process that runs until something is true."""

    def __init__(self, config: Config, token: str, url: str | None = None) -> None:
        settings = config.influx if url is None else config.influx.model_copy(update={"url": url})
        self.connection, clock = Connection(settings, token, timeout_s=5.0), SystemClock()
        self.writer = Writer(self.connection, clock, random.Random(1))
        self.ready: list[bool] = []
        self.sink = Sink(config, self.writer, SinkVitals(self.writer, "test", clock), clock, self.ready.append)

    async def until(self, true: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        """Run, and stop in good order once that holds."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.sink.run(stop))
        while not running.done() and not await true():
            await asyncio.wait({running}, timeout=0.2)
        stop.set()
        await running
        self.connection.close()


def _reached(config: Config, topic: Topic, offset: int) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def reached() -> bool:
        return await _committed(config, topic) >= offset

    return reached


def test_what_is_on_the_log_is_stored_and_then_committed(stored: Config, store: Any, run: Run) -> None:
    """Windows, reports and markers of any topic; requests are passed over, their offsets too."""
    stats = RouterStats(at_ms=NOW_MS, decisions=(DecisionCount(service="chat", policy="performance", count=5, outcome="ok"),))
    run(_append(stored, "metrics", *(_window(i) for i in range(3))))
    run(_append(stored, "events", b'[{"type":"request.started"}]', encode_events([stats, Marker(at_ms=NOW_MS, title="deployed")])))
    sinking = Sinking(stored, store.token)
    run(sinking.until(_reached(stored, "events", 2)))
    windows = [value for name, field, value in store.points("7d") if (name, field) == ("provider_window", "requests")]
    assert windows == ["1", "1", "1"]
    assert [value for name, field, value in store.points("7d") if (name, field) == ("router_decision", "count")] == ["5"]
    assert [value for _, field, value in store.points("1y") if field == "title"] == ["deployed"]
    assert run(_committed(stored, "metrics")) == 3
    assert (True in sinking.ready, sinking.ready[-1]) == (True, False)


def test_it_tells_of_itself(stored: Config, store: Any, run: Run) -> None:
    """At once, then every ten seconds."""
    run(_append(stored, "metrics", _window(0)))
    run(Sinking(stored, store.token).until(_reached(stored, "metrics", 1)))
    told = {field: value for name, field, value in store.points("7d") if name == "pipeline"}
    assert (told["influx_up"], told["dead_letters"], told.keys() >= {"lag", "events_s", "memory_mb"}) == ("1", "0", True)


def test_a_correction_overwrites_what_it_corrects(stored: Config, store: Any, run: Run) -> None:
    """Also when the first version is read again after a crash that came before the commit."""
    run(_append(stored, "metrics", _window(0, ok=1), _window(0, ok=4)))
    for _ in range(2):
        run(Sinking(stored, store.token).until(_reached(stored, "metrics", 2)))
        assert [value for name, field, value in store.points("7d") if (name, field) == ("provider_window", "requests")] == ["4"]
        run(_forget(stored))


async def _forget(config: Config) -> None:
    from aiokafka import AIOKafkaConsumer, TopicPartition  # noqa: PLC0415 - only here

    place = TopicPartition(config.kafka.prefix + "metrics", 0)
    async with AIOKafkaConsumer(bootstrap_servers=config.kafka.bootstrap, group_id=config.kafka.prefix + SINK, enable_auto_commit=False) as client:
        client.assign([place])
        await client.commit({place: 0})


def test_what_cannot_be_stored_is_among_the_dead_letters(stored: Config, store: Any, run: Run) -> None:
    """With its place or its bucket, and the reason; its neighbours are stored."""
    old = WindowRecord(kind="target", id="a", service="chat", window="10s", start_ms=0, end_ms=10_000, covered_ms=10_000, version=1, ok=1)
    run(_append(stored, "metrics", _window(0), b"nonsense", old.encode(), _window(1)))
    run(Sinking(stored, store.token).until(_reached(stored, "metrics", 4)))
    assert [value for name, field, value in store.points("7d") if (name, field) == ("provider_window", "requests")] == ["1", "1"]
    keys = sorted((key, value[:15]) for key, value in run(_dead(stored)))
    assert [value for _, value in keys] == [b"latency_hist,se", b"provider_window", b"nonsense"]
    assert keys[0][0].startswith("influx/7d/latency_hist: failure writing points to database: partial write: dropped")
    assert keys[2][0].startswith("metrics/0/1: not a closed window")


def test_nothing_is_committed_while_influxdb_is_away(stored: Config, store: Any, run: Run) -> None:
    """And it is stored once it is back, however many more came meanwhile."""
    away = [True]
    run(_append(stored, "metrics", *(_window(i) for i in range(50))))
    with FaultProxy(store.settings.url, lambda _number, _body: Fault("answer", 503, "away") if away[0] else None) as proxy:
        sinking = Sinking(stored, store.token, proxy.url)

        async def back() -> bool:
            if away[0] and len(proxy.statuses) >= 4:
                assert await _committed(stored, "metrics") == 0
                assert sinking.ready[-1] is False
                away[0] = False
            return await _committed(stored, "metrics") == 50

        run(sinking.until(back))
    assert len([1 for name, field, _ in store.points("7d") if (name, field) == ("provider_window", "requests")]) == 50


def test_without_topics_it_says_what_makes_them(config: Config, store: Any, run: Run) -> None:
    """At once."""
    with pytest.raises(CheckFailed, match="`routecast topics create` makes them"):
        run(Sinking(config.model_copy(update={"influx": store.settings}), store.token).sink.run(asyncio.Event()))


def test_a_token_that_is_refused_ends_it_with_a_sentence(stored: Config, run: Run) -> None:
    """And nothing is committed."""
    run(_append(stored, "metrics", _window(0)))
    sinking = Sinking(stored, "nonsense")
    with pytest.raises(Unreachable, match="the token is not known there"):
        run(sinking.sink.run(asyncio.Event()))
    sinking.connection.close()
    assert run(_committed(stored, "metrics")) == 0


def test_the_command_stores_is_ready_and_stops_in_good_order(
    stored: Config, store: Any, start_sink: Callable[[str], Any], run: Run, eventually: Callable[..., None]
) -> None:
    """Its file is there while all is well, and gone afterwards."""
    run(_append(stored, "metrics", _window(0)))
    sink = start_sink(store.settings.url)
    eventually(sink.ready_file.exists)
    eventually(lambda: run(_committed(stored, "metrics")) == 1)
    sink.process.send_signal(signal.SIGTERM)
    assert (sink.process.wait(20), sink.ready_file.exists()) == (0, False), sink.log.read_text()
    assert "Traceback" not in sink.log.read_text()


def test_it_stops_within_seconds_while_influxdb_is_away(
    stored: Config, store: Any, start_sink: Callable[[str], Any], run: Run, eventually: Callable[..., None]
) -> None:
    """What it has not stored is read again by the next one."""
    run(_append(stored, "metrics", _window(0)))
    with FaultProxy(store.settings.url, lambda number, _: Fault("slow", seconds=60) if number > 5 else None) as proxy:
        sink = start_sink(proxy.url)
        eventually(lambda: "storing in InfluxDB" in sink.log.read_text())
        sink.process.send_signal(signal.SIGTERM)
        assert sink.process.wait(25) == 0, sink.log.read_text()


def test_a_missing_token_file_is_a_matter_of_the_configuration(config_file: Path, tmp_path: Path) -> None:
    """One sentence, exit code 3."""
    command: Sequence[str] = [sys.executable, "-m", "routecast.cli", "sink", "--config", str(config_file)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (3, "", 1)
    assert "influx.token_file = 'influx.token' cannot be read" in ran.stderr


def test_a_ready_file_that_cannot_be_written_is_told_before_anything_begins(tmp_path: Path) -> None:
    """Not when everything is well for the first time, which would end it."""
    (tmp_path / "routecast.toml").write_text('[[target]]\nid = "a"\nprovider = "p"\nmodel = "m"\nservice = "chat"\n')
    (tmp_path / "influx.token").write_text("t")
    command: Sequence[str] = [sys.executable, "-m", "routecast.cli", "sink", "--ready-file", "no/folder/ready"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr == "routecast: --ready-file 'no/folder/ready' cannot be written: give a file in a folder that is there and may be written to\n"
