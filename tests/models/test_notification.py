from __future__ import annotations

import json

from routecast.models.insights import Alert, Subject
from routecast.models.notification import Notification


def _alert(**more: object) -> Alert:
    plain: dict[str, object] = {
        "id": "5f1c", "version": 3, "incident": "5f1c", "notify": True, "kind": "error_rate", "severity": "critical", "state": "raised",
        "subject": Subject(kind="target", id="a"), "rule": "burn_rate", "title": "Target a is out of service", "threshold": 14.4, "value": 100.0,
        "target": 1.0, "unit": "burn_rate", "started_ms": 1.0, "at_ms": 2.0,
    }  # fmt: skip
    return Alert.model_validate(plain | more)


def test_a_notification_is_a_sentence_and_the_alert() -> None:
    """Receivers for people show `text`; programs find every figure of the alert, and no field without a value."""
    body = json.loads(Notification.of(_alert()).encode())
    assert body["text"] == "critical: Target a is out of service"
    assert Alert.model_validate(body["alert"]) == _alert()
    assert set(body) == {"text", "alert"}
    assert "ended_ms" not in body["alert"]


def test_what_is_over_is_said_so_first() -> None:
    """Whoever reads one word knows whether to get up."""
    assert Notification.of(_alert(state="cleared", title="Target a: failures over, after 54 min")).text == "over: Target a: failures over, after 54 min"


def test_the_key_names_what_is_said_of_an_alert() -> None:
    """The same for the same version, another for the next."""
    assert Notification.of(_alert()).key == "5f1c/3"
    assert Notification.of(_alert(version=4)).key == "5f1c/4"
