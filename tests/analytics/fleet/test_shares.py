from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from routecast.analytics.fleet.shares import limits_per_s, planned_shares
from routecast.models.config import TargetConfig
from routecast.models.rows import TargetTotals

Floats = NDArray[np.float64]
NONE = np.inf


class _Targets(NamedTuple):
    cost: Floats
    service: Floats
    capacity: Floats
    limit: Floats

    def shares(self, rate: float) -> Floats:
        return planned_shares(rate, *self)

    def full(self, rate: float) -> Floats:
        """Requests per second at which all the slots that are planned with are busy."""
        slots: Floats = np.minimum(self.capacity, 3 + 1.3 * rate * self.service)
        return slots / self.service


def _targets(cost: list[float], service: list[float] | None = None, capacity: list[float] | None = None, limit: list[float] | None = None) -> _Targets:
    n = len(cost)
    return _Targets(np.array(cost), np.array(service or cost), np.array(capacity or [10.0] * n), np.array(limit or [NONE] * n))


def _any_targets(limits: bool = True, most: int = 25) -> st.SearchStrategy[_Targets]:
    limit = st.one_of(st.just(NONE), st.floats(0.01, 100)) if limits else st.just(NONE)
    one = st.tuples(st.floats(0.05, 30), st.floats(0.05, 30), st.floats(1, 300), limit)
    return st.lists(one, min_size=1, max_size=most).map(lambda rows: _Targets(*(np.array(column) for column in zip(*rows, strict=True))))


@given(_any_targets(), st.floats(0.001, 100_000))
def test_shares_are_shares(targets: _Targets, rate: float) -> None:
    """Not negative, and their sum is one, under any load and any limits."""
    shares = targets.shares(rate)
    assert np.isfinite(shares).all()
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("n", [1, 1000])
@pytest.mark.parametrize("rate", [1e-6, 1.0, 1e9])
@pytest.mark.parametrize("capacity", [1.0, 1e6])
@pytest.mark.parametrize("limit", [1e-9, NONE])
def test_extremes_are_finite(n: int, rate: float, capacity: float, limit: float) -> None:
    """One target or a thousand, no traffic or any amount of it, one slot or elastic, no limit or none to speak of."""
    luck = np.random.default_rng(2)
    service = luck.lognormal(0, 1, n)
    shares = planned_shares(rate, service * luck.lognormal(0, 1, n), service, np.full(n, capacity), np.full(n, limit))
    assert np.isfinite(shares).all()
    assert shares.sum() == pytest.approx(1.0)


def test_equals_get_equal_shares() -> None:
    """Four alike: a quarter each, at any load."""
    for rate in (0.1, 5.0, 11.0, 100.0):
        assert _targets([1.0] * 4, capacity=[3.0] * 4).shares(rate) == pytest.approx([0.25] * 4)


def _marginal(targets: _Targets, rate: float, shares: Floats) -> Floats:
    """What one more request costs at each target: derivative of ρ·C·(1 + κ/c·ρ^p/(1 − ρ)), by difference."""
    full = targets.full(rate)
    slots = full * targets.service
    p = np.sqrt(2 * (slots + 1)) - 1

    def total(rho: Floats) -> Floats:
        delayed: Floats = rho * targets.cost * (1 + 0.5 / slots * rho**p / (1 - rho))
        return delayed

    rho, step = shares * rate / full, 1e-6
    return (total(rho + step) - total(rho)) / step


@given(_any_targets(limits=False), st.floats(0.01, 0.95))
def test_one_more_request_costs_the_same_everywhere(targets: _Targets, load: float) -> None:
    """Within the table it is read from, where costs differ up to 600-fold; targets that get nothing are dearer."""
    rate = load * float((targets.capacity / targets.service).sum())
    assume(rate < 0.96 * targets.full(rate).sum())
    shares = targets.shares(rate)
    marginal = _marginal(targets, rate, shares)
    used = shares > 1e-4
    level = float(marginal[used].max())
    assert marginal[used] == pytest.approx(np.full(used.sum(), level), rel=0.06)
    assert (marginal >= 0.94 * level).all()


