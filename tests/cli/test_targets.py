from __future__ import annotations

import json
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from routecast.models.config import Config, Kafka
from routecast.models.snapshot import RoutingSnapshot, decode_snapshot
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.reading import decoded, reader
from routecast.streams.clock import FixedClock
from routecast.streams.emitter import Emitter
from routecast.streams.operators.published import newest
from routecast.streams.router import Router

Command = Callable[..., Any]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


async def _snapshots(kafka: Kafka, service: str) -> list[RoutingSnapshot]:
    """All snapshots of a service that are on the log."""
    async with reader(kafka) as read:
        end = (await read.ends("scores", [0]))[0]
        found = [decoded(record.value, decode_snapshot) async for record in read.stretch("scores", 0, 0, end) if record.key == service.encode()]
    assert None not in found
    return [snapshot for snapshot in found if snapshot is not None]


def _state(snapshot: RoutingSnapshot, target: str) -> str:
    return next(entry.state for entry in snapshot.targets if entry.id == target)


def _chosen(config: Config, snapshot: RoutingSnapshot, draws: int, tried: tuple[str, ...] = ()) -> set[str]:
    """What a router chooses that reads this snapshot."""
    clock = FixedClock(snapshot.at_ms)
    router = Router(config, snapshot.service, Emitter(clock, random.Random(1)), clock, random.Random(1))
    router.apply(snapshot)
    return {router.choose(tried=tried).target for _ in range(draws)}


def test_targets_are_listed_drained_and_resumed(
    routecast: Command, config: Config, config_file: Path, start_worker: Command, run: Run, eventually: Command
) -> None:
    """Each step as the next snapshot shows it; what is drained gets nothing, unless everything is."""
    start_worker(config_file).wait_for("ready")
    routecast("send", '{"type": "request.completed", "target": "a", "outcome": "ok", "duration_ms": 420, "output_tokens": 10}', "--service", "chat")
    eventually(lambda: [t for d in run(newest(config)).details.values() for t in d.targets if t.id == "a" and t.windows["1h"].requests])

    listed = routecast("targets", "list", "--plain")
    assert (listed.returncode, listed.stderr) == (0, "")
    rows = [row.split("\t") for row in listed.stdout.splitlines()]
    assert [row[:2] for row in rows] == [["target", "service"], ["a", "chat"], ["b", "chat"], ["c", "mail"]]

    shown = json.loads(routecast("targets", "show", "a", "--json").stdout)
    assert (shown["provider"], shown["figures"]["id"], shown["details"]["requests_total"]) == ("p-a", "a", 1)
    assert shown["details"]["windows"]["1h"]["latency"]["p50_ms"] > 400
    table = routecast("targets", "show", "a")
    assert "Since the pipeline began: 1 started, 1 ended (ok 1)." in table.stdout

    word = json.loads(routecast("targets", "drain", "a", "--json").stdout)
    assert (word["state"], word["service"], word["took_ms"] < 5000) == ("drained", "chat", True)
    snapshot = run(newest(config)).snapshots["chat"]
    assert snapshot.version >= tuple(word["snapshot"])
    assert (_state(snapshot, "a"), _chosen(config, snapshot, 5000), _chosen(config, snapshot, 50, tried=("b",))) == ("drained", {"b"}, {"b"})

    assert routecast("targets", "drain", "b").returncode == 0
    assert _chosen(config, run(newest(config)).snapshots["chat"], 5000) == {"a", "b"}

    said = routecast("targets", "resume", "a")
    assert (said.returncode, said.stderr) == (0, "")
    assert " of service chat, " in said.stdout
    snapshot = run(newest(config)).snapshots["chat"]
    assert (_state(snapshot, "a") == "drained", _state(snapshot, "b"), _chosen(config, snapshot, 5000)) == (False, "drained", {"a"})


def test_a_drained_target_stays_drained_when_the_leader_is_killed(
    routecast: Command, config: Config, config_file: Path, start_worker: Command, run: Run
) -> None:  # fmt: skip
    """In every snapshot of the next leader, its first included, although the word is newer than any checkpoint."""
    first = start_worker(config_file)
    first.wait_for("ready")
    word = json.loads(routecast("targets", "drain", "a", "--json").stdout)
    first.process.kill()
    first.process.wait()
    start_worker(config_file).wait_for("ready")
    later = json.loads(routecast("targets", "drain", "c", "--json").stdout)
    assert later["snapshot"][0] > word["snapshot"][0]
    states = [_state(snapshot, "a") for snapshot in run(_snapshots(config.kafka, "chat")) if snapshot.term > word["snapshot"][0]]
    assert states
    assert set(states) == {"drained"}


def test_a_word_without_a_leader_is_kept_until_there_is_one(routecast: Command, config: Config, config_file: Path, start_worker: Command, run: Run) -> None:
    """Exit code 1 says so; the first snapshot follows it."""
    run(create_topics(config.kafka))
    said = routecast("targets", "drain", "b", "--wait", "0.5")
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == (
        "routecast: no worker leads: nothing was published within 0.5 s. The word is kept in "
        f"topic '{config.kafka.prefix}control', offset 0, and acts when a worker runs: `routecast worker` starts one\n"
    )
    start_worker(config_file).wait_for("ready")
    assert json.loads(routecast("targets", "drain", "c", "--json").stdout)["state"] == "drained"
    assert {_state(snapshot, "b") for snapshot in run(_snapshots(config.kafka, "chat"))} == {"drained"}


def test_before_the_first_snapshot_the_configured_targets_are_listed(routecast: Command, config: Config, run: Run) -> None:
    """And a word on stderr."""
    run(create_topics(config.kafka))
    shown = routecast("targets", "list", "--plain")
    assert [row.split("\t")[:3] for row in shown.stdout.splitlines()[1:]] == [
        ["a", "chat", "no snapshot"],
        ["b", "chat", "no snapshot"],
        ["c", "mail", "no snapshot"],
    ]
    assert (shown.returncode, shown.stderr) == (0, "routecast: no snapshot was ever published: `routecast worker` starts a worker\n")


def test_an_unknown_target_is_refused_with_its_neighbours(routecast: Command, config: Config, run: Run) -> None:
    """Exit code 2, and no word is written, unless it is forced."""
    run(create_topics(config.kafka))
    for command in ("show", "drain", "resume"):
        said = routecast("targets", command, "aa")
        assert (said.returncode, said.stdout, said.stderr) == (2, "", "routecast: no target 'aa'; did you mean 'a'?\n")
    forced = routecast("targets", "drain", "aa", "--force", "--wait", "0")
    assert (forced.returncode, forced.stdout) == (0, "told to drain: aa; not waited for a snapshot\n")


def test_without_topics_the_command_that_makes_them_is_named(routecast: Command, kafka: Kafka) -> None:
    """Exit code 1."""
    said = routecast("targets", "list")
    assert (said.returncode, said.stderr) == (1, f"routecast: topic '{kafka.prefix}scores' does not exist: `routecast topics create` makes it\n")


def test_brokers_that_are_not_there_are_one_sentence(routecast: Command) -> None:
    """Exit code 4."""
    said = routecast("targets", "drain", "a", "--kafka", "kafka://127.0.0.1:1")
    assert (said.returncode, said.stdout, said.stderr.count("\n")) == (4, "", 1)
