"""Details and closed windows on both logs: counted once, whoever leads, and never in the way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from routecast.analytics.fold import PartitionFold
from routecast.analytics.merge import Merge
from routecast.models.config import Config, Kafka, TargetConfig
from routecast.models.details import Details
from routecast.models.events import Completed, encode_events
from routecast.models.metrics import CLOSED_WINDOWS, Distribution, WindowRecord
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import client_options, topic_name
from routecast.streams.brokers.reading import reader
from routecast.streams.clock import SystemClock
from routecast.streams.leadership.leader import Leader
from routecast.streams.leadership.recalling import recalled, take_over
from routecast.streams.leadership.windows import Windows
from routecast.streams.memory import MemoryLog, MemoryReader
from routecast.streams.topics import DETAILS, METRICS, PANES
from routecast.testing import Fleet

T0 = 1_699_999_200_000.0
HOUR_MS = 3_600_000
CONFIG = Config.model_validate({"target": [{"id": f"t{i}", "provider": f"p{i % 2}", "model": "m", "service": "chat"} for i in range(4)]})


def _fleet() -> Fleet:
    """A fleet that begins five minutes before the hour, ticks every ten seconds, and forgets nothing of what it logs."""
    fleet = Fleet(CONFIG, routers=2, period_ms=10_000, start_ms=T0 + 3_300_000, seed=5, partitions=2)
    fleet.pipeline.kept = 10**9
    return fleet


def _traffic(fleet: Fleet, requests: int, apart_ms: float) -> None:
    luck = random.Random(7)
    for _ in range(requests):
        fleet.advance_to(fleet.now_ms + luck.expovariate(1 / apart_ms))
        router = fleet.router(luck.randrange(2))
        fleet.queue.after(luck.lognormvariate(7, 1), router.start(router.choose()).finish)


def _newest(log: MemoryLog) -> dict[str, WindowRecord]:
    """Of every window and subject the record that counts."""
    return _counting(WindowRecord.decode(record.value or b"") for p in range(3) for record in log.read(METRICS, p, 0, limit=10**9))


def _counting(records: Iterable[WindowRecord]) -> dict[str, WindowRecord]:
    found: dict[str, WindowRecord] = {}
    for record in sorted(records, key=attrgetter("version")):
        found[record.key] = record
    return found


def _sums(found: dict[str, WindowRecord], kind: str = "system") -> dict[str, int]:
    """Successes in all windows of a length."""
    return {window: sum(record.ok for record in found.values() if (record.kind, record.window) == (kind, window)) for window in CLOSED_WINDOWS}


def test_closed_windows_of_the_embedded_log_sum_to_the_truth() -> None:
    """Of every length and kind; each length in a partition of its own; nothing is said more than four times."""
    fleet = _fleet()
    _traffic(fleet, 400, 600.0)
    fleet.advance_to(T0 + HOUR_MS + 700_000)
    log, details = fleet.pipeline.log, fleet.details()
    assert details is not None
    assert details.system.outcomes_total.ok == 400
    for kind in ("target", "provider", "service", "system"):
        assert _sums(_newest(log), kind) == dict.fromkeys(CLOSED_WINDOWS, 400)
    keys: list[bytes] = []
    for partition, window in enumerate(CLOSED_WINDOWS):
        records = log.read(METRICS, partition, 0, limit=10**9)
        assert {WindowRecord.decode(record.value or b"").window for record in records} == {window}
        keys += [record.key for record in records]
    assert max(keys.count(key) for key in set(keys)) <= 4


def test_few_details_stay_on_the_embedded_log() -> None:
    """They are large: 140 kB at twenty targets."""
    fleet = _fleet()
    fleet.pipeline.kept = 1000
    _traffic(fleet, 60, 5000.0)
    fleet.advance_to(fleet.now_ms + 20_000)
    assert len(fleet.pipeline.log.read(DETAILS, 0, 0)) == 10
    assert fleet.pipeline.log.end(DETAILS, 0) > 12


def test_a_new_leader_recalls_what_was_closed() -> None:
    """From the log alone: the hour and the day as the old one shows them, which a leader that recalls nothing does not."""
    fleet = _fleet()
    _traffic(fleet, 400, 3000.0)
    log = fleet.pipeline.log
    fleet.advance_to(T0 + HOUR_MS + 1_200_000)
    merge = Merge()
    for partition in range(2):
        for record in log.read(PANES, partition, 0, limit=10**9):
            merge.add(record.key, record.value)
    leader = Leader(fleet.config, 2, fleet.now_ms, merge)
    without = Leader(fleet.config, 2, fleet.now_ms, merge)
    for records in asyncio.run(recalled(MemoryReader(log), leader.windows.begin_ms)):
        take_over(leader.windows, records)
    before = fleet.details()
    assert before is not None
    for other in (leader, without):
        other.windows.update(before.at_ms, merge)
    after, poor = (other.windows.builder.details("chat", 2, 1) for other in (leader, without))
    for name in ("1h", "24h"):
        assert after.system.windows[name] == before.system.windows[name]
        assert [target.windows[name] for target in after.targets] == [target.windows[name] for target in before.targets]
        assert poor.system.windows[name].requests < 300 < before.system.windows[name].requests


def test_a_window_that_cannot_be_read_is_left_out() -> None:
    """A sketch that is none, in one of two windows: the other one is recalled."""
    windows = Windows(CONFIG, T0, Merge())
    good, bad = (
        WindowRecord(
            kind="target", id="t0", window="1m", start_ms=int(T0) - ago_ms, end_ms=int(T0) - ago_ms + 60_000, covered_ms=60_000, version=1, ok=3,
            duration=Distribution(n=3, sum_us=3000, min_us=1000, max_us=1000, sketch=sketch),
        )
        for ago_ms, sketch in ((1_800_000, b"\x01\x03"), (1_860_000, b"\xff"))
    )  # fmt: skip
    for record in (bad, good):
        take_over(windows, [record])
    windows.update(T0 + 11_000, Merge())
    assert windows.builder.details("chat", 1, 1).system.windows["24h"].requests == 3


def test_windows_of_many_targets_come_little_by_little() -> None:
    """One window at a tick: the five of the details, which follow complete, then closed ones. The update has a tick, and what is made of it."""
    start_ms = T0 + 1_800_000
    config = Config(target=tuple(TargetConfig(id=f"t{i}", provider="p", model="m", service="chat") for i in range(700)))
    fold, merge, windows = PartitionFold(0), Merge(), Windows(config, start_ms, Merge())
    events = [
        Completed(at_ms=start_ms + 5000, request_id="r", target=f"t{i}", started_at_ms=start_ms, duration_ms=5.0, outcome="ok", start_reported=False)
        for i in range(700)
    ]
    fold.apply(0, start_ms + 5000, events)
    for key, value in fold.flush():
        merge.add(key, value)
    assert not list(windows.publish(start_ms + 10_000, 1, 0))
    windows.update(start_ms + 11_000, merge)
    published = [list(windows.publish(start_ms + 11_000 + 1000 * i, 1, i + 1)) for i in range(10)]
    assert [len(found) for found in published] == [0, 0, 0, 0, 0, 0, 0, 1, 703, 0]
    topic, key, value, _ = published[7][0]
    assert (topic, key, Details.decode(value).system.windows["24h"].requests) == (DETAILS, b"chat", 700)
    assert {topic for topic, *_ in published[8]} == {METRICS}


@pytest.mark.parametrize("elapsed_s", [1, 5])
def test_rare_ticks_do_more(elapsed_s: int) -> None:
    """What a tick may do follows from the time since the last, so that long periods do not leave windows behind."""
    config = Config(target=tuple(TargetConfig(id=f"t{i}", provider="p", model="m", service="chat") for i in range(700)))
    windows = Windows(config, T0, Merge())
    windows.update(T0 + 11_000, Merge())
    ticks = 0
    while not list(windows.publish(T0 + 1000.0 * elapsed_s * (ticks + 1), 1, ticks + 1)):
        ticks += 1
    assert ticks + 1 == {1: 8, 5: 1}[elapsed_s]


Run = Callable[..., Any]
Start = Callable[..., Any]


def _ended(at_ms: float, target: str) -> Completed:
    return Completed(
        at_ms=at_ms, request_id="r", target=target, started_at_ms=at_ms - 5, duration_ms=5.0, outcome="ok", service="chat", start_reported=False
    )  # fmt: skip


async def _send(kafka: Kafka, n: int) -> None:
    """Successes of now, in all partitions."""
    async with AIOKafkaProducer(**client_options(kafka)) as producer:
        for i in range(n):
            event = _ended(SystemClock().now_ms(), "ab"[i % 2])
            await producer.send_and_wait(topic_name(kafka, "events"), encode_events([event]), partition=i % 4)


async def _write_closed(kafka: Kafka) -> None:
    """What another leader closed: an hour of three hours ago, and the last minute of it twice, corrected."""
    await create_topics(kafka)
    hour_ms = int(SystemClock().now_ms()) // HOUR_MS * HOUR_MS - 3 * HOUR_MS
    minute = {"kind": "target", "id": "a", "window": "1m", "start_ms": hour_ms + HOUR_MS, "end_ms": hour_ms + HOUR_MS + 60_000, "covered_ms": 60_000}
    hours = [
        WindowRecord(kind="target", id="a", window="1h", start_ms=hour_ms - i * HOUR_MS, end_ms=hour_ms, covered_ms=HOUR_MS, version=7, ok=100) for i in (0, 1)
    ]
    minutes = [WindowRecord(**minute, version=version, ok=ok) for version, ok in ((5, 10), (6, 11))]  # type: ignore[arg-type]
    async with AIOKafkaProducer(**client_options(kafka)) as producer:
        for record in (*hours, *minutes):
            await producer.send_and_wait(topic_name(kafka, METRICS), record.encode(), key=record.key.encode(), partition=record.partition)


async def _details(kafka: Kafka, true: Callable[[Details], bool]) -> Details:
    """Wait for details of which this is true."""
    async with reader(kafka) as read:
        while True:
            found, _ = await read.newest(DETAILS, [b"chat"])
            if b"chat" in found and true(details := Details.decode(found[b"chat"])):
                return details


async def _closed(kafka: Kafka) -> list[WindowRecord]:
    async with reader(kafka) as read:
        return [
            WindowRecord.decode(record.value or b"")
            for partition in range(3)
            async for record in read.stretch(METRICS, partition, 0, (await read.ends(METRICS, [partition]))[partition])
        ]


async def _until_sum(kafka: Kafka, n: int) -> list[WindowRecord]:
    """Wait until the closed ten seconds sum to this."""
    while _sums(_counting(records := await _closed(kafka)))["10s"] != n:  # noqa: ASYNC110 - the log tells nobody
        await asyncio.sleep(0.2)
    return records


def test_closed_windows_sum_to_the_truth_though_the_leader_is_killed(start_worker: Start, config_file: Path, kafka: Kafka, run: Run) -> None:
    """Events before, during and after; versions never fall; and each leader shows the day with what others closed before it."""
    run(_write_closed(kafka))
    first = start_worker(config_file)
    first.wait_for("leading with term")
    run(_send(kafka, 300))
    run(_details(kafka, lambda details: details.system.windows["24h"].requests == 411))
    second = start_worker(config_file)
    second.wait_for("ready")
    first.process.kill()
    run(_send(kafka, 200))
    second.wait_for("leading with term")
    records = run(_until_sum(kafka, 500))
    details = run(_details(kafka, lambda details: details.system.windows["24h"].requests == 611))
    assert details.targets[0].windows["24h"].requests == 361
    versions: dict[str, int] = {}
    for record in records:
        assert record.version >= versions.get(record.key, 0)
        versions[record.key] = record.version
