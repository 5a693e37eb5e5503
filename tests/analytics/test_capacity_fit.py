from __future__ import annotations

import numpy as np
import pytest

from routecast.analytics.capacity_fit import PRIOR, CapacityFit, LatencyGroups, joined
from routecast.analytics.service_time import ServiceTime, pooled_variance

UNLIMITED = np.array([np.inf])


def _groups(n: int, slots: float, service_s: float, seed: int = 1, sigma: float = 0.5, target: int = 0) -> LatencyGroups:
    """Requests that met between 0 and 3·slots others (60 where nothing queues) and took S·max(1, (n₀+1)/c) times chance."""
    luck = np.random.default_rng(seed)
    met = luck.integers(0, int(3 * slots) if np.isfinite(slots) else 60, n).astype(float)
    ln = np.log(service_s) - sigma**2 / 2 + np.log(np.maximum(1.0, (met + 1) / slots)) + luck.normal(0, sigma, n)
    return LatencyGroups(np.full(n, target), np.ones(n), ln, ln**2, met)


@pytest.mark.parametrize("slots", [1.0, 4.0, 12.0, 40.0])
def test_the_fit_finds_the_slots(slots: float) -> None:
    """Within one candidate of the truth after two thousand requests."""
    fit = CapacityFit(1)
    fit.update(1.0, _groups(2000, slots, 1.0))
    assert fit.fit(UNLIMITED).capacity[0] == pytest.approx(slots, rel=0.25)


def test_latency_that_does_not_depend_on_load_is_elastic() -> None:
    """Capacity then is a fifth above what was seen in flight."""
    fit = CapacityFit(1)
    groups = _groups(3000, np.inf, 1.0)
    fit.update(1.0, groups)
    assert fit.fit(UNLIMITED).capacity[0] == pytest.approx(1.2 * (groups.in_flight.max() + 1))


def test_too_few_requests_keep_the_prior() -> None:
    """Eight are needed."""
    fit = CapacityFit(1)
    fit.update(1.0, _groups(7, 12.0, 1.0))
    assert fit.fit(UNLIMITED).capacity[0] == PRIOR


def test_a_configured_capacity_caps_the_fit() -> None:
    """What the operator knows wins where it is less."""
    fit = CapacityFit(1)
    fit.update(1.0, _groups(2000, 40.0, 1.0))
    assert fit.fit(np.array([10.0])).capacity[0] == 10.0


def test_groups_may_come_in_any_order_and_any_number_of_parts() -> None:
    """Up to rounding of sums."""
    parts = [_groups(300, 6.0, 1.0, seed=seed) for seed in range(5)]
    one, other = CapacityFit(1), CapacityFit(1)
    one.update(1.0, joined(parts))
    other.update(1.0, joined(parts[::-1]))
    assert one.fit(UNLIMITED).capacity == other.fit(UNLIMITED).capacity
    assert one.fit(UNLIMITED).variance == pytest.approx(other.fit(UNLIMITED).variance)


def _estimate(times: ServiceTime, fit: CapacityFit, learning_rate: float = 0.1) -> float:
    found = fit.fit(UNLIMITED)
    return float(times.estimate(found, pooled_variance(found), learning_rate, np.array([0]))[0])


def test_the_service_time_is_freed_of_load() -> None:
    """Two seconds of work are two seconds, although most requests waited."""
    fit, times = CapacityFit(1), ServiceTime(1)
    groups = _groups(3000, 8.0, 2.0)
    for part in (fit, times):
        part.update(1.0, groups)
    assert _estimate(times, fit) == pytest.approx(2.0, rel=0.08)


def test_a_fivefold_slow_down_restarts_the_estimate_within_few_requests() -> None:
    """Six slow answers after a long good time are believed."""
    fit, times = CapacityFit(1), ServiceTime(1)
    for part in (fit, times):
        part.update(1.0, _groups(3000, 8.0, 1.0))
    slow = _groups(6, 8.0, 5.0, seed=9)
    for part in (fit, times):
        part.update(90.0, slow)
    found = fit.fit(UNLIMITED)
    assert list(times.restart(found, np.sqrt(found.variance), 1.0)) == [0]
    assert _estimate(times, fit, 1.0) > 3.0


def test_noise_restarts_nothing() -> None:
    """Two hundred ordinary ticks, no restart."""
    fit, times = CapacityFit(1), ServiceTime(1)
    restarts = 0
    for seed in range(200):
        groups = _groups(8, 8.0, 1.0, seed=seed)
        for part in (fit, times):
            part.update(1.0, groups)
        found = fit.fit(UNLIMITED)
        restarts += len(times.restart(found, np.sqrt(np.maximum(0.05, found.variance)), 1.0)) if seed > 20 else 0
    assert restarts == 0


def test_a_newcomer_takes_its_time_from_the_same_model_elsewhere() -> None:
    """Else from the median of the service."""
    fit, times = CapacityFit(4), ServiceTime(4)
    for target, service_s in ((0, 1.0), (1, 4.0), (2, 4.0)):
        for part in (fit, times):
            part.update(0.0, _groups(2000, 8.0, service_s, target=target))
    found = fit.fit(np.full(4, np.inf))
    variance = pooled_variance(found)
    like_first = times.estimate(found, variance, 0.1, np.array([0, 1, 2, 0]))[3]
    unknown = times.estimate(found, variance, 0.1, np.array([0, 1, 2, 3]))[3]
    assert (like_first, unknown) == (pytest.approx(1.0, rel=0.1), pytest.approx(4.0, rel=0.15))
