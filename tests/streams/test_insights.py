"""What the leader says the figures mean, from the first event to the topic, in virtual time; and that it survives a change of leader."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Literal

import pytest

from routecast.models.config import Config
from routecast.models.events import Control, Outcome
from routecast.models.insights import Alert, Change, Insight, Trends, decode_insight
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.leadership.leader import Leader
from routecast.streams.topics import INSIGHTS
from routecast.testing import Fleet

CONFIG = Config.model_validate({"target": [{"id": f"t{i}", "provider": f"p{i}", "model": "m", "service": "chat"} for i in range(4)]})
MINUTE_MS = 60_000.0


class Traffic:
    """Ten requests a second, each reported by a program that spreads them over all targets whatever they do."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._fleet = fleet
        self._luck = random.Random(seed)
        self._requests = 0
        self.fails: dict[str, float] = {}
        self.slower: dict[str, float] = {}

    def run(self, minutes: float) -> None:
        """Let this much time pass."""
        fleet, luck = self._fleet, self._luck
        end_ms = fleet.now_ms + minutes * MINUTE_MS
        while fleet.now_ms < end_ms:
            fleet.advance_to(min(end_ms, fleet.now_ms + luck.expovariate(0.01)))
            target, self._requests = f"t{self._requests % 4}", self._requests + 1
            outcome: Outcome = "error" if luck.random() < self.fails.get(target, 0.005) else "ok"
            duration_ms = luck.lognormvariate(6.0, 0.5) * self.slower.get(target, 1.0)
            fleet.router(0).emitter.completed(f"r{self._requests}", target, outcome, duration_ms, service="chat")


def _alerts(insights: Iterable[Insight]) -> list[Alert]:
    return [insight for insight in insights if isinstance(insight, Alert)]


def _changes(insights: Iterable[Insight]) -> list[Change]:
    return [insight for insight in insights if isinstance(insight, Change)]


def test_a_target_that_fails_is_an_alert_within_five_minutes_and_then_over() -> None:
    """One alert that wakes somebody, of the target; it is cleared after the failures end."""
    fleet = Fleet(CONFIG, routers=1, seed=1)
    traffic = Traffic(fleet, 1)
    traffic.run(12)
    assert _alerts(fleet.insights()) == []
    traffic.fails["t2"] = 0.5
    traffic.run(5)
    (alert,) = [alert for alert in _alerts(fleet.insights()) if alert.subject.id == "t2" and alert.kind == "error_rate"]
    assert alert.state != "cleared"
    assert alert.severity in {"high", "critical"}
    assert [item.subject.id for item in _changes(fleet.insights()) if item.metric == "error_ratio" and item.worse and item.subject.kind == "target"] == ["t2"]
    traffic.fails.clear()
    traffic.run(15)
    assert {alert.state for alert in _alerts(fleet.insights()) if alert.severity in {"high", "critical"}} <= {"cleared"}


def test_a_target_that_slows_down_is_a_change_and_its_trend_is_known() -> None:
    """The change says from what to what and since when; trends of every target and of the service are published each minute."""
    fleet = Fleet(CONFIG, routers=1, seed=2)
    traffic = Traffic(fleet, 2)
    traffic.run(12)
    began_ms = fleet.now_ms
    traffic.slower["t1"] = 2.0
    traffic.run(3)
    (change,) = [change for change in _changes(fleet.insights()) if change.metric == "response_time"]
    assert (change.subject.id, change.worse, change.ended_ms) == ("t1", True, None)
    assert change.after / change.before == pytest.approx(2.0, rel=0.3)
    assert abs(change.since_ms - began_ms) < MINUTE_MS
    (trends,) = [insight for insight in fleet.insights() if isinstance(insight, Trends) and insight.service == "chat"]
    assert fleet.now_ms - trends.at_ms <= 70_000
    assert {trend.subject.id for trend in trends.trends} == {"chat", "t0", "t1", "t2", "t3"}
    slower = next(trend for trend in trends.trends if (trend.subject.id, trend.metric) == ("t1", "response_time"))
    assert slower.current is not None
    assert slower.previous is not None
    assert slower.current > slower.previous


def _said(leader: Leader, at_ms: float) -> list[Insight]:
    return [decode_insight(message.value) for message in leader.tick(at_ms) if message.topic == INSIGHTS]


def test_a_new_leader_says_what_its_predecessor_said_last_under_the_same_names() -> None:
    """Alerts and changes of the checkpoint are said again, the same to the byte; nothing is raised twice afterwards."""
    fleet = Fleet(CONFIG, routers=1, seed=3)
    traffic = Traffic(fleet, 3)
    traffic.run(12)
    traffic.fails["t2"] = 0.6
    leader = fleet.pipeline.leader
    while not (leader.said_once and (open_ := [alert for alert in _alerts(fleet.insights()) if alert.notify])):
        traffic.run(0.5 / 60)
    successor = Leader(CONFIG, 2, fleet.now_ms, leader.merge, Checkpoint.decode(leader.checkpoint().value))
    again = _said(successor, fleet.now_ms + 1000)
    assert set(_alerts(again)) >= set(open_)
    later = [insight for step in range(2, 30) for insight in _said(successor, fleet.now_ms + step * 1000)]
    assert {alert.id for alert in _alerts(later) if alert.subject.id == "t2"} <= {alert.id for alert in open_}
    assert [alert for alert in _alerts(later) if alert.notify and alert.version <= open_[0].version] == []


def test_what_an_operator_silences_wakes_nobody() -> None:
    """The alert is raised, says until when it is silenced, and notifies nobody; a silence that is taken back is none."""
    fleet = Fleet(CONFIG, routers=1, seed=4)
    until_ms = fleet.now_ms + 60 * MINUTE_MS
    words: list[tuple[Literal["silence", "unsilence"], str]] = [("silence", "t1"), ("silence", "t2"), ("unsilence", "t1")]
    for offset, (action, subject) in enumerate(words):
        fleet.pipeline.leader.hear(offset, Control(at_ms=fleet.now_ms, action=action, subject=subject, until_ms=until_ms))
    traffic = Traffic(fleet, 4)
    traffic.run(12)
    traffic.fails |= {"t1": 0.6, "t2": 0.6}
    traffic.run(4)
    severe = {alert.subject.id: alert for alert in _alerts(fleet.insights()) if alert.kind == "error_rate" and alert.subject.kind == "target"}
    assert severe["t2"].silenced_until_ms == until_ms
    assert severe["t1"].silenced_until_ms is None
