from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from routecast import Router
from routecast.cli.app import run as command_line
from routecast.models.config import Config
from routecast.streams.brokers.admin import create_topics

Command = Callable[..., Any]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


async def _traffic(config: Config, requests: int, seed: int, truth: Counter[tuple[str, str]]) -> None:
    """Requests through a router of its own, counted by arm and outcome; every tenth fails, every fiftieth is never heard of again."""
    rng = random.Random(seed)
    async with Router.connect(f"kafka://{config.kafka.bootstrap}", config=config, service="chat") as router:
        for i in range(requests):
            decision = router.choose()
            call = router.start(decision)
            arm = decision.ref().arm.partition("/")[2]
            truth[arm, "exposed"] += 1
            await asyncio.sleep(0.0005)
            if i % 50 == 49:
                continue
            outcome = "error" if rng.random() < 0.1 else "ok"
            call.tokens(input=10, output=rng.randrange(1, 300))
            call.finish("error" if outcome == "error" else "ok")
            truth[arm, outcome] += 1


def _counted(status: dict[str, Any]) -> Counter[tuple[str, str]]:
    return Counter({(arm["name"], name): arm[field] for arm in status["arms"] for name, field in (("exposed", "exposed"), ("ok", "ok"), ("error", "failed"))})


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_counts_of_an_experiment_are_the_truth_though_the_leader_is_killed(
    routecast: Command, config: Config, config_file: Path, start_worker: Command, run: Run, environ: dict[str, str], eventually: Command
) -> None:  # fmt: skip
    """Started, assigned by two routers, followed by two leaders, stopped, and the recording of all of it verifies."""
    workers = [start_worker(config_file), start_worker(config_file)]
    for worker in workers:
        worker.wait_for("ready")
    said = routecast("experiment", "start", "rr", "--service", "chat", "--arm", "control", "--arm", "rr:policy=round_robin", "--guard", "none")
    assert (said.returncode, said.stderr) == (0, "")
    assert "on service chat: control 50%, rr 50% from snapshot " in said.stdout
    again = routecast("experiment", "start", "more", "--service", "chat", "--arm", "control", "--arm", "g:policy=greedy")
    assert (again.returncode, again.stderr) == (2, "routecast: 'rr' runs on service 'chat': `routecast experiment stop rr` first\n")

    truth = Counter[tuple[str, str]]()

    async def both(seed: int) -> None:
        await asyncio.gather(*(_traffic(config, 150, seed + i, truth) for i in range(2)))

    run(both(1))
    leader = next(worker for worker in workers if "leading with term" in worker.said)
    leader.process.kill()
    run(both(3))
    eventually(lambda: _counted(json.loads(routecast("experiment", "status", "rr", "--json").stdout)) == truth, within_s=100)
    status = json.loads(routecast("experiment", "status", "rr", "--json").stdout)
    assert (status["state"], status["sample_ratio"]["ok"], sum(truth[arm, "exposed"] for arm in ("control", "rr"))) == ("running", True, 600)

    stopped = routecast("experiment", "stop", "rr", "--why", "seen enough")
    assert (stopped.returncode, stopped.stdout[:25]) == (0, "rr is over from snapshot ")
    eventually(lambda: json.loads(routecast("experiment", "list", "--json").stdout)["experiments"][0]["ended_by"] == "operator")
    shown = routecast("experiment", "status", "rr").stdout
    assert "ago by operator: seen enough" in shown
    assert "seen enough" in routecast("tail", "insights", "--from", "beginning", "-n", "1", "--filter", "ended_by=operator").stdout

    file = config_file.parent / "experiment.routecast"
    assert routecast("record", "--out", str(file), "--from", "beginning", "--until-end").returncode == 0
    verified = subprocess.run([sys.executable, "-m", "routecast.cli", "replay", "--verify", str(file)], capture_output=True, env=environ, check=False)
    assert (verified.returncode, verified.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--arm", "a", "--arm", "b:policy=best"], "no policy 'best': choose one of performance"),
        (["--arm", "a", "--arm", "b"], "all arms are the same"),
        (["--arm", "a", "--arm", "b:policy=greedy,weight.z=0"], "no target 'z'; there are a, b"),
        (["--arm", "a:share=0.7", "--arm", "b:policy=greedy,share=0.7"], "shares of the arms must add up to 1, not 1.4"),
        (["--arm", "a", "--arm", "b:polcy=greedy"], "'polcy=greedy' is none of policy=NAME"),
        (["--arm", "a", "--arm", "b:policy=greedy", "--for", "60d"], "it must end after its start, within 28 days"),
        (["--arm", "a", "--arm", "b:policy=greedy", "--guard", "speed=1"], "give one of errors, latency, slow, cost"),
        (["--arm", "a", "--arm", "b:policy=greedy", "--service", "chatt"], "no service 'chatt'; did you mean 'chat'?"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    config: Config, config_file: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:  # fmt: skip
    """Exit code 2 and what to do, before anything is written."""
    run(create_topics(config.kafka))
    monkeypatch.setattr(sys, "argv", ["routecast", "experiment", "start", "x", "--service", "chat", *options, "--config", str(config_file)])
    assert command_line() == 2
    assert reason in " ".join(capsys.readouterr().err.replace("│", " ").split())
