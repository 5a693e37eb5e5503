from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from routecast.analytics.backtest.incidents import explains, failovers, incidents_of, judged, mean_failover_s
from routecast.analytics.backtest.play import Played
from routecast.analytics.backtest.scene import Scene
from routecast.analytics.backtest.spells import Spell
from routecast.models.backtest import Incident
from routecast.models.insights import Alert, Subject

INCIDENT = Incident(target="a", from_ms=100_000.0, until_ms=200_000.0, kind="any")


def alert(target: str = "a", from_ms: float = 110_000.0, until_ms: float | None = 190_000.0, kind: str = "error_rate", **fields: Any) -> Alert:
    """An alert about a target."""
    plain: dict[str, Any] = {
        "id": "x", "version": 1, "incident": "x", "notify": True, "kind": kind, "severity": "high", "state": "raised", "rule": "threshold", "title": "t",
        "subject": Subject(kind="target", id=target), "threshold": 1.0, "value": 2.0, "target": 0.0, "unit": "ratio", "started_ms": from_ms,
        "at_ms": from_ms, "ended_ms": until_ms,
    }  # fmt: skip
    return Alert.model_validate(plain | fields)


@pytest.mark.parametrize(
    ("raised", "right"),
    [
        (alert(), True),
        (alert(target="b"), False),
        (alert(from_ms=259_000.0, until_ms=None), True),
        (alert(from_ms=261_000.0, until_ms=None), False),
        (alert(from_ms=10_000.0, until_ms=99_000.0), False),
        (alert(subject=Subject(kind="service", id="chat")), True),
    ],
)
def test_an_incident_explains_alerts_about_its_target_at_its_time(raised: Alert, right: bool) -> None:
    """Also within a minute after its end, and those about the whole service."""
    assert explains(INCIDENT, raised) is right


def test_a_label_that_names_a_kind_of_alert_wants_that_kind() -> None:
    """Slowness does not explain an alert about errors."""
    slow = INCIDENT.model_copy(update={"kind": "response_time"})
    assert not explains(slow, alert())
    assert explains(slow, alert(kind="response_time"))


def test_precision_and_recall() -> None:
    """Two of three alerts are right, one of two incidents was found; an alert that another one explains counts for nothing."""
    missed = Incident(target="c", from_ms=0.0, until_ms=1.0, kind="any")
    alerts = [alert(), alert(kind="quality"), alert(target="b"), alert(target="b", inhibited_by="other")]
    assert list(judged(alerts, [INCIDENT, missed])) == pytest.approx([2 / 3, 0.5])
    precision, recall = judged([], [])
    assert np.isnan([precision, recall]).all()


def test_failover_is_from_the_outage_to_the_last_request_and_back(make_scene: Callable[..., Scene]) -> None:
    """Probes are no requests; the way back ends with the first answer to a plain one."""
    scene = make_scene(spells={0: (Spell("failing", 1_000.0, 5_000.0, 1.0, 9),)})
    begun = np.array([900.0, 1_200.0, 1_500.0, 3_000.0, 5_100.0, 5_200.0, 6_000.0])
    played = Played(
        scene, np.arange(7), np.zeros(7, np.int64), begun, begun + 100.0, np.array([0, 1, 1, 1, 0, 1, 0]), np.array([0, 0, 0, 1, 1, 0, 0], np.bool_),
        np.zeros(7), np.zeros(7, np.bool_), np.zeros(7, np.int64),
    )  # fmt: skip
    (found,) = failovers(played)
    assert (found.left_after_s, found.attempts, found.back_after_s) == (0.5, 2, 1.1)
    assert mean_failover_s([found]) == (0.5, 1.1)


def test_spells_stand_for_labels(make_scene: Callable[..., Scene]) -> None:
    """Those within the run, cut at its ends; short ones and spells of higher speed are none."""
    spells = (
        Spell("failing", -5_000.0, 8_000.0, 1.0, 9), Spell("refusing", 9_000.0, 9_500.0, 1.0, 9), Spell("slow", 10_000.0, 15_000.0, 0.5, 9),
        Spell("slow", 10_000.0, float("inf"), 2.0, 9),
    )  # fmt: skip
    scene = make_scene(spells={1: spells})
    start_ms = scene.requests.start_ms
    assert [(it.kind, it.from_ms - start_ms, it.until_ms - start_ms) for it in incidents_of(scene)] == [("failing", 0.0, 8_000.0), ("slow", 10_000.0, 19_900.0)]
