from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.balance import DRAWS, EXPLORE, Table, least_of_draws
from routecast.analytics.routing.newcomers import capped_scores, capped_shares, newcomers, welcomed
from routecast.models.rows import TargetTotals

candidates = st.lists(st.tuples(st.floats(0.001, 1), st.booleans(), st.floats(0.1, 10)), min_size=1, max_size=30)


def test_a_target_is_new_beside_well_known_ones_until_its_outcomes_weigh_as_much_as_the_prior() -> None:
    """Nine outcomes at the usual learning rate; failures are evidence, the caller's own faults and what is open are none."""
    known = [TargetTotals(f"t{i}", started=1000, ok=990) for i in range(3)]
    assert newcomers([*known, TargetTotals("x", started=60, ok=4, error=4, caller_fault=20)], 9.0) == [False, False, False, True]
    assert newcomers([*known, TargetTotals("x", started=60, ok=4, error=5)], 9.0) == [False] * 4


def test_targets_that_begin_together_are_not_new() -> None:
    """The traffic of a fleet that has just started must go somewhere, also while a slow target has not answered yet."""
    assert newcomers([TargetTotals("a"), TargetTotals("b")], 9.0) == [False, False]
    assert newcomers([TargetTotals("a", started=40, ok=38), TargetTotals("b", started=25)], 9.0) == [False, False]


@given(candidates, st.floats(0, 1), st.booleans())
def test_no_newcomer_is_drawn_more_often_than_its_cap(them: list[tuple[float, bool, float]], cap: float, explore: bool) -> None:
    """Whatever the costs are, exploration included; where the cap leaves less than that, exploration alone."""
    shares, new, costs = [share for share, _, _ in them], [is_new for _, is_new, _ in them], [cost for _, _, cost in them]
    weights = capped_shares(shares, new, cap, DRAWS, EXPLORE if explore else 0.0)
    assert sum(weights) == pytest.approx(1.0)
    if all(new):
        return
    table = Table(range(len(them)), costs, weights, costs, costs, explore=explore)
    most = max(cap, EXPLORE / len(them) if explore else 0.0)
    assert all(least_of_draws(table, costs, i) <= most + 1e-9 for i, is_new in enumerate(new) if is_new)


def test_known_targets_keep_their_proportions() -> None:
    """A newcomer takes from each of them alike."""
    weights = capped_shares([0.6, 0.3, 0.1], [False, False, True], 0.05, DRAWS, EXPLORE)
    assert weights[0] == pytest.approx(2 * weights[1])
    assert 0.0 < weights[2] < 0.05


def test_where_all_are_new_or_none_nothing_is_capped() -> None:
    """The shares count as they are."""
    for new in ([True, True], [False, False]):
        assert capped_shares([3.0, 1.0], new, 0.05, DRAWS, EXPLORE) == [0.75, 0.25]
        assert capped_scores([3.0, 1.0], new, 0.05) == [3.0, 1.0]
        assert welcomed([3.0, 1.0], new) == [3.0, 1.0]


@given(candidates, st.floats(0, 1))
def test_one_draw_in_proportion_keeps_the_cap_too(them: list[tuple[float, bool, float]], cap: float) -> None:
    """However many newcomers there are, as long as there is anybody else."""
    scores, new = [score for score, _, _ in them], [is_new for _, is_new, _ in them]
    capped = capped_scores(scores, new, cap)
    if not all(new):
        assert all(score <= cap * sum(capped) * (1 + 1e-9) for score, is_new in zip(capped, new, strict=True) if is_new)


def test_a_newcomer_is_as_cheap_as_the_cheapest() -> None:
    """Or cheaper, by its own prior: a dear prior must not keep it from ever being tried."""
    assert welcomed([5.0, 2.0, 9.0, 1.0], [False, False, True, True]) == [5.0, 2.0, 2.0, 1.0]
