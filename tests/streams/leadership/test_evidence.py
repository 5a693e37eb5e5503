from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from routecast.frames import load_decisions
from routecast.models.config import Config
from routecast.models.errors import CheckFailed
from routecast.streams.leadership.evidence import COLUMNS, decisions, elected, of_policy
from routecast.streams.memory import MemoryReader
from routecast.streams.recordings.recorder import Recorder
from routecast.streams.recordings.recording import Recording, RecordingWriter
from routecast.testing import Fleet

CONFIG = Config.model_validate({"target": [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in ("a", "b", "c")]})
MEAN_S = {"a": 0.1, "b": 0.2, "c": 0.8}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of a fleet on `weighted`, whose targets are not slowed by load."""
    fleet, luck = Fleet(CONFIG, routers=3, seed=1, policy="weighted"), random.Random(2)
    fleet.pipeline.kept, fleet.pipeline.checkpoint_ms = 1_000_000, 5_000
    for number in range(2500):
        fleet.advance_to(fleet.now_ms + luck.expovariate(0.02))
        decision = fleet.router(number % 3).choose()
        call = fleet.router(number % 3).start(decision, request_id=f"r{number}")
        fleet.queue.after(MEAN_S[decision.target] * luck.gammavariate(4, 250), call.finish)
    path = tmp_path_factory.mktemp("evidence") / "weighted.routecast"

    async def record() -> None:
        with RecordingWriter(path, "routecast.") as out:
            recorder = Recorder(MemoryReader(fleet.pipeline.log), out, "oldest")
            await recorder.begin()
            await recorder.copy()

    asyncio.run(record())
    return path


def test_the_log_of_a_worse_policy_elects_the_better_one(recorded: Path) -> None:
    """With the difference in figures; of a policy that did not decide, the log tells nothing."""
    (found,) = elected(recorded, CONFIG, {"chat": "weighted"})
    assert (found.service, found.before, found.policy) == ("chat", "weighted", "performance")
    assert found.why.startswith("performance would take 0.")
    (other,) = elected(recorded, CONFIG, {"chat": "performance"})
    assert (other.policy, other.why) == ("performance", "the log does not tell: no request of service 'chat' was decided by 'performance' of late")


def test_columns_are_those_of_the_table(recorded: Path) -> None:
    """The same decisions as pandas shows them, without pandas, which leaders need not have."""
    with Recording(recorded) as recording:
        found = decisions(recording, CONFIG)
    frame = load_decisions(recorded)
    order = np.argsort(found["started_at"], kind="stable")
    for name in COLUMNS:
        expected, column = frame[name], found[name][order]
        if name in {"started_at", "ended_at"}:
            assert (expected.dt.tz_localize(None).to_numpy() == column)[~np.isnat(column)].all()
        elif column.dtype == object:
            assert expected.astype(object).where(expected.notna(), None).tolist() == column.tolist(), name
        else:
            assert np.array_equal(expected.to_numpy(), column, equal_nan=column.dtype.kind == "f"), name


def _table(**columns: Any) -> dict[str, Any]:
    n = len(columns["request_id"])
    usual = {"service": ["chat"] * n, "policy": ["weighted"] * n, "attempt": [1] * n}
    table = {name: np.array(values, None if name == "attempt" else object) for name, values in (usual | columns).items() if name != "started_at"}
    return table | {"started_at": np.array([round(s * 1e6) for s in columns["started_at"]], "datetime64[us]")}


def test_requests_are_taken_whole_and_only_when_they_can_have_ended() -> None:
    """With their retries, whoever decided those; without the newest minute, or the newest fifth of a short log; the newest of the rest."""
    table = _table(
        request_id=["old", "mine", "mine", "other", "far", "new"], started_at=[0.0, 500.0, 501.0, 600.0, 700.0, 1000.0],
        policy=["weighted", "weighted", "performance", "performance", "weighted", "weighted"], attempt=[1, 1, 2, 1, 1, 1],
        service=["chat", "chat", "chat", "chat", "mail", "chat"],
    )  # fmt: skip
    assert of_policy(table, "chat", "weighted", 10)["request_id"].tolist() == ["old", "mine", "mine"]
    assert of_policy(table, "chat", "weighted", 1)["request_id"].tolist() == ["mine", "mine"]
    short = _table(request_id=["a", "b", "c"], started_at=[0.0, 79.0, 100.0])
    assert of_policy(short, "chat", "weighted", 10)["request_id"].tolist() == ["a", "b"]
    with pytest.raises(CheckFailed, match="no request of service 'chat' was decided by 'random' of late"):
        of_policy(table, "chat", "random", 10)
