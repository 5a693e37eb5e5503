"""The command line as its users meet it: another process, or this one where there is much to try."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from routecast.cli.app import run as command_line_of_app
from routecast.models.config import Config
from routecast.models.insights import Alert, AlertEvidence, Subject, encode_insight
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.leadership.leading import producer

Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def command_line(config_file: Path) -> Callable[..., list[str]]:
    """The words that run a command with `config_file`."""

    def words(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "routecast.cli", *arguments, "--config", str(config_file)]

    return words


@pytest.fixture
def environ() -> dict[str, str]:
    """This process's environment without configuration of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ROUTECAST_")}


@pytest.fixture
def routecast(command_line: Callable[..., list[str]], environ: dict[str, str]) -> Callable[..., Ran]:
    """Runs a command to its end; `said` is its standard input."""

    def run(*arguments: str, said: str = "") -> Ran:
        return subprocess.run(command_line(*arguments), input=said, capture_output=True, text=True, env=environ, timeout=60, check=False)

    return run


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Callable[..., Ran]]:
    """Runs a command to its end in this process and a folder of its own: what a table of many commands can afford."""
    loggers = [logging.getLogger(name) for name in ("aiokafka", "asyncio")]
    before = [(logger.propagate, list(logger.handlers)) for logger in loggers]
    for name in [name for name in os.environ if name.startswith("ROUTECAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["routecast", *arguments])
        capsys.readouterr()
        code = command_line_of_app()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    yield run
    for logger, (propagate, handlers) in zip(loggers, before, strict=True):
        logger.propagate, logger.handlers = propagate, handlers


@pytest.fixture
def say(config: Config, run: Callable[..., object]) -> Callable[..., object]:
    """Appends insights, and raw records as key and value, as a leader does; the topics are made."""

    async def append(*insights: Any) -> None:
        await create_topics(config.kafka)
        async with producer(config) as out:
            for insight in insights:
                key, value = insight if isinstance(insight, tuple) else (insight.key.encode(), encode_insight(insight))
                await out.send_and_wait(topic_name(config.kafka, "insights"), value, key=key, partition=0)

    return lambda *insights: run(append(*insights))


@pytest.fixture
def make_alert() -> Callable[..., Alert]:
    """Makes alerts of target a of `chat` that began four minutes ago; keywords change their fields."""

    def make(name: str = "5f1c0a", **fields: object) -> Alert:
        now_ms = time.time() * 1000.0
        plain: dict[str, object] = {
            "id": name, "version": 1, "incident": name, "notify": True, "kind": "error_rate", "severity": "critical", "state": "raised",
            "subject": Subject(kind="target", id="a", provider="p-a", service="chat"), "rule": "burn_rate", "title": "Target a (p-a m) is out of service",
            "threshold": 14.4, "value": 88.0, "target": 1.0, "unit": "burn_rate", "started_ms": now_ms - 250_000.0, "at_ms": now_ms - 10_000.0,
            "evidence": (
                AlertEvidence(window_ms=3_600_000.0, n=1200, bad=528.0, value=88.0, low=82.4, high=93.6),
                AlertEvidence(window_ms=300_000.0, n=100, bad=100.0, value=200.0, low=195.1, high=200.0),
            ),
        }  # fmt: skip
        return Alert.model_validate(plain | fields)

    return make
