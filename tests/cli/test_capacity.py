from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from routecast.analytics.simulation.servers import Queueing
from routecast.analytics.simulation.simulator import EventQueue
from routecast.models.config import Config
from routecast.models.events import Completed, encode_events
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import client_options, topic_name
from routecast.streams.memory import Record
from routecast.streams.recordings.recording import RecordingWriter

Ran = subprocess.CompletedProcess[str]
Command = Callable[..., Ran]
Run = Callable[[Coroutine[Any, Any, Any]], Any]
CONFIG = {"target": [{"id": name, "provider": "p", "model": "m", "service": "chat", "requests_per_day": 5000} for name in "ab"]}


def traffic(n: int, start_ms: float, seed: int = 1) -> list[Completed]:
    """Requests in turn at two targets of two slots each."""
    luck, queue = random.Random(seed), EventQueue(start_ms)
    servers, ended = [Queueing(queue, 2), Queueing(queue, 2)], list[Completed]()

    def done(number: int, at_ms: float, _outcome: object) -> None:
        common: dict[str, Any] = {"request_id": f"r{number}", "target": "ab"[number % 2], "service": "chat", "output_tokens": 100}
        ended.append(Completed(at_ms=queue.now_ms, started_at_ms=at_ms, duration_ms=queue.now_ms - at_ms, outcome="ok", **common))

    for number in range(n):
        queue.advance_to(queue.now_ms + luck.expovariate(1 / 400.0))
        servers[number % 2].submit(luck.expovariate(1 / 1000.0), partial(done, number, queue.now_ms))
    queue.advance_to(queue.now_ms + 60_000.0)
    return ended


def recorded(file: Path, events: list[Completed], *, config: bool = True) -> Path:
    """A recording of these events."""
    with RecordingWriter(file, "routecast.") as out:
        for offset, event in enumerate(events):
            out.add("events", 0, Record(offset, event.at_ms, b"", encode_events([event])))
        if config:
            out.add("state", 0, Record(0, events[0].at_ms, b"config/v", Config.model_validate(CONFIG).model_dump_json().encode()))
    return file


@pytest.fixture
def capacity(environ: dict[str, str]) -> Command:
    """Runs `capacity` on a file, to its end."""

    def run(*arguments: str) -> Ran:
        command = [sys.executable, "-m", "routecast.cli", "capacity", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=100, check=False)

    return run


def test_a_recording_says_what_its_service_can_take(capacity: Command, tmp_path: Path) -> None:
    """In a table, as JSON and with tabs; the recorded configuration brings the limits, and a seed the same figures again."""
    file = str(recorded(tmp_path / "a.rec", traffic(700, 1.7e12)))
    shown = capacity(file, "--wait-p95-ms", "800", "--json")
    assert shown.returncode == 0
    found = json.loads(shown.stdout)
    assert found["service"] == "chat"
    assert found["low_per_min"] < found["sustainable_per_min"] < found["high_per_min"] < 240 * 1.2
    assert [target["target"] for target in found["targets"]] == ["a", "b"]
    table = capacity(file, "--wait-p95-ms", "800")
    assert (table.returncode, "Traceback" in table.stderr) == (0, False)
    assert f"up to {found['sustainable_per_min']:,.0f} requests/min" in table.stdout
    assert "Erlang-C, which knows no bursts, would say" in table.stdout
    plain = capacity(file, "--wait-p95-ms", "800", "--plain").stdout.splitlines()
    assert [line.split("\t")[0] for line in plain] == ["service", "chat", "target", "a", "b"]
    assert plain[1].split("\t")[4] == f"{found['sustainable_per_min']:.0f}"


def test_too_few_requests_fail_the_check(capacity: Command, tmp_path: Path) -> None:
    """Exit code 5, with how many are needed; JSON is printed all the same."""
    file = str(recorded(tmp_path / "a.rec", traffic(100, 1.7e12)))
    shown = capacity(file, "--json")
    assert shown.returncode == 5
    assert json.loads(shown.stdout)["sustainable_per_min"] is None
    assert "100 answered requests are too few, 300 are needed: record for longer" in shown.stderr


def test_what_cannot_be_is_refused(capacity: Command, tmp_path: Path) -> None:
    """A service that does not exist: 3; both sources: 2; no such file: 3."""
    file = str(recorded(tmp_path / "a.rec", traffic(50, 1.7e12)))
    shown = capacity(file, "--service", "mail")
    assert (shown.returncode, "there is no service 'mail': choose among 'chat'" in shown.stderr) == (3, True)
    shown = capacity(file, "--kafka", "kafka://127.0.0.1:1")
    assert (shown.returncode, "give one of them" in shown.stderr) == (2, True)
    shown = capacity(str(tmp_path / "b.rec"))
    assert (shown.returncode, "does not exist" in shown.stderr) == (3, True)


def test_a_running_fleet_is_asked_by_its_newest_events(routecast: Command, config: Config, run: Run) -> None:
    """The events on Kafka; of two services one must be named; brokers that do not answer: 4."""

    async def send() -> None:
        await create_topics(config.kafka)
        async with AIOKafkaProducer(**client_options(config.kafka)) as client:
            for number, event in enumerate(traffic(400, time.time() * 1000.0 - 200_000.0)):
                await client.send(topic_name(config.kafka, "events"), encode_events([event]), partition=number % 4)
            await client.flush()

    run(send())
    shown = routecast("capacity", "--service", "chat", "--wait-p95-ms", "800", "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["sustainable_per_min"] > 50
    shown = routecast("capacity")
    assert (shown.returncode, "which service? There are 'chat', 'mail'" in shown.stderr) == (3, True)
    shown = routecast("capacity", "--kafka", "kafka://127.0.0.1:1")
    assert (shown.returncode, "cannot be reached" in shown.stderr) == (4, True)
