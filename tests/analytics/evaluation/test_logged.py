from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from routecast.analytics.evaluation.logged import Logged
from routecast.models.errors import CheckFailed


def _three(**changed: Any) -> Logged:
    given: dict[str, Any] = {
        "targets": ["a", "b"], "chosen": np.array([0, 1, 1]), "propensity": np.array([0.5, 0.25, 1.0]),
        "rewards": {"quality": np.array([0.9, np.nan, 0.1])}, "allowed": np.array([[True, True], [True, True], [False, True]]),
    }  # fmt: skip
    given |= changed
    return Logged.of(given.pop("targets"), given.pop("chosen"), given.pop("propensity"), given.pop("rewards"), **given)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"propensity": np.array([0.5, 0.0, 1.0])}, "row 1 the propensity is not in"),
        ({"propensity": np.array([0.5, 0.2, 1.1])}, "row 2 the propensity is not in"),
        ({"propensity": np.array([np.nan, 0.2, 1.0])}, "row 0 the propensity is not in"),
        ({"propensity": np.array([0.5, 0.5])}, r"propensity has shape \(2,\), not \(3,\)"),
        ({"chosen": np.array([0, 2, 1])}, "row 1 the choice is none of the 2 targets"),
        ({"chosen": np.array([0, 1, 0])}, "row 2 the target that was chosen was not allowed"),
        ({"rewards": {"quality": np.array([0.9, np.inf, 0.1])}}, "row 1 quality is infinite"),
        ({"rewards": {"quality": np.array([0.9])}}, r"quality has shape \(1,\)"),
        ({"allowed": np.ones((3, 3), bool)}, "allowed has shape"),
    ],
)
def test_a_log_that_cannot_be_is_refused(changed: dict[str, Any], said: str) -> None:
    """The message names the first wrong row and what is wrong with it."""
    with pytest.raises(CheckFailed, match=said):
        _three(**changed)


def test_rows_are_taken_with_everything_that_belongs_to_them() -> None:
    """In the order that was asked for."""
    logged = _three().rows(np.array([2, 0]))
    assert logged.chosen.tolist() == [1, 0]
    assert logged.propensity.tolist() == [1.0, 0.5]
    assert logged.rewards["quality"].tolist() == [0.1, 0.9]
    assert (logged.allowed.tolist(), logged.folds.tolist(), logged.blocks.tolist()) == ([[False, True], [True, True]], [2, 0], [2, 0])


def test_what_is_left_out_is_counted() -> None:
    """By reason; nothing is said where nothing is left out."""
    logged = _three()
    assert logged.without(np.array([False, True, False]), "why").excluded == {"why": 1}
    assert logged.without(np.zeros(3, bool), "why") is logged
