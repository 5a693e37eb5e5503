from __future__ import annotations

import random
from pathlib import Path

from routecast.analytics.evaluation.decisions import logged_decisions
from routecast.analytics.evaluation.evaluate import evaluate
from routecast.analytics.evaluation.policies import static
from routecast.frames import load_decisions
from routecast.models.config import Config
from routecast.streams.calls.call import Call
from routecast.streams.memory import Record
from routecast.streams.recordings.recording import RecordingWriter
from routecast.streams.router import Router
from routecast.streams.topics import EVENTS, STATE
from routecast.testing import Fleet

CONFIG = Config.model_validate({"target": [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in ("a", "b", "c")]})
MEAN_S = {"a": 0.3, "b": 0.4, "c": 0.6}
WANTED = {"a": 1.0, "b": 1.0, "c": 4.0}
FAILS = {"a": 0.02, "b": 0.0, "c": 0.1}
REQUESTS = 2500


def _request(fleet: Fleet, router: Router, luck: random.Random, number: int, tried: tuple[str, ...] = ()) -> None:
    """One attempt; another target where it fails."""
    decision = router.choose(tried=tried)
    call = router.start(decision, request_id=f"r{number}", attempt=len(tried) + 1)
    failed = luck.random() < FAILS[decision.target]
    fleet.queue.after(MEAN_S[decision.target] * luck.gammavariate(4, 250), _end, fleet, router, luck, number, (*tried, decision.target), call, failed)


def _end(fleet: Fleet, router: Router, luck: random.Random, number: int, tried: tuple[str, ...], call: Call, failed: bool) -> None:
    call.finish("error" if failed else "ok", error_type="server_error" if failed else "")
    if failed and len(tried) < len(MEAN_S):
        _request(fleet, router, luck, number, tried)


def test_from_a_recording_of_routers_to_what_another_policy_would_have_done(tmp_path: Path) -> None:
    """No target is slowed by load, so what a policy that prefers the worst one brings is known: the intervals hold it, and not what was logged."""
    fleet, luck = Fleet(CONFIG, routers=3, seed=1, policy="weighted"), random.Random(2)
    fleet.pipeline.kept = 1_000_000
    for number in range(REQUESTS):
        fleet.advance_to(fleet.now_ms + luck.expovariate(0.02))
        _request(fleet, fleet.router(number % 3), luck, number)
    fleet.advance_to(fleet.now_ms + 20_000)
    path = tmp_path / "recorded.routecast"
    with RecordingWriter(path, "routecast.") as out:
        out.add(STATE, 0, Record(0, 0.0, f"config/{CONFIG.version}".encode(), CONFIG.model_dump_json().encode()))
        for record in fleet.pipeline.log.read(EVENTS, 0, 0, 1_000_000):
            out.add(EVENTS, 0, record)

    logged = logged_decisions(load_decisions(path), "chat")
    found = evaluate(logged, "the worst", static(WANTED))

    assert found.refused == ""
    assert found.support is not None
    assert found.support.mean_weight.low < 1.0 < found.support.mean_weight.high
    assert len(logged) + sum(n for reason, n in found.excluded.items() if reason != "retries and hedges") == REQUESTS
    mean, success = found.of("time_to_success_s"), found.of("first_success_ratio")
    assert mean is not None
    assert success is not None
    # breakers took the worst out now and then; where a first attempt fails, one of the two others is next
    wanted = dict(zip(logged.targets, static(WANTED)(logged).mean(axis=0).tolist(), strict=True))
    retries_s = {target: FAILS[target] * sum(MEAN_S[other] for other in MEAN_S if other != target) / 2 for target in MEAN_S}
    truth_s = sum(wanted[target] * (MEAN_S[target] + retries_s[target]) for target in MEAN_S)
    assert mean.value.low < truth_s < mean.value.high < 1.1 * mean.value.low
    assert mean.logged.high < mean.value.low
    assert success.value.low < sum(wanted[target] * (1 - FAILS[target]) for target in MEAN_S) < success.value.high
    assert success.value.value < success.logged.value
