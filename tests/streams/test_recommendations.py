"""Recommendations from events to `router.recommendations()`: in virtual time, in one process, and through real workers; they survive their leader."""

from __future__ import annotations

import logging
import random
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from routecast import Config, Emitter, Router
from routecast.models.capacity import Capacity
from routecast.models.events import Control
from routecast.models.insights import Recommendation, Recommendations
from routecast.streams.calls.call import Call
from routecast.streams.configuration import load_config
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.leadership.leader import Leader
from routecast.testing import Fleet

Eventually = Callable[..., None]

TARGETS = [{"id": f"t{i}", "provider": f"p{i}", "model": "m", "service": "chat"} for i in range(3)]
CONFIG = Config.model_validate({"target": TARGETS, "routing": {"policy": "round_robin"}, "intervals": {"analysis_ms": 120_000}})
MINUTE_MS = 60_000.0


class Traffic:
    """Six requests a second that routers choose for; answers are lognormal and some targets slower."""

    def __init__(self, fleet: Fleet) -> None:
        self.took_ms: list[float] = []
        self.slower: Mapping[str, float] = {}
        self._fleet = fleet
        self._luck = random.Random(1)

    def run(self, minutes: float) -> None:
        """Let this much time pass."""
        fleet, luck = self._fleet, self._luck
        end_ms = fleet.now_ms + minutes * MINUTE_MS
        while fleet.now_ms < end_ms:
            fleet.advance_to(min(end_ms, fleet.now_ms + luck.expovariate(0.006)))
            router = fleet.router(0)
            decision = router.choose()
            took_ms = luck.lognormvariate(6.0, 0.5) * self.slower.get(decision.target, 1.0)
            fleet.queue.after(took_ms, partial(self._end, router.start(decision), took_ms))

    def _end(self, call: Call, took_ms: float) -> None:
        self.took_ms.append(took_ms)
        call.finish()


@pytest.fixture(scope="module")
def slowed() -> tuple[Fleet, Traffic]:
    """Four minutes with a target that is six times slower, while everything goes around."""
    fleet = Fleet(CONFIG, routers=1, seed=1, planning=True)
    traffic = Traffic(fleet)
    traffic.slower = {"t1": 6.0}
    traffic.run(4.2)
    return fleet, traffic


def _drain(fleet: Fleet) -> Recommendation:
    (item,) = fleet.router(0).recommendations()
    return item


def test_a_slow_target_is_recommended_to_be_drained_on_the_topic_and_by_the_router(slowed: tuple[Fleet, Traffic]) -> None:
    """Both say the same; capacity is published beside it; since when is the time of the first plan."""
    fleet, _ = slowed
    item = _drain(fleet)
    assert (item.id, item.action) == ("drain/t1", "routecast targets drain t1")
    assert item.figures["times_as_slow"] == pytest.approx(6.0, rel=0.2)
    (said,) = [insight for insight in fleet.insights() if isinstance(insight, Recommendations)]
    assert [found.id for found in said.recommendations] == [item.id]
    (capacity,) = [insight for insight in fleet.insights() if isinstance(insight, Capacity)]
    assert capacity.now_per_min == pytest.approx(360.0, rel=0.1)
    assert said.at_ms - item.since_ms == pytest.approx(2 * MINUTE_MS, abs=2000.0)


def test_the_next_leader_recommends_it_since_the_same_time(slowed: tuple[Fleet, Traffic]) -> None:
    """Its first details show what its predecessor recommended; its first plan goes on from there."""
    fleet, _ = slowed
    before, leader = _drain(fleet), fleet.pipeline.leader
    successor = Leader(CONFIG, 2, fleet.now_ms, leader.merge, Checkpoint.decode(leader.checkpoint().value))
    details = [message for step in range(1, 14) for message in successor.tick(fleet.now_ms + step * 1000.0) if message.topic == "details"]
    assert before.model_dump_json(exclude_none=True).encode() in details[-1].value
    made_from = successor.planning_input("chat")
    assert made_from is not None
    assert made_from.standing == {"drain/t1": before.since_ms}


