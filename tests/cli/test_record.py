from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from routecast.models.config import Config
from routecast.models.events import Completed, Event, Started, decode_events, encode_events
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import client_options, topic_name
from routecast.streams.clock import SystemClock
from routecast.streams.memory import Record
from routecast.streams.operators.published import newest
from routecast.streams.recordings.recording import Recording, RecordingWriter

Command = Callable[..., Any]
Run = Callable[..., Any]
Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def replay(environ: dict[str, str]) -> Callable[..., Ran]:
    """Runs `replay` to its end."""

    def run(*arguments: str) -> Ran:
        command = [sys.executable, "-m", "routecast.cli", "replay", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)

    return run


@contextmanager
def _traffic(config: Config, speed: float = 1.0) -> Generator[list[int]]:
    """Requests on all partitions while it lasts: how many events were confirmed, over how many ms of event time, which passes faster, up to now and beyond."""
    stop, sent = threading.Event(), [0, 0]

    async def send() -> None:
        luck, clock = random.Random(1), SystemClock()
        began_ms = clock.now_ms()
        async with AIOKafkaProducer(**client_options(config.kafka)) as client:
            while not stop.is_set():
                now_ms, target = began_ms - (speed - 1.0) * 10_000.0 + (clock.now_ms() - began_ms) * speed, luck.choice("abc")
                common: dict[str, Any] = {"request_id": f"{luck.random()}", "target": target, "service": "mail" if target == "c" else "chat"}
                duration_ms = luck.lognormvariate(4, 1)
                ended: dict[str, Any] = {"started_at_ms": now_ms - duration_ms, "duration_ms": duration_ms, "outcome": luck.choice(["ok", "ok", "ok", "error"])}
                events: list[Event] = [Started(at_ms=now_ms - duration_ms, **common)]
                events.append(Completed(at_ms=now_ms, **common, **ended))
                await client.send_and_wait(topic_name(config.kafka, "events"), encode_events(events), partition=luck.randrange(4))
                sent[0] += len(events)
                sent[1] = int((clock.now_ms() - began_ms) * speed)
                await asyncio.to_thread(stop.wait, 0.02)

    thread = threading.Thread(target=asyncio.run, args=(send(),))
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()


