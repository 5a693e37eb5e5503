from __future__ import annotations

import logging

import pytest

from routecast.dashboards.influx.line_protocol import Point
from routecast.dashboards.influx.schema import PROVIDER_SCORE, PROVIDER_STATE
from routecast.dashboards.sink.cardinality import MOST_VALUES, CardinalityGuard


def _state(target: str) -> Point:
    return Point(PROVIDER_STATE, (target, "chat"), 1.0, ("ok", 0))


def test_the_first_values_of_a_tag_pass_and_later_ones_are_others(caplog: pytest.LogCaptureFixture) -> None:
    """With one warning, that names one of them; those that passed go on passing."""
    guard = CardinalityGuard()
    with caplog.at_level(logging.WARNING):
        names = [guard.guarded(_state(f"t{i}")).tags[0] for i in range(MOST_VALUES + 50)]
    assert names == [f"t{i}" for i in range(MOST_VALUES)] + ["_other"] * 50
    assert [record.getMessage() for record in caplog.records] == [
        "tag 'target' of 'provider_state' has more than 200 values: further ones, such as 't200', are stored as '_other'"
    ]
    assert guard.guarded(_state("t7")).tags == ("t7", "chat")
    assert guard.guarded(_state("t249")).tags == ("_other", "chat")


def test_configured_names_always_pass() -> None:
    """A fleet of a thousand targets is no mistake."""
    guard = CardinalityGuard({"target": [f"known{i}" for i in range(1000)]})
    assert [guard.guarded(_state(f"known{i}")).tags[0] for i in range(1000)] == [f"known{i}" for i in range(1000)]
    assert [guard.guarded(_state(f"t{i}")).tags[0] for i in range(MOST_VALUES + 1)][-2:] == ["t199", "_other"]


def test_measurements_and_tags_have_bounds_of_their_own() -> None:
    """One that is full says nothing about another."""
    guard = CardinalityGuard()
    for i in range(MOST_VALUES + 1):
        guard.guarded(_state(f"t{i}"))
    values = tuple(1.0 if field.kind == "float" else 1 for field in PROVIDER_SCORE.fields)
    assert guard.guarded(Point(PROVIDER_SCORE, ("new", "chat"), 1.0, values)).tags == ("new", "chat")
