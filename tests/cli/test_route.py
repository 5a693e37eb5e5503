from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from routecast.models.config import Config
from routecast.models.snapshot import RoutingSnapshot, encode_snapshot
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.leadership.leading import producer
from routecast.streams.memory import MemoryReader
from routecast.streams.recordings.recorder import Recorder
from routecast.streams.recordings.recording import RecordingWriter
from routecast.testing import Fleet

Command = Callable[..., Any]


def _snapshot(config: Config) -> RoutingSnapshot:
    """Target b is drained."""
    fleet = Fleet(config, routers=1, seed=1, service="chat")
    fleet.advance_to(fleet.now_ms + 3000)
    made = fleet.snapshot()
    assert made is not None
    targets = tuple(replace(target, state="drained" if target.id == "b" else "ok") for target in made.targets)
    return replace(made, at_ms=time.time() * 1000.0, targets=targets)


def _reasons(shown: str) -> dict[str, str]:
    return {other["target"]: other["reason"] for other in json.loads(shown)["alternatives"]}


def test_what_runs_is_explained_by_the_newest_snapshot_on_the_brokers(routecast: Command, config: Config, run: Command) -> None:
    """What is drained now is left out; --offline knows nothing of it."""

    async def publish() -> None:
        await create_topics(config.kafka)
        async with producer(config) as out:
            await out.send_and_wait(topic_name(config.kafka, "scores"), encode_snapshot(_snapshot(config)), key=b"chat", partition=0)

    run(publish())
    shown = routecast("route", "explain", "--service", "chat", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert json.loads(shown.stdout)["target"] == "a"
    assert _reasons(shown.stdout) == {"b": "drained"}
    offline = _reasons(routecast("route", "explain", "--service", "chat", "--json", "--offline").stdout)
    assert "drained" not in offline.values()


def test_brokers_that_are_not_there_are_said_with_the_way_around_them(routecast: Command) -> None:
    """Exit code 4; a recording, a snapshot or nothing at all needs no broker."""
    shown = routecast("route", "explain", "--service", "chat", "--kafka", "kafka://127.0.0.1:1")
    assert (shown.returncode, shown.stdout, shown.stderr.count("\n")) == (4, "", 1)
    assert "--offline explains by the configuration alone" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--offline", "--demo", "100"), "FILE, --kafka, --offline, --snapshot and --demo: give one of them"),
        (("--at", "3"), "--at: of a recording; for the demonstration, --demo SECONDS"),
        (("--offline", "--service", "caht"), "no service 'caht'; did you mean 'chat'?"),
        (("--offline", "--excluded", "p_a"), "no target or provider 'p_a'; did you mean 'p-a'?"),
        (("--offline", "--tried", "nobody"), "no target 'nobody'; there are a, b, c"),
    ],
)
def test_what_is_asked_for_wrongly_is_said_with_what_there_is(inside: Command, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """One sentence, exit code 2."""
    (tmp_path / "routecast.toml").write_text("".join(f'[[target]]\nid = "{name}"\nprovider = "p-{name}"\nmodel = "m"\nservice = "chat"\n' for name in "abc"))
    shown = inside("route", "explain", *arguments)
    assert (shown.returncode, shown.stdout, shown.stderr) == (2, "", f"routecast: {said}\n")


def test_a_recording_is_explained_by_what_was_published_last(inside: Command, tmp_path: Path, run: Command) -> None:
    """At its end, or so many seconds after its beginning: the target that fails from the tenth second on is used before and left out later."""
    config = Config.model_validate({"target": [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in ("a", "b", "c")]})
    fleet, luck = Fleet(config, routers=1, seed=2), random.Random(2)
    fleet.pipeline.kept, fleet.pipeline.checkpoint_ms = 1_000_000, 10_000
    begin_ms = fleet.now_ms
    while fleet.now_ms < begin_ms + 20_000.0:
        fleet.advance_to(fleet.now_ms + luck.expovariate(0.02))
        call = fleet.router(0).start(fleet.router(0).choose())
        failing = call.decision.target == "b" and fleet.now_ms > begin_ms + 10_000.0
        fleet.queue.after(50.0, partial(call.finish, outcome="error" if failing else "ok", error_type="server_error" if failing else ""))

    async def record() -> None:
        with RecordingWriter(tmp_path / "story.routecast", "test.") as out:
            recorder = Recorder(MemoryReader(fleet.pipeline.log), out, "beginning")
            await recorder.begin()
            await recorder.copy()

    run(record())
    at_end, before = (inside("route", "explain", "story.routecast", "--json", *at) for at in ((), ("--at", "8")))
    assert (at_end.returncode, at_end.stderr) == (0, "")
    assert _reasons(at_end.stdout)["b"] == "open"
    assert "open" not in _reasons(before.stdout).values()
