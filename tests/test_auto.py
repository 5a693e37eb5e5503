"""The policy `auto` on a broker: from the evidence that routers leave behind to the policy that they follow."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from routecast import Router
from routecast.models.config import Config
from routecast.models.events import Control, decode_events
from routecast.streams.brokers.reading import reader
from routecast.streams.clock import SystemClock
from routecast.streams.configuration import load_config
from routecast.streams.operators.control import tell

SECONDS = {"a": 0.01, "b": 0.08}
"""How long each target takes to answer; `weighted` hardly minds, as scores are far nearer to each other than these."""


def _cli(config_file: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "routecast.cli", *arguments, "--config", str(config_file)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def _said(policy: Any, action: Any, why: str = "") -> Control:
    return Control(at_ms=round(SystemClock().now_ms()), action=action, service="chat", policy=policy, why=why)


async def _request(router: Router) -> str:
    decision = router.choose()
    async with router.track(decision):
        await asyncio.sleep(SECONDS[decision.target])  # the answer of the provider
    return decision.policy


async def _follow(router: Router, policy: str, within_s: float) -> None:
    """Requests until decisions follow this policy."""
    until_s = time.monotonic() + within_s
    while policy not in await asyncio.gather(*(_request(router) for _ in range(20))):
        assert time.monotonic() < until_s, f"routers did not follow {policy} within {within_s:g} s"


async def _elected(config: Config) -> list[Control]:
    """Words of leaders."""
    async with reader(config.kafka) as read:
        records = [record async for record in read.stretch("control", 0, 0, (await read.ends("control", [0]))[0])]
    words = [word for record in records for word in decode_events(record.value or b"")[0] if isinstance(word, Control)]
    return [word for word in words if word.action == "elect_policy" and word.emitter]


def test_evidence_moves_the_fleet_and_an_operator_stops_it(config_file: Path, start_worker: Callable[..., Any], run: Callable[..., Any]) -> None:
    """What was logged under `weighted` says that `performance` is faster; snapshots, the command line and a verified recording tell so."""
    text = config_file.read_text().replace("metrics_ms = 1000", "metrics_ms = 1000\nelection_ms = 8000")
    config_file.write_text(f'{text}\n[service.chat]\npolicy = "auto"\n')
    config = load_config(config_file, {})
    start_worker(config_file).wait_for("ready")

    async def main() -> None:
        async with Router.connect(f"kafka://{config.kafka.bootstrap}", config=config, service="chat") as router:
            assert await _request(router) == "performance"
            word = await tell(config, _said("weighted", "elect_policy", "by hand"), "chat", wait_s=20, clock=SystemClock())
            assert word.policy == "weighted"
            await _follow(router, "weighted", 10)
            await _follow(router, "performance", 60)
            assert router.snapshot is not None
            (elected,) = await _elected(config)
            assert (elected.service, elected.policy, router.snapshot.elected) == ("chat", "performance", elected.why)
            assert elected.why.startswith("performance would take ")
            print(elected.why)
            line = json.loads(_cli(config_file, "policy", "show", "--json"))["services"][0]
            assert line == {"service": "chat", "policy": "auto", "set_by": "configuration", "follows": "performance", "why": elected.why}
            await tell(config, _said("round_robin", "set_policy"), "chat", wait_s=20, clock=SystemClock())
            await _follow(router, "round_robin", 10)

    run(main())
    file = config_file.parent / "auto.routecast"
    _cli(config_file, "record", "--out", str(file), "--from", "beginning", "--until-end")
    verified = subprocess.run([sys.executable, "-m", "routecast.cli", "replay", "--verify", str(file)], capture_output=True, check=False, timeout=60)
    assert verified.returncode == 0, verified.stderr
