from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from routecast.models.config import Config
from routecast.models.events import Completed, Started, encode_events
from routecast.streams.memory import Record
from routecast.streams.recordings.recording import RecordingWriter

T0 = 1_700_000_000_000.0
Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def replay(environ: dict[str, str]) -> Callable[..., Ran]:
    """Runs `replay` to its end."""

    def run(*arguments: str) -> Ran:
        return subprocess.run(_command(*arguments), capture_output=True, text=True, env=environ, timeout=60, check=False)

    return run


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "routecast.cli", "replay", *arguments]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Forty seconds of one target."""
    config = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})
    path = tmp_path / "friday.rec"
    with RecordingWriter(path, "routecast.") as out:
        out.add("state", 0, Record(0, T0, f"config/{config.version}".encode(), config.model_dump_json().encode()))
        for second in range(40):
            at_ms, request = T0 + second * 1000, f"{second}"
            end = Completed(at_ms=at_ms + 300, request_id=request, target="a", started_at_ms=at_ms, duration_ms=300, outcome="ok")
            out.add("events", 0, Record(second, at_ms + 300, b"", encode_events([Started(at_ms=at_ms, request_id=request, target="a"), end])))
    return path


def test_ctrl_c_leaves_what_the_next_one_goes_on_from(
    file: Path, replay: Callable[..., Ran], environ: dict[str, str], tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """The file of lines is what one replay at once would have written."""
    whole, pieces, checkpoint = tmp_path / "whole", tmp_path / "pieces", tmp_path / "checkpoint"
    assert replay(str(file), "--lines", str(whole)).returncode == 0
    onward = (str(file), "--lines", str(pieces), "--checkpoint", str(checkpoint))
    process = subprocess.Popen(_command(*onward, "--speed", "5"), stderr=subprocess.PIPE, text=True, env=environ)
    eventually(lambda: checkpoint.exists() and json.loads(checkpoint.read_text())["size"] > 0)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, "goes on there" in said) == (0, True)
    assert 0 < pieces.stat().st_size < whole.stat().st_size
    again = json.loads(replay(*onward, "--json").stdout)
    assert (again["finished"], again["events"], again["run"]) == (True, 80, "friday")
    assert pieces.read_bytes() == whole.read_bytes()


def test_a_range_is_folded_and_printed_by_itself(file: Path, replay: Callable[..., Ran]) -> None:
    """By time or by offset: what was appended within it."""
    for bounds in (("--from", "2023-11-14T22:13:30", "--to", "2023-11-14T22:13:32"), ("--from", "0:10", "--to", "0:12")):
        assert json.loads(replay(str(file), *bounds, "--json").stdout)["events"] == 4
        printed = [json.loads(line) for line in replay(str(file), *bounds, "--print").stdout.splitlines()]
        assert [(event["type"], event["request_id"]) for event in printed] == [
            ("request.started", "10"), ("request.completed", "10"), ("request.started", "11"), ("request.completed", "11"),
        ]  # fmt: skip


def test_what_does_not_go_together_is_refused(file: Path, replay: Callable[..., Ran], tmp_path: Path) -> None:
    """With a sentence, and nothing is written."""
    assert replay(str(file), "--verify", "--print").returncode == 2
    assert replay(str(file), "--verify", "--from", "0:1").returncode == 2
    shown = replay(str(file), "--from", "yesterday")
    assert (shown.returncode, "is no bound: give a time" in shown.stderr) == (3, True)
    (tmp_path / "there").write_text("mine")
    shown = replay(str(file), "--lines", str(tmp_path / "there"))
    assert (shown.returncode, "give another file" in shown.stderr) == (3, True)
