"""What a worker makes of bad input, on a real broker and as a real process."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError

from routecast.models.config import Kafka
from routecast.models.details import Details
from routecast.models.events import Completed, encode_events
from routecast.models.vitals import Vitals, decode_vitals
from routecast.streams.brokers.admin import administrator, create_topics
from routecast.streams.brokers.kafka import client_options, topic_name
from routecast.streams.brokers.reading import reader
from routecast.streams.clock import SystemClock
from routecast.streams.folding import MOST_RECORD_BYTES
from routecast.streams.memory import Record

Run = Callable[..., Any]
Start = Callable[..., Any]

GARBAGE = {
    "nothing": b"",
    "no text": b"\xff\xfe\x00\x01",
    "cut short": b'[{"type":"request.started","at_ms":1',
    "another value": b"42",
    "nested": b"[" * 50_000,
    "no such event": b'{"type":"request.stopped","at_ms":1}',
    "without target": b'{"type":"request.started","at_ms":1,"request_id":"r"}',
    "negative": b'{"type":"request.completed","at_ms":1,"request_id":"r","target":"t","started_at_ms":1,"duration_ms":-5,"outcome":"ok"}',
    "large": b'{"type":"marker","at_ms":1,"title":"' + b"x" * 900_000 + b'"}',
}


def _good(i: int) -> bytes:
    at_ms = SystemClock().now_ms()
    return encode_events([
        Completed(at_ms=at_ms, request_id=str(i), target="a", started_at_ms=at_ms - 5, duration_ms=5.0, outcome="ok", service="chat", start_reported=False)
    ])  # fmt: skip


async def _counted(kafka: Kafka, n: int) -> None:
    """Wait until the published details count so many successes of target a."""
    async with reader(kafka) as read:
        while True:
            found, _ = await read.newest("details", [b"chat"])
            if b"chat" in found and Details.decode(found[b"chat"]).targets[0].outcomes_total.ok == n:
                return


async def _dead_letters(kafka: Kafka) -> list[Record]:
    async with reader(kafka) as read:
        return [record async for record in read.stretch("deadletter", 0, 0, (await read.ends("deadletter", [0]))[0])]


async def _told(kafka: Kafka, dead_letters: int) -> Vitals:
    """Wait until a worker says that it has given up so much."""
    async with reader(kafka) as read:
        while True:
            end = (await read.ends("vitals", [0]))[0]
            found = [decode_vitals(record.value or b"") async for record in read.stretch("vitals", 0, max(0, end - 1), end)]
            if found and found[-1].dead_letters >= dead_letters:
                return found[-1]


def test_garbage_is_buried_and_its_neighbours_count(start_worker: Start, config_file: Path, kafka: Kafka, run: Run) -> None:
    """Every kind of it between good events, in all partitions; the worker lives, and says how much it gave up."""

    async def send() -> list[tuple[str, bytes]]:
        await create_topics(kafka)
        sent: list[tuple[str, bytes]] = []
        async with AIOKafkaProducer(**client_options(kafka)) as producer:
            for i, value in enumerate(GARBAGE.values()):
                await producer.send_and_wait(topic_name(kafka, "events"), _good(i), partition=i % 4)
                where = await producer.send_and_wait(topic_name(kafka, "events"), value, partition=i % 4)
                sent.append((f"events/{where.partition}/{where.offset}", value))
            for i in range(4):
                await producer.send_and_wait(topic_name(kafka, "events"), _good(i), partition=i)
        return sent

    sent = run(send())
    worker = start_worker(config_file)
    worker.wait_for("ready")
    run(_counted(kafka, len(GARBAGE) + 4))
    dead = run(_dead_letters(kafka))
    assert {(record.key.decode().split(": ")[0], record.value) for record in dead} == set(sent)
    assert all(len(record.key.decode().split(": ", 1)[1]) > 5 for record in dead)
    assert worker.process.poll() is None
    told = run(_told(kafka, len(dead)))
    assert (told.lag, told.dead_letters) == (0, len(dead))
    assert told.tick_ms is not None
    assert 0.0 < told.tick_ms < 5000.0
    assert 10.0 < told.memory_mb < 1000.0


def test_the_broker_takes_no_compressed_bomb(kafka: Kafka, run: Run) -> None:
    """Topics as we make them are stored uncompressed, so that a small batch cannot become a large one in a worker."""

    async def send() -> None:
        await create_topics(kafka)
        async with AIOKafkaProducer(**client_options(kafka), compression_type="gzip", max_request_size=1 << 30) as producer:
            await producer.send_and_wait(topic_name(kafka, "events"), b" " * 50_000_000, partition=0)

    with pytest.raises(KafkaError, match="MessageSizeTooLarge"):
        run(send())


def test_a_worker_survives_a_compressed_bomb(start_worker: Start, config_file: Path, kafka: Kafka, run: Run) -> None:
    """On a topic that somebody made differently: buried, cut to what the log takes, its neighbours count."""
    bomb = b"[" + b" " * (8 * MOST_RECORD_BYTES) + b"]"
    assert len(gzip.compress(bomb, 9)) < 1_000_000

    async def send() -> None:
        admin = AIOKafkaAdminClient(**client_options(kafka))
        await admin.start()
        await admin.create_topics([NewTopic(topic_name(kafka, "events"), 4, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})])
        await admin.close()
        await create_topics(kafka)
        async with AIOKafkaProducer(**client_options(kafka), compression_type="gzip", max_request_size=1 << 30) as producer:
            for value in (_good(0), bomb, _good(1)):
                await producer.send_and_wait(topic_name(kafka, "events"), value, partition=0)

    run(send())
    worker = start_worker(config_file)
    worker.wait_for("ready")
    run(_counted(kafka, 2))
    (dead, *_) = run(_dead_letters(kafka))
    assert dead.key.decode() == f"events/0/1: record of {len(bomb)} bytes is larger than {MOST_RECORD_BYTES}"
    assert bomb.startswith(dead.value or b"nothing")
    assert worker.process.poll() is None


def test_a_worker_starts_with_the_longest_session_timeout(config_file: Path, start_worker: Start) -> None:
    """Whatever the configuration allows."""
    config_file.write_text(config_file.read_text() + "session_timeout_ms = 300_000\n")
    start_worker(config_file).wait_for("ready", within_s=30.0)


def test_partitions_that_are_added_while_workers_run_count(start_worker: Start, config_file: Path, kafka: Kafka, run: Run) -> None:
    """Those of the changelog first, then those of the events, as the page on operating says."""
    worker = start_worker(config_file)
    worker.wait_for("leading with term")
    worker.wait_for("ready")

    async def add() -> None:
        async with administrator(kafka) as admin:
            for name in ("panes", "events"):
                await admin.create_partitions({kafka.prefix + name: NewPartitions(5)})
        async with AIOKafkaProducer(**client_options(kafka)) as producer:
            for i in range(5):
                await producer.send_and_wait(topic_name(kafka, "events"), _good(i), partition=i)
        await _counted(kafka, 5)

    run(add())
    assert worker.process.poll() is None
    assert "Traceback" not in worker.said
