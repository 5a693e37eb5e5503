from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from routecast.models.requirements import DEADLINE_STEPS, NONE, Requirements


def test_everything_is_optional() -> None:
    """Nothing asked, nothing demanded."""
    assert Requirements() == NONE
    assert (NONE.deadline_ms, NONE.least_quality, NONE.rounded_deadline_ms, NONE.urgency, NONE.strict) == (None, None, None, "medium", False)


WRONG: list[dict[str, Any]] = [
    {"max_response_time_ms": 0}, {"max_response_time_ms": 600_001}, {"max_response_time_ms": math.nan}, {"quality_threshold": 1.1}, {"reliability": -0.1},
    {"urgency": "now"}, {"max_cost_usd": -1}, {"complexity": 2}, {"prefered": ("a",)}, {"preferred": "a"}, {"region": 5},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wrong_requirements_are_refused(wrong: dict[str, Any]) -> None:
    """Misspelt names too: a requirement that is silently ignored is worse than an error."""
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Requirements(**wrong)


def test_requirements_do_not_change() -> None:
    """They are kept as the key of a class of requests."""
    with pytest.raises(ValidationError, match="frozen"):
        NONE.__setattr__("region", "eu")


def test_a_copy_that_asks_for_something_else_is_a_class_of_its_own() -> None:
    """Also where the key of the original was found before; a plain copy is of the same class."""
    asked = Requirements(urgency="low")
    known = asked.key
    assert asked.model_copy(update={"excluded": ("east",)}).key == Requirements(urgency="low", excluded=("east",)).key != known
    assert asked.model_copy(deep=True).key == known


@pytest.mark.parametrize(
    ("complexity", "deadline_ms", "quality"), [(0.0, 5000, 0.8), (0.6, 5000, 0.8), (0.61, 5000, 0.9), (0.8, 5000, 0.9), (0.81, 15_000, 0.9), (1.0, 15_000, 0.9)]
)
def test_complexity_stands_in_for_figures(complexity: float, deadline_ms: float, quality: float) -> None:
    """A complex context asks for more time and more quality."""
    asked = Requirements(complexity=complexity)
    assert (asked.deadline_ms, asked.least_quality) == (deadline_ms, quality)


def test_figures_come_before_complexity() -> None:
    """What was said counts."""
    asked = Requirements(complexity=1.0, max_response_time_ms=100, quality_threshold=0.1)
    assert (asked.deadline_ms, asked.least_quality) == (100, 0.1)


@given(st.floats(10, 600_000))
def test_deadlines_are_rounded_down_on_a_logarithmic_grid(deadline_ms: float) -> None:
    """By less than a fifth, so that a class stands for what all its members asked."""
    rounded = Requirements(max_response_time_ms=deadline_ms).rounded_deadline_ms
    assert rounded is not None
    assert rounded <= deadline_ms * (1 + 1e-6)
    assert rounded > deadline_ms / 1.2


def test_the_grid_has_sixty_four_steps() -> None:
    """From 10 ms to 10 min: as many classes as there can be at most."""
    keys = [Requirements(max_response_time_ms=10.0 * 1.01**i).key for i in range(1105)] + [Requirements(max_response_time_ms=600_000).key]
    assert len(set(keys)) == DEADLINE_STEPS
    assert sum(a != b for a, b in pairwise(keys)) == DEADLINE_STEPS - 1


def test_a_deadline_below_the_grid_is_its_first_step() -> None:
    """10 ms: no provider answers faster."""
    assert Requirements(max_response_time_ms=1).rounded_deadline_ms == pytest.approx(10)


OTHER: list[dict[str, Any]] = [
    {"max_response_time_ms": 2500}, {"quality_threshold": 0.5}, {"reliability": 0.5}, {"preferred": ("a",)}, {"preferred": ("a", "b")},
    {"preferred": ("a, b",)}, {"excluded": ("a",)}, {"region": "eu"}, {"region": "None"}, {"caller_region": "eu"}, {"urgency": "high"},
    {"max_cost_usd": 0.1}, {"complexity": 0.5}, {"complexity": 0.81}, {"strict": True},
]  # fmt: skip


def test_every_requirement_tells_classes_apart() -> None:
    """No two that differ in anything but the last bit of a deadline share a key."""
    keys = [NONE.key, *(Requirements(**fields).key for fields in OTHER)]
    assert len(set(keys)) == len(keys)


def test_equal_requirements_are_one_class() -> None:
    """Lists or tuples, made twice, with deadlines that round alike."""
    one = Requirements(max_response_time_ms=2000, preferred=("a", "b"))
    assert one.key == Requirements(max_response_time_ms=2001, preferred=["a", "b"]).key  # type: ignore[arg-type]
