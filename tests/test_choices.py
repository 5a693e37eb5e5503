from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest

from routecast.choices import compare_choices, load_choices
from routecast.cli.app import run as command_line
from routecast.models.config import Config
from routecast.models.errors import CheckFailed, ConfigError
from routecast.models.events import Started, encode_events
from routecast.models.side_by_side import SideBySide
from routecast.streams.memory import MemoryReader, Record
from routecast.streams.recordings.recorder import Recorder
from routecast.streams.recordings.recording import RecordingWriter
from routecast.streams.topics import EVENTS, STATE
from routecast.testing import Fleet

CONFIG = Config.model_validate({"target": [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in ("a", "b", "c")]})
MEAN_S = {"a": 0.1, "b": 0.3, "c": 0.9}
POLICIES = ("performance", "learned", "weighted", "random")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute of a fleet on `performance`."""
    fleet, luck = Fleet(CONFIG, routers=2, seed=1), random.Random(2)
    fleet.pipeline.kept, fleet.pipeline.checkpoint_ms = 1_000_000, 5_000
    for number in range(800):
        fleet.advance_to(fleet.now_ms + luck.expovariate(0.03))
        call = fleet.router(number % 2).start(fleet.router(number % 2).choose(), request_id=f"r{number}")
        fleet.queue.after(1000.0 * MEAN_S[call.decision.target] * luck.gammavariate(4, 0.25), call.finish)
    fleet.advance_to(fleet.now_ms + 5000)
    path = tmp_path_factory.mktemp("choices") / "recorded.rec"

    async def record() -> None:
        with RecordingWriter(path, "routecast.") as out:
            recorder = Recorder(MemoryReader(fleet.pipeline.log), out, "beginning")
            await recorder.begin()
            await recorder.copy()

    asyncio.run(record())
    return path


def test_each_policy_decides_every_decision_by_its_snapshot(recorded: Path) -> None:
    """With the same luck; figures of the choices follow from the probabilities, and the recorded policy finds its own choices likely."""
    frame = load_choices(recorded, POLICIES)
    one = frame[frame["policy"] == "performance"].reset_index(drop=True)
    assert frame["policy"].tolist()[:8] == [*POLICIES, *POLICIES]
    assert one["started_at"].is_monotonic_increasing
    assert (frame["propensity"].between(0, 1) & frame["propensity"].gt(0)).all()
    rates = {name: rows["logged_propensity"].mean() for name, rows in frame.groupby("policy")}
    assert rates["performance"] > rates["weighted"] > rates["random"] - 1e-9
    agrees = frame["target"] == frame["logged"]
    assert agrees[frame["policy"] == "performance"].mean() == pytest.approx(rates["performance"], abs=0.06)
    assert frame.groupby("policy")["cost_s"].mean()["performance"] < frame.groupby("policy")["cost_s"].mean()["random"]
    assert frame.groupby("policy")["expected_cost_s"].mean()["random"] == pytest.approx(frame[frame["policy"] == "random"]["cost_s"].mean(), rel=0.1)
    assert load_choices(recorded, POLICIES).equals(frame)
    assert not load_choices(recorded, POLICIES, seed=1).equals(frame)


def test_the_summary_is_that_of_the_rows(recorded: Path) -> None:
    """Agreement is the same both ways; what goes by nothing that is logged is listed with the reason."""
    frame = load_choices(recorded, POLICIES)
    chosen = {name: rows["target"].to_numpy() for name, rows in frame.groupby("policy")}
    found = compare_choices(recorded, [*POLICIES, "least_connections"])
    sides = {it.policy: it for it in found.policies}
    assert found.decisions == len(chosen["random"])
    assert found.decisions + sum(found.excluded.values()) == 800
    for mine in POLICIES:
        for other in POLICIES:
            if mine != other:
                assert sides[mine].agreement[other] == sides[other].agreement[mine] == (chosen[mine] == chosen[other]).mean()
        assert sum(sides[mine].shares.values()) == pytest.approx(1.0)
        assert sides[mine].cost_s == frame[frame["policy"] == mine]["cost_s"].median()
    assert sides["performance"].agreement["learned"] > sides["performance"].agreement["random"]
    assert "not logged" in sides["least_connections"].refused


def test_the_command_prints_the_same(recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, and as a table that names everybody."""
    arguments = ["routecast", "replay", str(recorded), "--policy", "performance", "--policy", "random", "--policy", "least_connections"]
    monkeypatch.setattr("sys.argv", [*arguments, "--json"])
    assert command_line() == 0
    expected = compare_choices(recorded, ["performance", "random", "least_connections"])
    assert SideBySide.model_validate(json.loads(capsys.readouterr().out)) == expected
    monkeypatch.setattr("sys.argv", arguments)
    assert command_line() == 0
    said = capsys.readouterr()
    assert f"{expected.decisions} decisions" in said.out
    assert f"{expected.policies[0].agreement['random']:.1%}" in said.out
    assert "least_connections: it goes by what is not logged" in said.err


def test_what_cannot_be_compared_is_refused(recorded: Path, tmp_path: Path) -> None:
    """Policies that do not exist or do not follow from a log, files without what is needed."""
    with pytest.raises(ConfigError, match="no policy 'best'"):
        compare_choices(recorded, ["best"])
    with pytest.raises(ConfigError, match=r"least_connections.*not logged"):
        load_choices(recorded, ["random", "least_connections"])
    with RecordingWriter(tmp_path / "bare.rec", "routecast.") as out:
        out.add(EVENTS, 0, Record(0, 1000.0, b"", b"[]"))
    with pytest.raises(CheckFailed, match="no configuration"):
        compare_choices(tmp_path / "bare.rec", ["random"])
    with RecordingWriter(tmp_path / "imported.rec", "") as out:
        out.add(STATE, 0, Record(0, 0.0, f"config/{CONFIG.version}".encode(), CONFIG.model_dump_json().encode()))
        out.add(EVENTS, 0, Record(0, 1000.0, b"", encode_events([Started(at_ms=1000.0, request_id="r", target="a", service="chat")])))
    with pytest.raises(CheckFailed, match=r"no decision of service 'chat' can be compared \(1 "):
        compare_choices(tmp_path / "imported.rec", ["random"])
