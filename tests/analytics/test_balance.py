from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from routecast.analytics.balance import (
    POLICIES,
    Own,
    Table,
    costs_now,
    greedy,
    learned,
    least_connections,
    least_of_draws,
    peak_ewma,
    performance,
    round_robin,
    update_peak_ewma,
)  # fmt: skip

DRAWING = ("performance", "weighted", "random", "configured", "peak_ewma")
DRAWS = 400_000


def _own(n: int, luck: random.Random) -> Own:
    own = Own([luck.randrange(5) for _ in range(n)], [luck.uniform(0.5, 2) for _ in range(n)], [luck.choice([0.5, 1.0, 2.0]) for _ in range(n)])
    own.latency_ms = [luck.choice([0.0, luck.uniform(100, 3000)]) for _ in range(n)]
    return own


def _table(costs: Sequence[float], shares: Sequence[float], *, explore: bool = True, spreads: Sequence[float] = ()) -> Table:
    n = len(costs)
    return Table(range(n), costs, shares, [0.1 + i / n for i in range(n)], [i / n for i in range(n)], explore=explore, spreads=spreads)


def _chances(policy: str, table: Table, own: Own) -> list[float]:
    """Probability of every position, as the policy itself logs it over many draws."""
    costs, luck = costs_now(table, own), random.Random(1)
    logged: dict[int, float] = {}
    for _ in range(20_000):
        position, propensity = POLICIES[policy](table, own, costs, luck)
        assert logged.setdefault(position, propensity) == propensity
    return [logged.get(i, 0.0) for i in range(len(costs))]


@pytest.mark.parametrize(("policy", "explore"), [*((policy, True) for policy in DRAWING), ("performance", False)])
def test_draws_agree_with_the_logged_propensities(policy: str, explore: bool) -> None:
    """400,000 draws, chi-square against the probability logged with each; costs with ties, one target without a share."""
    luck = random.Random(7)
    table = _table([1.0, 1.0, 1.0, 2.0, 0.5, 3.0, 0.5, 1.5], [3, 1, 2, 1, 1, 0.1, 0.0, 1], explore=explore)
    own = _own(8, luck)
    own.terms = [1.0] * 8
    costs, rule = costs_now(table, own), POLICIES[policy]
    seen: Counter[int] = Counter()
    logged: dict[int, float] = {}
    for _ in range(DRAWS):
        position, propensity = rule(table, own, costs, luck)
        seen[position] += 1
        assert logged.setdefault(position, propensity) == propensity
    places = sorted(logged)
    assert sum(logged.values()) == pytest.approx(1.0)
    assert chisquare([seen[i] for i in places], [logged[i] * DRAWS for i in places]).pvalue > 0.001


@given(
    costs=st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0]), min_size=1, max_size=30),
    shares=st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1)), min_size=30, max_size=30),
    explore=st.booleans(),
)
def test_propensities_of_all_candidates_sum_to_one_even_with_ties(costs: list[float], shares: list[float], explore: bool) -> None:
    """Ties of cost are broken by position, alike in the draw and in the closed form; what has no weight is never drawn but explored."""
    shares = shares[: len(costs)]
    table = _table(costs, shares, explore=explore)
    chances = [least_of_draws(table, costs, i) for i in range(len(costs))]
    assert sum(chances) == pytest.approx(1.0)
    assert all(0 <= chance <= 1 for chance in chances)
    if sum(shares) > 0 and len(costs) > 1:
        weightless = [chance for chance, share in zip(chances, shares, strict=True) if share == 0]
        assert weightless == pytest.approx([0.01 / len(costs) if explore else 0.0] * len(weightless), abs=1e-12)


@given(
    costs=st.lists(st.sampled_from([0.5, 1.0, 1.5]), min_size=2, max_size=5),
    shares=st.lists(st.floats(0.01, 1), min_size=5, max_size=5),
)
def test_the_closed_form_is_that_of_all_outcomes_of_four_draws(costs: list[float], shares: list[float]) -> None:
    """Every quadruple of draws, its probability, and the pair (cost, position) that wins it."""
    table = _table(costs, shares[: len(costs)], explore=False)
    chances = [0.0] * len(costs)
    for drawn in itertools.product(range(len(costs)), repeat=4):
        chances[min(drawn, key=lambda i: (costs[i], i))] += math.prod(table.weights[i] for i in drawn)
    assert [least_of_draws(table, costs, i) for i in range(len(costs))] == pytest.approx(chances, abs=1e-12)


def test_a_propensity_never_exceeds_one() -> None:
    """Sums of weights may, by rounding; a log would refuse the event."""
    luck = random.Random(1)
    for _ in range(3000):
        shares = [luck.random() for _ in range(luck.randrange(2, 6))] + [1e-9] * luck.randrange(0, 3)
        costs = [1.0] * (len(shares) - 1) + [2.0]
        table = _table(costs, shares, explore=False)
        assert max(least_of_draws(table, costs, i) for i in range(len(costs))) <= 1.0


@given(seed=st.integers(0, 10_000))
def test_no_propensity_of_the_default_policy_is_below_0_0004_at_twenty_targets(seed: int) -> None:
    """Logs stay usable for off-policy evaluation whatever the costs."""
    luck = random.Random(seed)
    costs = [luck.lognormvariate(0, 2) for _ in range(20)]
    table = _table(costs, [luck.random() ** 4 + 0.001 for _ in costs])
    assert min(least_of_draws(table, costs, i) for i in range(20)) >= 0.0004


def test_an_urgent_class_does_not_explore() -> None:
    """Its propensities follow from the four draws alone; the worst of many candidates is practically never drawn."""
    costs = [1.0] * 19 + [50.0]
    assert least_of_draws(_table(costs, [1] * 20, explore=False), costs, 19) < 0.00001
    assert least_of_draws(_table(costs, [1] * 20), costs, 19) > 0.0005