def test_a_recording_through_the_death_of_the_leader_is_verified(
    routecast: Command, command_line: Command, environ: dict[str, str], replay: Callable[..., Ran], config: Config, config_file: Path, start_worker: Command,
    run: Run, eventually: Command, tmp_path: Path,
) -> None:  # fmt: skip
    """Two workers, one killed, a drain in between: every snapshot of both leaders follows from the file, byte for byte."""
    file, whole, part = (tmp_path / f"{name}.rec" for name in ("incident", "whole", "part"))

    def term() -> int:
        return max((snapshot.term for snapshot in run(newest(config)).snapshots.values()), default=-1)

    first = start_worker(config_file)
    first.wait_for("leading with term")
    with _traffic(config) as sent:
        eventually(lambda: term() >= 0)
        second = start_worker(config_file)
        second.wait_for("ready")
        recorder = subprocess.Popen(command_line("record", "--out", str(file)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
        eventually(lambda: file.exists() or recorder.poll() is not None)
        drained = json.loads(routecast("targets", "drain", "a", "--json").stdout)
        assert drained["state"] == "drained"
        before = term()
        led = next(worker for worker in (second, first) if f"leading with term {before} " in worker.said)
        led.process.kill()
        eventually(lambda: term() > before)
        eventually(lambda: routecast("targets", "list", "--json").stdout.count('"drained"') == 1)
    recorder.send_signal(signal.SIGTERM)
    out, err = recorder.communicate(timeout=30)
    assert (recorder.returncode, "from checkpoint" in out, "Traceback" in err) == (0, True, False)

    shown = replay(str(file), "--verify", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    verified = json.loads(shown.stdout)["verified"]
    assert verified["unverified"] == {}
    assert len(verified["terms"]) == 2
    assert verified["checkpoints"] >= 1
    assert verified["snapshots"] == 2 * verified["ticks"]

    assert routecast("record", "--out", str(whole), "--from", "beginning", "--until-end").returncode == 0
    found = json.loads(replay(str(whole), "--verify", "--json").stdout)
    assert found["events"] == sent[0]
    assert found["verified"]["unverified"] == {}
    assert "are equal, byte for byte" in replay(str(whole), "--verify").stdout

    until_ms = sum(stretch_ms(whole)) / 2
    assert routecast("record", "--out", str(part), "--from", "beginning", "--to", f"{until_ms:.0f}").returncode == 0
    with Recording(whole) as one, Recording(part) as other:
        for partition in range(4):
            assert list(other.records("events", partition)) == [record for record in one.records("events", partition) if record.append_ms < int(until_ms)]
    assert replay(str(part)).returncode == 0
    shown = routecast("record", "--out", str(part.with_suffix(".later")), "--from", "0:3,1:3,2:3,3:3").stdout
    assert "events from 0:3,1:3,2:3,3:3 on in" in shown


def stretch_ms(file: Path) -> tuple[float, float]:
    """When the first and the last event of a recording were appended."""
    with Recording(file) as recording:
        return recording.manifest.first_ms, recording.manifest.last_ms


def test_a_recording_of_more_than_a_minute_with_plans_is_verified(
    routecast: Command, replay: Callable[..., Ran], config: Config, config_file: Path, start_worker: Command, eventually: Command, tmp_path: Path
) -> None:
    """Of event time, which passes ten times faster here: what leaders plan in other processes meanwhile stands in nobody's way."""
    config_file.write_text(config_file.read_text().replace("[intervals]", "[intervals]\nanalysis_ms = 1000"))
    start_worker(config_file).wait_for("leading with term")
    with _traffic(config, speed=10.0) as sent:
        eventually(lambda: '"now_per_min"' in routecast("insights", "--kind", "capacity", "--json").stdout)
        eventually(lambda: sent[1] > 62_000)
    file = tmp_path / "long.rec"
    assert routecast("record", "--out", str(file), "--from", "beginning", "--until-end").returncode == 0
    shown = replay(str(file), "--verify", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert json.loads(shown.stdout)["verified"]["unverified"] == {}
    with Recording(file) as recording:
        times = [event.at_ms for p in range(4) for record in recording.records("events", p) for event in decode_events(record.value or b"")[0]]
    assert max(times) - min(times) >= 60_000


def test_a_recording_for_some_seconds_is_complete(routecast: Command, replay: Callable[..., Ran], config: Config, run: Run, tmp_path: Path) -> None:
    """Also where nothing has happened; replay says so, and verification that there is nothing to verify."""
    run(create_topics(config.kafka))
    file = tmp_path / "a.rec"
    shown = routecast("record", "--out", str(file), "--for", "0.5", "--json")
    assert (shown.returncode, json.loads(shown.stdout)["events"]) == (0, 0)
    assert replay(str(file)).returncode == 0
    refused = replay(str(file), "--verify")
    assert refused.returncode == 5
    assert "has no tick that can be verified" in refused.stderr


def test_record_says_what_is_wrong(routecast: Command, config: Config, run: Run, tmp_path: Path) -> None:
    """No topics, no brokers, a file that exists: a sentence and an exit code each, and no file is left behind."""
    file = tmp_path / "a.rec"
    shown = routecast("record", "--out", str(file), "--until-end")
    assert (shown.returncode, "there is no topic" in shown.stderr) == (5, True)
    shown = routecast("record", "--out", str(file), "--until-end", "--kafka", "kafka://127.0.0.1:1")
    assert (shown.returncode, "cannot be reached" in shown.stderr) == (4, True)
    assert not file.exists()
    run(create_topics(config.kafka))
    file.write_text("mine")
    shown = routecast("record", "--out", str(file), "--until-end")
    assert (shown.returncode, "exists: give another file" in shown.stderr) == (3, True)
    assert file.read_text() == "mine"


def test_replay_says_what_is_wrong_with_a_file(replay: Callable[..., Ran], tmp_path: Path) -> None:
    """Damaged: 5; no recording, or cut short: 1; not there: 3."""
    file = tmp_path / "a.rec"
    with RecordingWriter(file, "routecast.") as out:
        out.add("events", 0, Record(0, 1.7e12, b"", b"[]" + b" " * 1000))
    data = file.read_bytes()
    file.write_bytes(data[:70] + bytes([data[70] ^ 1]) + data[71:])
    shown = replay(str(file), "--verify")
    assert (shown.returncode, "is not as it was written" in shown.stderr) == (5, True)
    file.write_bytes(data[:-100])
    shown = replay(str(file))
    assert (shown.returncode, "ends too early" in shown.stderr) == (1, True)
    file.write_text("no")
    shown = replay(str(file))
    assert (shown.returncode, "is no recording" in shown.stderr) == (1, True)
    shown = replay(str(tmp_path / "b.rec"))
    assert (shown.returncode, "does not exist" in shown.stderr) == (3, True)
