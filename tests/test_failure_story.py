from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STORY = Path(__file__).parent.parent / "examples" / "05_failure_story.py"
REQUESTS = 600


@pytest.fixture(scope="module")
def story() -> dict[str, Any]:
    """The figures of one telling; sockets and tasks that are left behind are complaints, and complaints are errors."""
    command = [sys.executable, "-W", "error", str(STORY), "--requests", str(REQUESTS), "--seed", "3", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    figures: dict[str, Any] = json.loads(ran.stdout)
    return figures


def test_no_request_fails_while_four_of_ten_providers_are_in_trouble(story: dict[str, Any]) -> None:
    """One is down, one hangs, one refuses, one streams slowly, and every user has an answer."""
    assert story["failures"] == []
    assert (story["requests"], story["failed"]) == (REQUESTS, 0)
    assert {row["trouble"] for row in story["providers"].values()} == {"none", "down", "hang", "storm", "slow"}


def test_the_troubles_are_met(story: dict[str, Any]) -> None:
    """Calls are cut or refused, and time out; there was something to survive."""
    down, hang, storm = (_in(story, trouble) for trouble in ("down", "hang", "storm"))
    assert down["error"] > 0
    assert hang["timeout"] > 0
    assert storm["rate_limited"] > 0


def test_extra_attempts_keep_to_the_retry_budget(story: dict[str, Any]) -> None:
    """A tenth of the requests and the reserve of each router; every attempt has an end."""
    assert 0 < story["extra_attempts"] <= story["extra_allowed"] == REQUESTS / 10 + 20
    rows = story["providers"].values()
    ends = ("ok", "error", "rate_limited", "timeout", "cancelled")
    assert story["attempts"] == REQUESTS + story["extra_attempts"] == sum(row[end] for row in rows for end in ends)
    assert sum(row["ok"] for row in rows) == REQUESTS


def test_little_goes_into_what_is_dead(story: dict[str, Any]) -> None:
    """An outage is seen after a few calls; a provider that hangs, once the calls that are open there are overdue."""
    assert _in(story, "down")["while_in_trouble"] <= 25
    assert _in(story, "hang")["while_in_trouble"] <= 40


def _in(story: dict[str, Any], trouble: str) -> dict[str, Any]:
    (row,) = (row for row in story["providers"].values() if row["trouble"] == trouble)
    return dict(row)
