from __future__ import annotations

import math

import numpy as np
import pytest

from routecast.analytics.capacity.pooled import agreed
from routecast.analytics.capacity.service_law import BEYOND, Law, TargetFit, Work, most_of
from routecast.analytics.capacity.target_fit import drawn

QUEUE, SHARED = Law(5.0, 1.0, 0.0), Law(math.inf, 5.0, 0.2)
ELASTIC = Law(math.inf, 1.0, 0.0)


def known(name: str, laws: dict[Law, float], seen: int = 9) -> TargetFit:
    """A target that leaves these laws possible."""
    weights = np.array(list(laws.values()))
    return TargetFit(name, max(laws, key=laws.__getitem__), Work(1.0, 0.0, 0.0), np.ones(1), 100, seen, np.array(list(laws)), weights / weights.sum())


def middle(fit: TargetFit) -> float:
    """The mean of ln bound as a bound."""
    return math.exp(float(np.average(np.log(most_of(fit.laws)), weights=fit.weights)))


def test_targets_of_a_service_learn_from_each_other_how_they_slow_down() -> None:
    """A target that leaves it open is taken for what the others surely are; those that are sure stay what they are."""
    said = [1.0, 0.99, 0.98, 0.4, 0.01]
    fits = agreed([known(str(i), {QUEUE: 1.0 - sharing, SHARED: sharing}) for i, sharing in enumerate(said)])
    assert [fit.law for fit in fits] == [SHARED, SHARED, SHARED, SHARED, QUEUE]
    assert [float(fit.weights.sum()) for fit in fits] == pytest.approx([1.0] * 5)
    assert agreed([known("a", {QUEUE: 0.6, SHARED: 0.4})])[0].law == QUEUE


def test_where_no_bound_was_seen_one_is_assumed_and_said_so() -> None:
    """Eight at once that never waited: a bound from there to a quarter more, in the law and in what is drawn from it."""
    (fit,) = agreed([known("a", {ELASTIC: 1.0}, seen=8)])
    rng = np.random.default_rng(1)
    assert fit.unseen == pytest.approx(1.0)
    assert not fit.bounded
    assert all(8 <= drawn(fit, rng).law.most <= 8 * BEYOND for _ in range(50))
    assert 8 <= fit.law.most <= 8 * BEYOND


def test_a_bound_that_is_left_open_is_sought_where_those_of_the_others_are() -> None:
    """Slots of four or of twelve, as likely as each other: among targets of twelve it has more than among those of four, by itself something between."""
    both = {Law(4.0, 1.0, 0.0): 0.5, Law(12.0, 1.0, 0.0): 0.5}
    few, alone, many = (
        middle(agreed([known("a", both, 12), *(known(str(i), {Law(c, 1.0, 0.0): 1.0}, 12) for i in range(n))])[0]) for c, n in ((4.0, 6), (4.0, 0), (12.0, 6))
    )
    assert alone == pytest.approx(math.sqrt(4 * 12), rel=0.01)
    assert few < 0.9 * alone
    assert many > 1.1 * alone


def test_a_target_that_shows_its_bound_keeps_it_among_others() -> None:
    """What events say surely is not outvoted."""
    fits = agreed([known("a", {Law(20.0, 1.0, 0.0): 1.0}, 30), *(known(str(i), {Law(3.0, 1.0, 0.0): 1.0}, 6) for i in range(9))])
    assert middle(fits[0]) == pytest.approx(20.0)
