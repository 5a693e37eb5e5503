from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.fleet.capacity_fit import CANDIDATES, ELASTIC, PRIOR, CapacityFit, LatencyGroups, joined

UNLIMITED = np.array([np.inf])


def _groups(n: int, slots: float, service_s: float = 1.0, seed: int = 1, sigma: float = 0.5, target: int = 0, most: float | None = None) -> LatencyGroups:
    """Requests that met between 0 and `most` others (3·slots; 60 where nothing queues) and took S·max(1, (n₀+1)/c) times chance."""
    luck = np.random.default_rng(seed)
    met = luck.integers(0, int(most or (3 * slots if np.isfinite(slots) else 60)), n).astype(float)
    ln = np.log(service_s) - sigma**2 / 2 + np.log(np.maximum(1.0, (met + 1) / slots)) + luck.normal(0, sigma, n)
    return LatencyGroups(np.full(n, target), np.ones(n), ln, ln**2, met)


def _fitted(*updates: tuple[float, LatencyGroups], configured: float = np.inf) -> float:
    fit = CapacityFit(1)
    for elapsed_s, groups in updates:
        fit.update(elapsed_s, groups)
    return float(fit.fit(np.array([configured])).capacity[0])


@pytest.mark.parametrize("sigma", [0.3, 0.84])
@pytest.mark.parametrize("slots", [1.0, 4.0, 12.0, 40.0, 200.0])
def test_the_fit_finds_the_slots(slots: float, sigma: float) -> None:
    """Within a quarter of the truth after three thousand requests, at a third of the load and at three times the slots."""
    assert _fitted((1.0, _groups(3000, slots, sigma=sigma))) == pytest.approx(slots, rel=0.25)


def test_latency_that_does_not_depend_on_load_is_elastic() -> None:
    """Capacity then is a fifth above what was seen in flight, three at least."""
    groups = _groups(3000, np.inf)
    assert _fitted((1.0, groups)) == pytest.approx(1.2 * (groups.in_flight.max() + 1))
    assert _fitted((1.0, _groups(100, np.inf, most=1))) == 3.0


def test_slots_that_were_never_filled_look_elastic() -> None:
    """Twelve slots of which five were ever used: all that is known is that five do not queue."""
    assert _fitted((1.0, _groups(3000, 12.0, most=5))) == pytest.approx(6.0)


def test_the_largest_in_flight_fades_in_two_minutes() -> None:
    """What an elastic target once bore is no promise for ever."""
    groups, nothing = _groups(3000, np.inf), joined(())
    assert _fitted((1.0, groups), (120.0, nothing)) == pytest.approx(1.2 * (groups.in_flight.max() + 1) / math.e)


def test_a_few_requests_in_a_burst_raise_what_an_elastic_target_bears() -> None:
    """And a quiet time does not lower it at once."""
    burst = LatencyGroups(np.zeros(1, int), np.ones(1), np.zeros(1), np.zeros(1), np.array([99.0]))
    assert _fitted((1.0, _groups(3000, np.inf)), (1.0, burst), (1.0, _groups(100, np.inf, most=2))) == pytest.approx(120 * math.exp(-1 / 120))


def test_too_few_requests_keep_the_prior() -> None:
    """Eight are needed, and they fade."""
    assert _fitted((1.0, _groups(7, 12.0))) == PRIOR
    assert _fitted((1.0, _groups(400, 12.0)), (1500.0, joined(()))) == PRIOR
    found = CapacityFit(1).fit(UNLIMITED)
    assert (found.capacity[0], found.variance[0], found.n[0]) == (PRIOR, 0.0, 0.0)


@pytest.mark.parametrize("slots", [40.0, np.inf])
def test_a_configured_capacity_caps_the_fit(slots: float) -> None:
    """What the operator knows wins where it is less, and only there."""
    groups = _groups(2000, slots)
    assert _fitted((1.0, groups), configured=10.0) == 10.0
    assert _fitted((1.0, groups), configured=1000.0) == _fitted((1.0, groups))
    assert _fitted(configured=2.0) == 2.0


def test_a_change_of_capacity_is_noticed() -> None:
    """Of twelve slots four are left: after a few minutes four are found."""
    before = [(1.0, _groups(30, 12.0, seed=seed, most=30)) for seed in range(300)]
    after = [(1.0, _groups(30, 4.0, seed=seed, most=30)) for seed in range(600)]
    assert _fitted(*before) == pytest.approx(12.0, rel=0.25)
    assert _fitted(*before, *after) == pytest.approx(4.0, rel=0.25)


def test_the_residual_variance_is_that_of_the_noise() -> None:
    """Freed of load, what is left is chance."""
    fit = CapacityFit(1)
    fit.update(1.0, _groups(5000, 12.0, sigma=0.6))
    assert fit.fit(UNLIMITED).variance[0] == pytest.approx(0.36, rel=0.06)


@given(order=st.permutations(range(6)))
def test_groups_may_come_in_any_order_and_any_number_of_parts(order: list[int]) -> None:
    """Within a tick, up to rounding of sums; a group is the sum of its requests."""
    parts = [_groups(50 * (i + 1), 6.0, seed=i, target=i % 2) for i in range(6)]
    one, other = CapacityFit(2), CapacityFit(2)
    one.update(1.0, joined(parts))
    other.update(1.0, joined([parts[i] for i in order]))
    found, again = one.fit(np.full(2, np.inf)), other.fit(np.full(2, np.inf))
    assert list(found.capacity) == list(again.capacity)
    assert found.variance == pytest.approx(again.variance)


def test_requests_of_one_slot_may_be_summed() -> None:
    """A row holds (n, Σ ln L, Σ ln² L) of those that met the same load."""
    single = _groups(600, 6.0)
    loads, place = np.unique(single.in_flight, return_inverse=True)
    sums = [np.bincount(place, weights=figures).astype(float) for figures in (single.n, single.sum_ln, single.sum_ln2)]
    one, other = CapacityFit(1), CapacityFit(1)
    one.update(1.0, single)
    other.update(1.0, LatencyGroups(np.zeros(len(loads), int), sums[0], sums[1], sums[2], loads))
    assert one.fit(UNLIMITED).capacity == other.fit(UNLIMITED).capacity
    assert one.fit(UNLIMITED).variance == pytest.approx(other.fit(UNLIMITED).variance)


def test_targets_are_fitted_apart_and_may_be_added() -> None:
    """Four slots, none seen, elastic."""
    fit = CapacityFit()
    fit.grow(1)
    fit.update(1.0, _groups(3000, 4.0))
    fit.grow(3)
    fit.update(1.0, _groups(3000, np.inf, target=2))
    found = fit.fit(np.full(3, np.inf))
    assert found.capacity[:2] == pytest.approx([4.0, PRIOR])
    assert (CANDIDATES[found.choice[1]], found.choice[2]) == (PRIOR, ELASTIC)