def test_the_checkpoint_of_an_older_version_begins_anew(slowed: tuple[Fleet, Traffic], caplog: pytest.LogCaptureFixture) -> None:
    """With a warning; nothing else is lost."""
    leader = slowed[0].pipeline.leader
    checkpoint = replace(Checkpoint.decode(leader.checkpoint().value), advice={})
    with caplog.at_level(logging.WARNING):
        successor = Leader(CONFIG, 2, slowed[0].now_ms, leader.merge, checkpoint)
    assert "recommendations begin anew" in caplog.text
    assert successor.planning_input("chat") is None  # before its first tick


def test_following_it_brings_what_was_expected(slowed: tuple[Fleet, Traffic]) -> None:
    """The mean time after the drain is the simulated one within a tenth; then there is nothing left to recommend."""
    fleet, traffic = slowed
    expected = {effect.figure: effect for effect in _drain(fleet).effects}
    before_ms = statistics.fmean(traffic.took_ms)
    fleet.pipeline.leader.hear(0, Control(at_ms=fleet.now_ms, target="t1", action="drain"))
    traffic.run(0.2)
    traffic.took_ms.clear()
    traffic.run(3.0)
    after_ms = statistics.fmean(traffic.took_ms)
    assert before_ms == pytest.approx(expected["mean_ms"].now, rel=0.25)
    assert after_ms == pytest.approx(expected["mean_ms"].expected, rel=0.1)
    assert fleet.router(0).recommendations() == ()


def judged(emitter: Emitter, n: int, quality: Mapping[str, float]) -> None:
    """Requests of the last half a minute and what people thought of the answers."""
    luck, now_ms = random.Random(2), time.time() * 1000.0
    for i in range(n):
        target = "ab"[i % 2]
        at_ms, duration_ms = now_ms - 30_000.0 * (1.0 - i / n), luck.lognormvariate(5.0, 0.4)
        plain: dict[str, Any] = {"service": "chat", "at_ms": at_ms, "started_at_ms": at_ms - duration_ms, "quality": quality[target]}
        emitter.completed(f"r{i}", target, "ok", duration_ms, **plain)


def _quick(targets: str) -> dict[str, Any]:
    rows = [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in targets]
    return {"target": rows, "routing": {"policy": "round_robin"}, "intervals": {"analysis_ms": 1000, "metrics_ms": 1000}}


def test_in_one_process_a_child_makes_them_while_the_application_goes_on(eventually: Eventually) -> None:
    """The embedded pipeline plans from its tenth second on, and the router answers from the next details."""
    config = Config.model_validate(_quick("ab"))
    with Router.connect_sync("memory://recommendations", config, service="chat") as router:
        judged(router.emitter, 800, {"a": 0.95, "b": 0.5})
        eventually(router.recommendations, within_s=90.0)
        (item,) = router.recommendations()
        assert (item.id, item.priority) == ("look_at_quality/b", "high")


def test_in_one_process_they_can_be_switched_off() -> None:
    """No thread and no process is begun for them."""
    config = Config.model_validate(_quick("ab") | {"planning": {"enabled": False}})
    with Router.connect_sync("memory://no-recommendations", config, service="chat") as router:
        judged(router.emitter, 10, {"a": 0.95, "b": 0.5})
        assert router.recommendations() == ()


def test_through_workers_they_reach_routers_and_survive_the_leader(config_file: Path, start_worker: Callable[..., Any], eventually: Eventually) -> None:
    """A `kill -9` of the leader while it may be planning; the next one recommends the same since the same time."""
    text = config_file.read_text().replace("metrics_ms = 1000", "metrics_ms = 1000\nanalysis_ms = 1000\n\n[routing]\npolicy = 'round_robin'")
    config_file.write_text(text)
    worker = start_worker(config_file)
    worker.wait_for("ready")
    config = load_config(config_file, {})
    with Router.connect_sync(f"kafka://{config.kafka.bootstrap}", config, service="chat") as router:
        judged(router.emitter, 800, {"a": 0.95, "b": 0.5})
        eventually(router.recommendations, within_s=90.0)
        (item,) = router.recommendations()
        assert (item.id, item.priority) == ("look_at_quality/b", "high")
        term = router.snapshot.term if router.snapshot else -1
        worker.process.kill()
        start_worker(config_file).wait_for("ready")
        eventually(lambda: router.snapshot is not None and router.snapshot.term > term)
        eventually(lambda: (found := router.recommendations()) and found[0] != item, within_s=90.0)
        assert [(found.id, found.since_ms) for found in router.recommendations()] == [(item.id, item.since_ms)]
    assert "brought up to date" not in worker.said