@given(_any_targets(limits=False), st.floats(0.1, 1000), st.floats(1.01, 5))
def test_worse_targets_never_get_a_larger_share(targets: _Targets, rate: float, by: float) -> None:
    """Dearer, slower (and dearer for it), of less capacity."""
    first = np.arange(len(targets.cost)) == 0
    before = targets.shares(rate)[0]
    dearer = targets._replace(cost=np.where(first, targets.cost * by, targets.cost))
    slower = dearer._replace(service=np.where(first, targets.service * by, targets.service))
    smaller = targets._replace(capacity=np.where(first, np.maximum(1.0, targets.capacity / by), targets.capacity))
    assert [worse.shares(rate)[0] <= before + 2e-4 for worse in (dearer, slower, smaller)] == [True] * 3


def _takes(targets: _Targets, rate: float) -> Floats:
    """Requests per second that each target may get at most."""
    return np.minimum(0.92 * targets.limit, 0.998 * targets.full(rate))


@given(_any_targets(), st.floats(0.1, 1000))
def test_a_rate_limit_caps_the_share_while_others_have_room(targets: _Targets, rate: float) -> None:
    """At most 92 % of the limit, as long as all together can take the traffic."""
    assume(_takes(targets, rate).sum() > 1.001 * rate)
    assert (targets.shares(rate) * rate <= 0.92 * targets.limit * (1 + 1e-6) + 1e-6).all()


def test_a_rate_limit_acts_and_the_rest_goes_elsewhere() -> None:
    """The fast target would get most."""
    limited = _targets([0.5, 1.0, 1.0], capacity=[50.0] * 3, limit=[2.0, NONE, NONE]).shares(10.0)
    assert limited == pytest.approx([0.184, 0.408, 0.408], abs=1e-3)
    assert _targets([0.5, 1.0, 1.0], capacity=[50.0] * 3).shares(10.0)[0] > 0.9


@given(_any_targets(), st.floats(1, 100_000))
def test_where_everyone_is_full_shares_follow_what_each_can_take(targets: _Targets, rate: float) -> None:
    """Nothing is left to plan: the overload is spread in proportion to rate limits and capacity."""
    clipped = min(rate, 0.97 * float(targets.full(rate).sum()))
    takes = _takes(targets, rate)
    assume(takes.sum() < 0.999 * clipped)
    assert targets.shares(rate) == pytest.approx(takes / takes.sum(), rel=1e-3, abs=1e-6)


def test_more_traffic_than_all_can_serve_is_planned_like_a_full_house() -> None:
    """The plan is that of 97 % of what all can serve together, whatever comes."""
    targets = _targets([1.0, 2.0, 4.0], capacity=[4.0, 20.0, 6.0])
    full = float((targets.capacity / targets.service).sum())
    assert targets.shares(10 * full) == pytest.approx(targets.shares(1000 * full), abs=1e-9)


def test_a_dear_target_gets_nothing_at_low_load_and_something_at_high() -> None:
    """It is planned in when the cheap one begins to queue."""
    low, high = (_targets([1.0, 3.0], capacity=[4.0, 12.0]).shares(rate) for rate in (0.5, 6.0))
    assert low[1] == pytest.approx(0.0, abs=1e-6)
    assert high[1] > 0.2


def test_slots_that_traffic_cannot_fill_are_not_planned_with() -> None:
    """At low traffic a thousand slots are worth no more than a handful."""
    assert _targets([1.0, 1.0], capacity=[1000.0, 8.0]).shares(1.0) == pytest.approx([0.5, 0.5], abs=1e-6)
    assert _targets([1.0, 1.0], capacity=[1000.0, 8.0]).shares(100.0)[0] > 0.9


@given(_any_targets(limits=False, most=8), st.permutations(range(8)), st.floats(0.1, 100))
def test_the_order_of_targets_does_not_matter(targets: _Targets, order: list[int], rate: float) -> None:
    """Each gets what it gets."""
    order = [i for i in order if i < len(targets.cost)]
    assert _Targets(*(column[order] for column in targets)).shares(rate) == pytest.approx(targets.shares(rate)[order], abs=1e-6)


def test_limits_that_headers_told_win_over_the_configuration() -> None:
    """The scarcer of requests and tokens counts; where nobody knows a limit there is none."""
    plain = {"provider": "p", "model": "m", "service": "chat"}
    targets = [TargetConfig.model_validate(plain | {"id": name, "requests_per_min": per_min}) for name, per_min in (("a", 600), ("b", 600), ("c", None))]
    totals = [TargetTotals("a", limits=(1, 300, 0)), TargetTotals("b", limits=(1, 0, 6000)), TargetTotals("c")]
    assert limits_per_s(targets, totals, 50.0) == pytest.approx([5.0, 2.0, np.inf])
