from __future__ import annotations

import random

import numpy as np
import pytest

from routecast.analytics.balance import Own, Table, learned, least_of_draws
from routecast.analytics.evaluation import thompson
from routecast.analytics.evaluation.thompson import learned_chances

DRAWS = 30_000


def _table(costs: list[float], shares: list[float], spreads: list[float], *, explore: bool = True) -> Table:
    ones = [1.0] * len(costs)
    return Table(range(len(costs)), costs, shares, ones, ones, explore=explore, spreads=spreads)


@pytest.mark.parametrize(
    "table",
    [
        _table([1.0, 1.1, 1.4], [0.5, 0.3, 0.2], [0.1, 0.1, 0.4]),
        _table([1.0, 1.2, 0.8, 2.0, 1.0], [0.3, 0.3, 0.1, 0.2, 0.1], [0.02, 0.2, 1.0, 0.0, 0.3]),
        _table([1.0 + i / 20 for i in range(12)], [1.0 / (i + 1) for i in range(12)], [0.05 * (i + 1) for i in range(12)]),
    ],
    ids=["three", "very different spreads", "twelve"],
)
def test_the_integral_is_what_the_policy_draws(table: Table) -> None:
    """Thirty thousand draws of the policy itself fall on each target as often as it says, within four standard errors."""
    n, luck = len(table.index), random.Random(7)
    chances = np.array(learned_chances(table, table.costs))
    own = Own([0] * n, [1.0] * n, [1.0] * n)
    counts = np.bincount([learned(table, own, list(table.costs), luck)[0] for _ in range(DRAWS)], minlength=n)
    assert chances.sum() == pytest.approx(1.0, abs=1e-12)
    assert (np.abs(counts / DRAWS - chances) < 4.0 * np.sqrt(chances * (1.0 - chances) / DRAWS)).all()


def test_certain_costs_leave_the_law_of_performance() -> None:
    """Nothing to sample, or an urgent request, which is no experiment."""
    for table in (_table([1.0, 1.0, 2.0], [1, 2, 3], [0.0] * 3), _table([1.0, 1.5, 2.0], [1, 2, 3], [0.5] * 3, explore=False)):
        assert learned_chances(table, table.costs) == [least_of_draws(table, table.costs, i) for i in range(3)]


def test_costs_that_are_almost_certain_are_near_it() -> None:
    """The integral goes over into the closed form."""
    table = _table([1.0, 1.5, 2.0], [1, 2, 3], [1e-3] * 3)
    assert learned_chances(table, table.costs) == pytest.approx([least_of_draws(table, table.costs, i) for i in range(3)], abs=1e-9)


def test_an_integral_that_is_not_precise_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps too wide for how sure one cost is: the probabilities do not sum to 1, and none is given."""
    table = _table([1.0, 1.05, 2.0], [1, 1, 1], [1.0, 0.02, 0.02])
    monkeypatch.setattr(thompson, "_FAR", 0.5)
    assert learned_chances(table, table.costs) == []
