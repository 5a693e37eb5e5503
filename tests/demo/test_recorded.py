from __future__ import annotations

from pathlib import Path

import pytest

from routecast.analytics.evaluation.decisions import logged_decisions
from routecast.cli.app import run
from routecast.demo.recorded import record_demo
from routecast.frames import load_decisions
from routecast.models.errors import ConfigError
from routecast.streams.recordings.recording import Recording
from routecast.streams.recordings.verification import Verification


@pytest.mark.untraced
def test_a_recorded_demonstration_verifies_and_is_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command writes what the function writes; everything published follows from it; retries belong to their requests."""
    first, second = tmp_path / "a.routecast", tmp_path / "b.routecast"
    monkeypatch.setattr("sys.argv", ["routecast", "demo", "--record", str(first), "--policy", "weighted", "--duration", "60", "--seed", "3"])
    assert run() == 0
    record_demo(second, seed=3, duration_s=60, policy="weighted")
    calls = load_decisions(first)
    assert calls.equals(load_decisions(second))
    with Recording(first) as recording:
        assert Verification(recording, lambda *_: None).run().snapshots > 60
    retried = calls[calls["attempt"] > 1]
    assert 0 < len(retried) < 30
    assert set(retried["request_id"]) <= set(calls[(calls["attempt"] == 1) & (calls["outcome"] != "ok")]["request_id"])
    assert len(logged_decisions(calls, "chat")) > 900


def test_a_recording_is_not_overwritten_and_weights_are_of_targets_that_exist(tmp_path: Path) -> None:
    """Before anything is computed."""
    there = tmp_path / "there"
    there.touch()
    with pytest.raises(ConfigError, match="recordings are not overwritten"):
        record_demo(there)
    with pytest.raises(ConfigError, match="no target 'groq' in the demonstration: it has anyscale_7b"):
        record_demo(tmp_path / "new", weights={"groq": 2.0})


def test_what_was_recorded_was_routed_by_one_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Two are refused, and nothing is written."""
    words = ["routecast", "demo", "--record", str(tmp_path / "new"), "--policy", "weighted", "--policy", "greedy"]
    monkeypatch.setattr("sys.argv", words)
    assert run() == 2
    assert "--record takes one --policy" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
