from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from routecast.servers.kafka import VERSION, BrokerUnavailable, LocalBroker, free_ports, missing_tools

Run = Callable[[Coroutine[Any, Any, Any]], Any]
PLACE = TopicPartition("kept", 0)


async def _make_topic(bootstrap: str, replication: int = 1, **configs: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answer: Any = await admin.create_topics([NewTopic(PLACE.topic, 1, replication, topic_configs=configs)])
        assert answer.topic_errors[0][1] == 0
    finally:
        await admin.close()


async def _write(bootstrap: str, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(PLACE.topic, value)


async def _values(bootstrap: str) -> list[bytes]:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([PLACE])
        end = (await consumer.end_offsets([PLACE]))[PLACE]
        found: list[bytes] = []
        while await consumer.position(PLACE) < end:
            found += [message.value or b"" for message in (await consumer.getmany(timeout_ms=500)).get(PLACE, ())]
        return found


@pytest.mark.usefixtures("broker_tools")
def test_a_broker_finds_its_data_after_a_stop_and_after_a_crash(tmp_path: Path, run: Run) -> None:
    """At the same address, everything that was confirmed."""
    broker = LocalBroker(tmp_path / "broker")
    with broker:
        first = broker.pid
        run(_make_topic(broker.bootstrap))
        run(_write(broker.bootstrap, b"before the stop"))
    assert broker.pid is None
    with broker:
        assert broker.pid not in {None, first}
        run(_write(broker.bootstrap, b"before the crash"))
        broker.kill()
        broker.start()
        assert run(_values(broker.bootstrap)) == [b"before the stop", b"before the crash"]


@pytest.mark.usefixtures("broker_tools")
def test_a_broker_that_cannot_start_says_why_at_once(tmp_path: Path) -> None:
    """Here its port is taken by somebody else; nothing of it stays behind."""
    broker = LocalBroker(tmp_path / "broker")
    host, port = broker.bootstrap.split(":")
    with socket.create_server((host, int(port))), pytest.raises(BrokerUnavailable, match=r"(?s)did not start, see .*broker\.log.*Address already in use"):
        broker.start()
    assert broker.pid is None


@pytest.mark.usefixtures("broker_tools")
def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    """Kafka's own words about it."""
    broker = LocalBroker(tmp_path / "broker", properties={"num.network.threads": "many"})
    with pytest.raises(BrokerUnavailable, match=r"many.*num\.network\.threads"):
        broker.start()


def test_a_cluster_loses_and_doubles_nothing_when_a_broker_dies(start_brokers: Callable[[int], Sequence[LocalBroker]], run: Run) -> None:
    """A topic on three brokers, an idempotent producer, the leader of the partition killed in between."""
    cluster = start_brokers(3)
    bootstrap = ",".join(broker.bootstrap for broker in cluster)
    sent = [b"%d" % i for i in range(3000)]
    run(_make_topic(bootstrap, replication=3, **{"min.insync.replicas": "2"}))
    run(_write_through_a_crash(bootstrap, cluster, sent))
    assert run(_values(bootstrap)) == sent


async def _write_through_a_crash(bootstrap: str, cluster: Sequence[LocalBroker], values: Sequence[bytes]) -> None:
    third = len(values) // 3
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_batch_size=512) as producer:
        waiting = [await producer.send(PLACE.topic, value, partition=0) for value in values[:third]]
        leader: Any = producer.client.cluster.leader_for_partition(PLACE)
        cluster[leader - 1].kill()
        waiting += [await producer.send(PLACE.topic, value, partition=0) for value in values[third:]]
        await asyncio.gather(*waiting)
        assert producer.client.cluster.leader_for_partition(PLACE) != leader


def test_ports_are_different_and_below_those_of_clients() -> None:
    """A client that dials a stopped broker must not be given that port for itself."""
    ports = free_ports(40)
    assert len(set(ports)) == 40
    assert all(20_000 <= port < 32_768 for port in ports)


def test_without_java_and_maven_a_broker_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what to do instead."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert missing_tools() == ["java", "mvn"]
    with pytest.raises(BrokerUnavailable, match="needs java and mvn: install them, or give a running broker"):
        LocalBroker(tmp_path / "broker").start()


@pytest.mark.usefixtures("broker_tools")
@pytest.mark.timeout(300)
def test_two_processes_may_fetch_the_jars_at_the_same_time(tmp_path: Path) -> None:
    """Both get all of them, and no scrap stays behind."""
    program = "from routecast.servers.kafka import run_tool; print(run_tool('kafka.Kafka', '--version'))"
    environ = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", program]
    both = [subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [(process.returncode, VERSION in text) for process, text in zip(both, said, strict=True)] == [(0, True), (0, True)], said
    assert [path.name for path in (tmp_path / "routecast").iterdir()] == [f"kafka-{VERSION}"]
