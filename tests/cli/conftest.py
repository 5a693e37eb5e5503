"""The command line as its users meet it: another process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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
