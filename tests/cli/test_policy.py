from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from routecast.cli.policy import reason
from routecast.models.config import Config
from routecast.models.snapshot import RoutingSnapshot, decode_snapshot
from routecast.models.targets import PolicyLine
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.reading import decoded, reader
from routecast.streams.clock import FixedClock
from routecast.streams.emitter import Emitter
from routecast.streams.operators.published import newest
from routecast.streams.router import Router

Command = Callable[..., Any]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


def _policy(config: Config, snapshot: RoutingSnapshot) -> str:
    """What a router follows that reads this snapshot."""
    clock = FixedClock(snapshot.at_ms)
    router = Router(config, snapshot.service, Emitter(clock, random.Random(1)), clock, random.Random(1))
    router.apply(snapshot)
    return router.choose().policy


async def _policies(config: Config, service: str, term: int) -> set[str]:
    """In all snapshots of this term."""
    async with reader(config.kafka) as read:
        end = (await read.ends("scores", [0]))[0]
        found = [decoded(record.value, decode_snapshot) async for record in read.stretch("scores", 0, 0, end) if record.key == service.encode()]
    return {snapshot.policy for snapshot in found if snapshot is not None and snapshot.term == term}


def test_a_policy_is_switched_shown_and_reset(
    routecast: Command, config: Config, config_file: Path, start_worker: Command, run: Run, environ: dict[str, str]
) -> None:  # fmt: skip
    """For one service and for all, at once, through the death of the leader; recorded words are replayed."""
    worker = start_worker(config_file)
    worker.wait_for("ready")
    said = routecast("policy", "set", "round_robin", "--service", "chat")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("service chat follows round_robin from snapshot ")
    snapshots = run(newest(config)).snapshots
    assert {name: _policy(config, snapshot) for name, snapshot in snapshots.items()} == {"chat": "round_robin", "mail": "performance"}
    shown = routecast("policy", "show", "--plain").stdout.splitlines()
    assert shown == [
        "service\tpolicy\tset by\twhy",
        "chat\tround_robin\toperator\t",
        "mail\tperformance\tconfiguration\t",
    ]
    rows = [line.split("\t") for line in routecast("targets", "list", "--plain").stdout.splitlines()]
    assert [(row[0], row[-1]) for row in rows] == [("target", "policy"), ("a", "round_robin"), ("b", "round_robin"), ("c", "performance")]

    worker.process.kill()
    worker.process.wait()
    start_worker(config_file).wait_for("ready")
    word = json.loads(routecast("policy", "set", "least_connections", "--service", "mail", "--json").stdout)
    assert (word["policy"], word["took_ms"] < 5000) == ("least_connections", True)
    assert run(_policies(config, "chat", word["snapshot"][0])) == {"round_robin"}

    file = config_file.parent / "incident.rcr"
    assert routecast("record", "--out", str(file), "--from", "beginning", "--until-end").returncode == 0
    verified = subprocess.run([sys.executable, "-m", "routecast.cli", "replay", "--verify", str(file)], capture_output=True, env=environ, check=False)
    assert verified.returncode == 0

    assert routecast("policy", "reset").stdout.startswith("every service follows the configured policy from snapshot ")
    assert [line["set_by"] for line in json.loads(routecast("policy", "show", "--json").stdout)["services"]] == ["configuration"] * 2


def test_auto_says_why_it_says_nothing() -> None:
    """Until a leader has looked at evidence; the evidence itself afterwards."""
    line = PolicyLine(service="chat", policy="auto", set_by="operator", follows="performance", why="")
    assert reason(line).startswith("no evidence looked at yet: a leader does every `intervals.election_ms`")
    assert reason(line.model_copy(update={"why": "weighted is 5 % faster"})) == "weighted is 5 % faster"
    assert reason(line.model_copy(update={"policy": "random"})) == ""


def test_a_policy_or_service_that_does_not_exist_is_refused(routecast: Command, config: Config, run: Run) -> None:
    """Exit code 2, and no word is written."""
    run(create_topics(config.kafka))
    said = routecast("policy", "set", "best")
    choices = "performance, weighted, least_connections, round_robin, greedy, random, learned, auto"
    assert (said.returncode, said.stdout, said.stderr) == (2, "", f"routecast: no policy 'best'; there are {choices}\n")
    said = routecast("policy", "reset", "--service", "chatt")
    assert (said.returncode, said.stdout, said.stderr) == (2, "", "routecast: no service 'chatt'; did you mean 'chat'?\n")


def test_auto_says_what_it_means(routecast: Command) -> None:
    """And where its reasons are."""
    assert "`auto` is `performance` until the log says that `weighted` is better" in " ".join(routecast("policy", "set", "--help").stdout.split())


def test_a_target_is_weighed_anew_and_as_configured_again(
    routecast: Command, config: Config, config_file: Path, start_worker: Command, run: Run
) -> None:  # fmt: skip
    """The next snapshot shows it, and the policy `weighted` follows it."""
    start_worker(config_file).wait_for("ready")
    said = routecast("targets", "set-weight", "a", "3")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("a weighs 3 in snapshot ")
    weights = {entry.id: entry.weight for entry in run(newest(config)).snapshots["chat"].targets}
    assert weights == {"a": 3.0, "b": 1.0}
    word = json.loads(routecast("targets", "set-weight", "a", "--reset", "--json").stdout)
    assert (word["action"], word["weight"]) == ("set_weight", 1.0)
    for wrong in (("a",), ("a", "2", "--reset"), ("a", "1001")):
        assert routecast("targets", "set-weight", *wrong).returncode == 2
