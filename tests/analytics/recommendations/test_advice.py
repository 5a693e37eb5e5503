from __future__ import annotations

from typing import Any

import pytest

from routecast.analytics.checkpoint import pack, restore, state_of, unpack
from routecast.analytics.recommendations.advice import Advice
from routecast.models.insights import Change, Recommendation, Recommendations, Subject

A = Subject(kind="target", id="a", service="chat")


def recommended(at_ms: float, since_ms: float, *kinds: str) -> Recommendations:
    """Of target a, all since the same time."""
    plain: dict[str, Any] = {"priority": "high", "subject": A, "description": "x", "action": "y", "since_ms": since_ms}
    items = tuple(Recommendation.model_validate({"id": f"{kind}/a", "kind": kind, **plain}) for kind in kinds)
    return Recommendations(service="chat", at_ms=at_ms, recommendations=items)


def change(metric: str, *, worse: bool = True, ended_ms: float | None = None) -> Change:
    """Of target a."""
    plain = {"id": metric, "version": 1, "subject": A, "since_ms": 5.0, "detected_ms": 6.0, "before": 1.0, "after": 2.0}
    return Change.model_validate({**plain, "metric": metric, "worse": worse, "statistic": 9.0, "threshold": 8.0, "n": 50, "ended_ms": ended_ms})


def test_what_comes_back_within_ten_minutes_stands_since_its_first_day() -> None:
    """After that it is new."""
    advice = Advice()
    assert advice.take(recommended(1000.0, 1000.0, "drain"))
    assert advice.take(recommended(61_000.0, 61_000.0))
    assert advice.of("chat") == ()
    assert advice.standing("chat", 500_000.0) == {"drain/a": 1000.0}
    assert advice.standing("chat", 601_001.0) == {}
    assert advice.standing("mail", 1000.0) == {}


def test_only_another_recommendation_or_priority_is_news() -> None:
    """New figures are not."""
    advice = Advice()
    assert advice.take(recommended(1000.0, 1000.0, "drain"))
    assert not advice.take(recommended(61_000.0, 1000.0, "drain"))
    assert advice.take(recommended(121_000.0, 1000.0, "drain", "renegotiate_cost"))


def test_metrics_are_worse_from_their_change_to_its_end() -> None:
    """What became better, and what became worse of others, is not said."""
    advice = Advice()
    advice.heed([change("response_time"), change("quality"), change("error_ratio", worse=False)])
    assert advice.worse("a") == ["quality", "response_time"]
    advice.heed([change("quality", ended_ms=9.0)])
    assert advice.worse("a") == ["response_time"]
    assert advice.worse("b") == []


def test_state_survives_a_checkpoint_and_stays_small() -> None:
    """The next leader knows what stands, since when, and what is worse; a year of advice is no more than that of ten minutes."""
    advice = Advice()
    for minute in range(2000):
        kind = ("drain", "raise_limit", "look_at_quality", "renegotiate_cost", "change_weight")[minute % 5]
        advice.take(recommended(minute * 60_000.0, minute * 60_000.0, kind))
        advice.heed([change("quality"), change("quality", ended_ms=1.0), change("response_time")])
    packed = pack(state_of(advice))
    assert len(packed) < 1000
    resumed = Advice()
    restore(resumed, unpack(packed))
    assert resumed.of("chat") == advice.of("chat") != ()
    assert resumed.standing("chat", 2000 * 60_000.0) == advice.standing("chat", 2000 * 60_000.0)
    assert resumed.worse("a") == ["response_time"]
    assert state_of(resumed) == state_of(advice)


@pytest.mark.parametrize("kind", ["drain", "raise_limit"])
def test_recommendations_are_as_they_were_given(kind: str) -> None:
    """To the last figure."""
    advice, said = Advice(), recommended(1000.0, 500.0, kind)
    advice.take(said)
    assert advice.of("chat") == said.recommendations
