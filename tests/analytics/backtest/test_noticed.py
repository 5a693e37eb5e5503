from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from routecast.analytics.alerts.rules import rules_of
from routecast.analytics.backtest.noticed import noticed
from routecast.analytics.backtest.play import OUTCOMES, Played
from routecast.analytics.backtest.scene import Scene
from routecast.models.backtest import Incident
from routecast.models.config import Config
from routecast.models.insights import Alert, Subject

RULES = rules_of(Config.model_validate({"target": [{"id": "a", "provider": "a", "model": "m", "service": "chat"}]}))


def played(scene: Scene, calls: list[tuple[float, float, str]]) -> Played:
    """A run whose calls to target 0 ended at these seconds, took so many, and ended so."""
    ended_s, took_s, outcome = zip(*calls, strict=True)
    n, ended_ms = len(calls), 1000.0 * np.array(ended_s)
    return Played(
        scene, np.arange(n), np.zeros(n, np.int64), ended_ms - 1000.0 * np.array(took_s), ended_ms, np.array([OUTCOMES.index(it) for it in outcome]),
        np.zeros(n, bool), np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64),
    )  # fmt: skip


def incident(scene: Scene, from_s: float, until_s: float, kind: str = "failing", target: str = "a") -> Incident:
    """Of a target, in seconds since the first request."""
    start_ms = scene.requests.start_ms
    return Incident(target=target, from_ms=start_ms + 1000.0 * from_s, until_ms=start_ms + 1000.0 * until_s, kind=kind)


def why(scene: Scene, calls: list[tuple[float, float, str]], found: Incident) -> str:
    """Why no alert named an incident."""
    (row,) = noticed(played(scene, calls), (), (found,), RULES)
    assert row.alert == ""
    return row.why


WELL = [(float(i), 0.5, "ok") for i in range(400)]


@pytest.mark.parametrize(
    ("calls", "says"),
    [
        ([*WELL, *((300.0 + i, 0.1, "error") for i in range(3))], "there were 3 of 30"),
        ([*WELL, *((300.0 + i, 0.1, "error") for i in range(18))], "with 18 of 31"),
        (WELL[:250], "nobody asked the target; it lasted 30 s"),
    ],
)
def test_a_silence_is_explained_by_the_figures_of_the_nearest_rule(make_scene: Callable[..., Scene], calls: list[tuple[float, float, str]], says: str) -> None:
    """Too few failures, too little certainty, nobody who asked."""
    scene = make_scene()
    assert says in why(scene, calls, incident(scene, 300.0, 330.0))


def test_slow_answers_are_measured_by_the_mean(make_scene: Callable[..., Scene]) -> None:
    """A label that names a kind of alert asks for the rules of that kind; of a kind that calls do not tell, no figure is made up."""
    scene = make_scene()
    slow = [*WELL, *((300.0 + i, 4.0, "ok") for i in range(30))]
    assert "asks for a mean above 3 s over 5 min for certain" in why(scene, slow, incident(scene, 300.0, 330.0, "response_time"))
    assert why(scene, WELL, incident(scene, 300.0, 330.0, "quality")) == "no rule for quality held; it lasted 30 s"


def test_the_first_alert_that_names_an_incident_is_shown(make_scene: Callable[..., Scene]) -> None:
    """With what it was about; calls of the incident and of the minute after are counted."""
    scene = make_scene()
    plain: dict[str, Any] = {
        "id": "x", "version": 1, "incident": "x", "notify": True, "kind": "error_rate", "severity": "high", "state": "raised", "rule": "threshold",
        "title": "t", "subject": Subject(kind="target", id="a"), "threshold": 1.0, "value": 2.0, "target": 0.0, "unit": "ratio",
        "started_ms": scene.requests.start_ms + 310_000.0, "at_ms": scene.requests.start_ms + 310_000.0, "ended_ms": None,
    }  # fmt: skip
    later = Alert.model_validate(plain | {"kind": "response_time", "started_ms": plain["started_ms"] + 1.0})
    (row,) = noticed(played(scene, WELL), (later, Alert.model_validate(plain)), (incident(scene, 300.0, 330.0),), RULES)
    assert (row.alert, row.why, row.attempts, row.bad) == ("error_rate of a, high", "", 90, 0)
