"""A recording made so that the log and the simulation must disagree: the report says so, and why."""

from __future__ import annotations

import asyncio
import heapq
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from routecast.cli.app import run as command_line
from routecast.models.config import Config
from routecast.streams.memory import MemoryReader
from routecast.streams.recordings.recorder import Recorder
from routecast.streams.recordings.recording import RecordingWriter
from routecast.testing import Fleet

MEAN_S = {"quick": 0.2, "slow": 1.0}
SLOTS = {"quick": 2, "slow": 60}


def _recorded(path: Path, requests: int, share: float) -> None:
    """Requests under `weighted`, 22 a second, which sends about this share of them to `quick`: its two slots can do ten a second."""
    weights = {"quick": share, "slow": 1.0 - share}
    targets = [{"id": name, "provider": name, "model": "m", "service": "chat", "weight": weights[name]} for name in MEAN_S]
    config = Config.model_validate({"target": targets, "routing": {"policy": "weighted"}})
    fleet, luck = Fleet(config, routers=2, seed=1), random.Random(2)
    fleet.pipeline.kept, fleet.pipeline.checkpoint_ms = 1_000_000, 5_000
    free_ms: Mapping[str, list[float]] = {name: [0.0] * slots for name, slots in SLOTS.items()}
    for number in range(requests):
        fleet.advance_to(fleet.now_ms + luck.expovariate(0.022))
        call = fleet.router(number % 2).start(fleet.router(number % 2).choose(), request_id=f"r{number}")
        name = call.decision.target
        begins_ms = max(fleet.now_ms, heapq.heappop(free_ms[name]))
        ends_ms = begins_ms + 1000.0 * MEAN_S[name] * luck.gammavariate(4, 0.25)
        heapq.heappush(free_ms[name], ends_ms)
        fleet.queue.after(ends_ms - fleet.now_ms, call.finish)
    fleet.advance_to(fleet.now_ms + 5000)

    async def record() -> None:
        with RecordingWriter(path, "routecast.") as out:
            recorder = Recorder(MemoryReader(fleet.pipeline.log), out, "beginning")
            await recorder.begin()
            await recorder.copy()

    asyncio.run(record())


def _backtest(path: Path, policy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    monkeypatch.setattr("sys.argv", ["routecast", "backtest", str(path), "--policy", policy, "--policy", "weighted", "--seeds", "3", "--json"])
    assert command_line() == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_confounded_by_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The log thinks that half could go to the quick target at the speed it had at a sixth; the simulation fills it, and the report names it."""
    _recorded(tmp_path / "load.rec", 1200, 0.15)
    found = _backtest(tmp_path / "load.rec", "random", monkeypatch, capsys)
    said = {it["name"]: it for it in reversed(found["off_policy"])}
    simulated = {it["name"]: it["figures"]["time_to_success_ms"] for it in found["policies"]}
    assert said["random"]["value_ms"]["value"] < 0.8 * said["weighted"]["value_ms"]["value"]
    assert simulated["random"]["low"] > said["random"]["value_ms"]["high"]
    (reason,) = [text for text in found["disagreements"] if text.startswith("random")]
    assert "load that moves would queue, which the log cannot know: quick at " in reason


def test_support_too_thin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a target that hardly anybody was sent to the log gives no number but the reason; the simulation answers alone."""
    _recorded(tmp_path / "thin.rec", 800, 0.05)
    found = _backtest(tmp_path / "thin.rec", "greedy", monkeypatch, capsys)
    said = {it["name"]: it for it in reversed(found["off_policy"])}
    assert said["greedy"]["value_ms"] is None
    assert "record longer" in said["greedy"]["refused"]
    assert [text for text in found["disagreements"] if text.startswith("greedy")] == []
    assert {it["name"] for it in found["policies"]} == {"greedy", "weighted"}
