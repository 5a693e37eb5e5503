from __future__ import annotations

import numpy as np
import pytest

from routecast.analytics.balance import Own, Table, round_robin
from routecast.analytics.evaluation.logged import Logged
from routecast.analytics.evaluation.policies import static, uniform
from routecast.models.errors import ConfigError

ALLOWED = np.array([[True, True, True], [True, False, True], [False, True, False]])
LOGGED = Logged.of(["a", "b", "c"], np.array([0, 0, 1]), np.array([0.3, 0.5, 1.0]), {}, allowed=ALLOWED)


def test_uniform_takes_every_candidate_alike() -> None:
    """And no other target."""
    assert uniform(LOGGED) == pytest.approx(np.array([[1 / 3] * 3, [0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]))


def test_weights_count_among_the_candidates() -> None:
    """A target without a weight gets nothing, unless no candidate has one."""
    found = static({"a": 1.0, "c": 3.0})(LOGGED)
    assert found == pytest.approx(np.array([[0.25, 0.0, 0.75], [0.25, 0.0, 0.75], [0.0, 1.0, 0.0]]))


@pytest.mark.parametrize("weights", [{"a": -1.0}, {"a": float("nan")}, {"a": float("inf")}])
def test_weights_must_be_numbers_from_0_on(weights: dict[str, float]) -> None:
    """The message shows them."""
    with pytest.raises(ConfigError, match="each must be a number from 0 on"):
        static(weights)


def test_weights_of_a_target_that_the_log_does_not_know_are_a_mistake() -> None:
    """It says which, and what there is."""
    with pytest.raises(ConfigError, match=r"\['z'\].*\['a', 'b', 'c'\]"):
        static({"a": 1.0, "z": 1.0})(LOGGED)


def test_turns_of_round_robin_have_the_probabilities_of_its_weights() -> None:
    """Over a whole cycle of the policy itself."""
    table = Table(range(3), [1.0] * 3, [1.0] * 3, [1.0] * 3, [1.0] * 3, explore=False)
    own = Own([0] * 3, [1.0] * 3, [1.0, 2.0, 5.0])
    turns = [round_robin(table, own, [1.0] * 3, None)[0] for _ in range(800)]  # type: ignore[arg-type] # it draws nothing
    assert np.bincount(turns) / 800 == pytest.approx(static({"a": 1.0, "b": 2.0, "c": 5.0})(LOGGED)[0])
