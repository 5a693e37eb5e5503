from __future__ import annotations

from typing import Any

from routecast.analytics.insights.standing import UNHEARD_MS, going_on, standing
from routecast.models.capacity import Capacity, ScaleHint
from routecast.models.insights import Alert, Change, Insight, Recommendations, Subject, Trend, Trends
from routecast.models.recommendation import Recommendation

NOW_MS = 1_700_000_000_000.0
A, MAIL = Subject(kind="target", id="a", service="chat"), Subject(kind="service", id="mail")


def _alert(name: str, **more: object) -> Alert:
    plain: dict[str, Any] = {
        "id": name, "version": 1, "incident": name, "notify": True, "kind": "quality", "severity": "medium", "state": "raised", "subject": A,
        "rule": "threshold", "title": "", "threshold": 0.7, "value": 0.5, "target": 0.9, "unit": "score", "started_ms": NOW_MS, "at_ms": NOW_MS,
    }  # fmt: skip
    return Alert.model_validate(plain | more)


def _change(name: str, **more: object) -> Change:
    plain: dict[str, Any] = {
        "id": name, "version": 1, "subject": A, "metric": "quality", "worse": True, "since_ms": NOW_MS, "detected_ms": NOW_MS, "before": 0.9, "after": 0.5,
        "statistic": 15.0, "threshold": 14.0, "n": 9,
    }  # fmt: skip
    return Change.model_validate(plain | more)


def test_alerts_go_on_until_they_are_cleared() -> None:
    """The most severe first, those that explain before the explained, then by their beginning."""
    alerts = [
        _alert("late", started_ms=NOW_MS + 1.0), _alert("explained", inhibited_by="worst", severity="critical"), _alert("over", state="cleared"),
        _alert("early"), _alert("worst", severity="critical"),
    ]  # fmt: skip
    assert [alert.id for alert in going_on(alerts, NOW_MS)] == ["worst", "explained", "early", "late"]


def test_an_alert_that_nobody_speaks_of_is_forgotten() -> None:
    """A leader that began anew will never clear it; nor those that it explained. While nobody publishes at all, everything stays."""
    alerts = [_alert("old", at_ms=NOW_MS - UNHEARD_MS - 1.0), _alert("explained", inhibited_by="old"), _alert("new")]
    assert [alert.id for alert in going_on(alerts, NOW_MS)] == ["new"]
    assert [alert.id for alert in going_on(alerts, NOW_MS - UNHEARD_MS)] == ["new", "old", "explained"]


def test_changes_last_until_they_end_or_are_usual() -> None:
    """The newest first."""
    changes = [_change("older", since_ms=1.0), _change("over", ended_ms=NOW_MS), _change("newer"), _change("usual", detected_ms=NOW_MS - 7 * 3_600_000.0)]
    assert [change.id for change in standing(changes, NOW_MS).changes] == ["newer", "older"]


def test_what_nobody_analyses_any_more_does_not_hold() -> None:
    """A service that was taken out of the configuration leaves its last record behind."""
    trend = Trend(subject=A, metric="cost", trend="stable", windows=60, window_ms=60_000.0, end_ms=NOW_MS)
    advice = Recommendation(id="x", kind="drain", priority="low", subject=A, description="", action="", since_ms=1.0)
    urgent = advice.model_copy(update={"id": "y", "priority": "high"})
    insights: list[Insight] = [
        Trends(service="chat", at_ms=NOW_MS - 600_000.0, trends=(trend,)), Trends(service="gone", at_ms=NOW_MS - 600_001.0, trends=(trend,)),
        Recommendations(service="chat", at_ms=NOW_MS, recommendations=(advice, urgent)),
        Recommendations(service="gone", at_ms=NOW_MS - 600_001.0, recommendations=(advice,)),
    ]  # fmt: skip
    found = standing(insights, NOW_MS, analysis_ms=60_000.0)
    assert found.trends == (trend,)
    assert [item.id for item in found.recommendations] == ["y", "x"]


def test_one_service_is_itself_and_its_targets() -> None:
    """The system belongs to none."""
    capacity = [Capacity(service=name, at_ms=NOW_MS, now_per_min=1.0, limit_ms=1.0, scale=ScaleHint(action="none", reason="")) for name in ("mail", "chat")]
    insights: list[Insight] = [_alert("target"), _alert("service", subject=MAIL), _alert("system", subject=Subject(kind="system", id="system")), *capacity]
    assert [alert.id for alert in standing(insights, NOW_MS, service="chat").alerts] == ["target"]
    found = standing(insights, NOW_MS, service="mail")
    assert ([alert.id for alert in found.alerts], [item.service for item in found.capacity]) == (["service"], ["mail"])
    assert [item.service for item in standing(insights, NOW_MS).capacity] == ["chat", "mail"]