@pytest.mark.parametrize("policy", ["least_connections", "round_robin", "greedy"])
def test_policies_that_do_not_draw_log_one(policy: str) -> None:
    """Given what the router knows, their choice was certain."""
    luck = random.Random(3)
    table, own = _table([1.0, 2.0, 3.0], [1, 1, 1]), _own(3, luck)
    assert {POLICIES[policy](table, own, costs_now(table, own), luck)[1] for _ in range(20)} == {1.0}


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_one_candidate_is_certain(policy: str) -> None:
    """Whatever the rule."""
    own = Own([0], [1.0], [1.0])
    table = _table([2.0], [1.0])
    assert POLICIES[policy](table, own, costs_now(table, own), random.Random(1)) == (0, 1.0)


def test_weights_by_learned_propensities_are_unbiased() -> None:
    """Each target, weighted by the inverse of what its draws were logged with, comes to one decision in one: given the sampled costs the law is exact."""
    table = _table([1.0, 1.1, 2.0, 0.9], [3, 1, 1, 2], spreads=[0.5, 0.1, 1.0, 0.0])
    own, luck = _own(4, random.Random(3)), random.Random(5)
    weights = [0.0] * 4
    for _ in range(DRAWS):
        position, propensity = learned(table, own, costs_now(table, own), luck)
        weights[position] += 1.0 / propensity
    assert [weight / DRAWS for weight in weights] == pytest.approx([1.0] * 4, abs=0.03)


def test_learned_tries_what_is_little_known_more_often_than_its_mean_deserves() -> None:
    """Two targets look equally dear; the one of which less is known is drawn more often than when both were certain."""

    def share(spread: float) -> float:
        table, own, luck = _table([1.0, 1.5, 1.0], [1, 1, 1], spreads=[0.02, spread, 0.02]), Own([0] * 3, [1.0] * 3, [1.0] * 3), random.Random(2)
        return sum(learned(table, own, costs_now(table, own), luck)[0] == 1 for _ in range(20_000)) / 20_000

    assert share(0.8) > share(0.02) + 0.1


def test_learned_makes_no_experiments_with_urgent_requests() -> None:
    """Where there is no exploration it decides as `performance` does, draw for draw, and leaves the costs as they are."""
    table = _table([1.0, 2.0, 0.5], [1, 1, 1], explore=False, spreads=[1.0] * 3)
    own = _own(3, random.Random(1))
    costs = costs_now(table, own)
    for seed in range(200):
        assert learned(table, own, costs, random.Random(seed)) == performance(table, own, costs, random.Random(seed))
    assert costs == costs_now(table, own)


def test_decisions_of_learned_keep_the_costs_they_were_made_by() -> None:
    """The sampled costs replace the expected ones, so that the draw can be explained and its propensity computed again."""
    table = _table([1.0, 2.0, 0.5], [1, 1, 1], spreads=[0.7] * 3)
    own = _own(3, random.Random(1))
    costs = costs_now(table, own)
    position, propensity = learned(table, own, costs, random.Random(9))
    assert costs != costs_now(table, own)
    assert propensity == least_of_draws(table, costs, position)


def test_least_connections_goes_by_open_requests_per_weight() -> None:
    """Twice the weight carries twice the requests."""
    own = Own([4, 3, 5], [1.0] * 3, [1.0, 0.5, 2.0])
    assert least_connections(_table([1.0] * 3, [1] * 3), own, [1.0] * 3, random.Random(1))[0] == 2


def test_round_robin_is_smooth_and_weighted() -> None:
    """Weights 2, 1, 1: in any four turns the heavy one has two, the others one each."""
    own = Own([0] * 3, [1.0] * 3, [2.0, 1.0, 1.0])
    table = _table([1.0] * 3, [1] * 3)
    turns = [round_robin(table, own, [1.0] * 3, random.Random(1))[0] for _ in range(40)]
    assert Counter(turns) == {0: 20, 1: 10, 2: 10}
    assert all(Counter(turns[i : i + 4]) == {0: 2, 1: 1, 2: 1} for i in range(0, 40, 4))


def test_greedy_takes_the_best_factors() -> None:
    """The same for every router: that is its fault."""
    assert greedy(_table([9.0, 1.0, 5.0], [1] * 3), Own([0] * 3, [1.0] * 3, [1.0] * 3), [9.0, 1.0, 5.0], random.Random(1))[0] == 2


def test_peak_ewma_does_not_flood_a_target_it_never_measured() -> None:
    """One without measurements counts as average, so its own requests make it unattractive."""
    own = Own([30, 0, 0], [1.0] * 3, [1.0] * 3)
    own.latency_ms = [0.0, 500.0, 700.0]
    table, luck = _table([1.0] * 3, [1] * 3), random.Random(1)
    assert all(peak_ewma(table, own, [1.0] * 3, luck)[0] != 0 for _ in range(200))


def test_a_peak_is_believed_at_once_and_forgotten_slowly() -> None:
    """Up in one step, down with a time constant of ten seconds."""
    assert update_peak_ewma(100.0, 900.0, 1.0) == 900.0
    assert update_peak_ewma(900.0, 100.0, 10.0) == pytest.approx(100 + 800 / 2.718281828, rel=1e-6)
    assert update_peak_ewma(900.0, 100.0, -3600.0) == 900.0, "a clock that was set back"


def test_weights_of_zero_are_never_drawn() -> None:
    """`configured` leaves out what the operator took out of rotation."""
    own = Own([0] * 3, [1.0] * 3, [1.0, 0.0, 1.0])
    assert _chances("configured", _table([1.0] * 3, [1] * 3), own) == [0.5, 0.0, 0.5]
