"""The policy `auto` on every log: from the evidence that routers leave behind to the policy that they follow."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from routecast import Router
from routecast.models.config import Config
from routecast.models.events import Control, decode_events
from routecast.streams.brokers.reading import reader
from routecast.streams.clock import SystemClock
from routecast.streams.configuration import load_config
from routecast.streams.embedded import Embedded
from routecast.streams.operators.control import tell
from routecast.streams.topics import CONTROL
from routecast.testing import Fleet

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


class OnKafka:
    """A broker with a worker."""

    def __init__(self, config_file: Path, start_worker: Callable[..., Any]) -> None:
        text = config_file.read_text().replace("metrics_ms = 1000", "metrics_ms = 1000\nelection_ms = 8000")
        config_file.write_text(f'{text}\n[service.chat]\npolicy = "auto"\n')
        self.file, self.config = config_file, load_config(config_file, {})
        start_worker(config_file).wait_for("ready")

    def router(self) -> AbstractAsyncContextManager[Router]:
        """A router of the service."""
        return Router.connect(f"kafka://{self.config.kafka.bootstrap}", config=self.config, service="chat")

    async def say(self, word: Control) -> None:
        """As an operator."""
        await tell(self.config, word, "chat", wait_s=20, clock=SystemClock())

    async def words(self) -> list[Control]:
        """All of the control topic."""
        async with reader(self.config.kafka) as read:
            records = [record async for record in read.stretch("control", 0, 0, (await read.ends("control", [0]))[0])]
        return [word for record in records for word in decode_events(record.value or b"")[0] if isinstance(word, Control)]

    def after(self) -> None:
        """The command line tells what happened, and a recording of it verifies."""
        file = self.file.parent / "auto.routecast"
        _cli(self.file, "record", "--out", str(file), "--from", "beginning", "--until-end")
        verified = subprocess.run([sys.executable, "-m", "routecast.cli", "replay", "--verify", str(file)], capture_output=True, check=False, timeout=60)
        assert verified.returncode == 0, verified.stderr

    def shown(self) -> tuple[str, str]:
        """What `auto` stands for and why, by the command line."""
        line = json.loads(_cli(self.file, "policy", "show", "--json"))["services"][0]
        assert (line["policy"], line["set_by"]) == ("auto", "configuration")
        return line["follows"], line["why"]


class Embedding:
    """The embedded pipeline of a process."""

    def __init__(self) -> None:
        targets = [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in SECONDS]
        intervals = {"snapshot_ms": 500, "metrics_ms": 1000, "election_ms": 3000}
        self.config = Config.model_validate({"target": targets, "intervals": intervals, "routing": {"policy": "auto"}})
        self._embedded = Embedded(self.config, SystemClock())

    @asynccontextmanager
    async def router(self) -> AsyncGenerator[Router]:
        """A router of the service."""
        yield self._embedded.router("chat", random.Random(1))

    async def say(self, word: Control) -> None:
        """As an operator."""
        self._embedded.tell(word)

    async def words(self) -> list[Control]:
        """All of the control topic."""
        return self._embedded.words()

    def after(self) -> None:
        """Its process and its thread end with it."""
        assert self._embedded.close(10.0)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("routecast-e")]

    def shown(self) -> tuple[str, str]:
        """As the newest word says."""
        word = [word for word in self._embedded.words() if word.action == "elect_policy"][-1]
        return str(word.policy), word.why


@pytest.fixture(params=["kafka", "memory"])
def log(request: pytest.FixtureRequest) -> OnKafka | Embedding:
    """Each log on which services are on `auto`."""
    if request.param == "memory":
        return Embedding()
    return OnKafka(request.getfixturevalue("config_file"), request.getfixturevalue("start_worker"))


def test_evidence_moves_the_fleet_and_an_operator_stops_it(log: OnKafka | Embedding, run: Callable[..., Any]) -> None:
    """What was logged under `weighted` says that `performance` is faster; snapshots and words tell so, the same on every log."""

    async def main() -> None:
        async with log.router() as router:
            assert await _request(router) == "performance"
            await log.say(_said("weighted", "elect_policy", "by hand"))
            await _follow(router, "weighted", 10)
            await _follow(router, "performance", 60)
            assert router.snapshot is not None
            (elected,) = [word for word in await log.words() if word.action == "elect_policy" and word.emitter]
            assert (elected.service, elected.policy, router.snapshot.elected) == ("chat", "performance", elected.why)
            assert elected.why.startswith("performance would take ")
            assert log.shown() == ("performance", elected.why)
            await log.say(_said("round_robin", "set_policy"))
            await _follow(router, "round_robin", 10)

    run(main())
    log.after()


def _virtual_minutes() -> tuple[list[Control], tuple[str, str]]:
    """Of a fleet on `auto` that somebody put on `weighted`: words of elections, policy and reason in the last snapshot."""
    targets = [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in SECONDS]
    config = Config.model_validate({"target": targets, "intervals": {"election_ms": 30_000}, "routing": {"policy": "auto"}})
    fleet, luck = Fleet(config, routers=2, seed=3), random.Random(4)
    fleet.tell(Control(at_ms=fleet.now_ms, action="elect_policy", service="chat", policy="weighted", why="by hand"))
    for number in range(1300):
        fleet.advance_to(fleet.now_ms + luck.expovariate(0.04))
        call = fleet.router(number % 2).start(fleet.router(number % 2).choose())
        fleet.queue.after(1000.0 * SECONDS[call.decision.target] * luck.lognormvariate(0.0, 0.3), call.finish)
    records = fleet.pipeline.log.read(CONTROL, 0, 0)
    words = [word for record in records for word in decode_events(record.value or b"")[0] if isinstance(word, Control)]
    snapshot = fleet.snapshot()
    assert snapshot is not None
    return [word for word in words if word.emitter == "fleet"], (snapshot.policy, snapshot.elected)


def test_in_virtual_time_elections_are_the_same_every_time() -> None:
    """At their interval, from the log; the next snapshot follows."""
    words, follows = _virtual_minutes()
    (word,) = words
    assert follows == ("performance", word.why)
    assert word.why.startswith("performance would take ")
    assert _virtual_minutes() == (words, follows)
