from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from routecast.models.config import Config
from routecast.streams.brokers.admin import create_topics

Command = Callable[..., Any]


def _top(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "routecast.cli", "top", *arguments], capture_output=True, text=True, timeout=100, check=False)


def test_the_demonstration_is_one_command_away() -> None:
    """A table without colours on a pipe, of a moment when something is wrong, and what that is; as JSON, everything that it is made from."""
    said = _top("--demo", "--once")
    expected = "routecast: second 136 of the demonstration, groq_70b, outage: every call fails at once; --at SECONDS shows another moment\n"
    assert (said.returncode, said.stderr) == (0, expected)
    assert "\x1b" not in said.stdout
    assert "groq_70b is open since" in said.stdout
    assert "02:16 of 07:00" in said.stdout
    found = json.loads(_top("--demo", "--once", "--json", "--at", "136.5").stdout)
    assert len(found["targets"]) == 10
    assert found["sentence"] in " ".join(said.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--demo",), "this needs a terminal; --once prints what it would show, --once --json as JSON"),
        (("--demo", "--kafka", "kafka://nowhere", "--once"), "FILE, --demo and --kafka: give one of them"),
        (("--json",), "--json: together with --once"),
        (("--once", "--at", "3"), "--speed and --at: of a recording or the demonstration"),
    ],
)
def test_what_does_not_go_together_is_said(arguments: tuple[str, ...], said: str) -> None:
    """One sentence, exit code 2."""
    ran = _top(*arguments)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"routecast: {said}\n")


def test_brokers_without_anything_on_them_and_brokers_that_are_not_there(routecast: Command, config: Config, run: Command) -> None:
    """Said on the board where topics exist, in one sentence with exit code 1 where none do and 4 where nobody answers."""
    assert routecast("top", "--once").returncode == 1
    run(create_topics(config.kafka))
    said = routecast("top", "--once")
    assert (said.returncode, "no snapshot was ever published" in said.stdout) == (0, True)
    gone = routecast("top", "--once", "--kafka", "kafka://127.0.0.1:1")
    assert (gone.returncode, gone.stdout, gone.stderr.count("\n")) == (4, "", 1)
