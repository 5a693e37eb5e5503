from __future__ import annotations

import random

import numpy as np
import pytest

from routecast.analytics.breaker import MultiCusum
from routecast.analytics.health import Health, Outcomes
from routecast.analytics.horizon import Evidence, Horizon

USUAL = np.array([0.01])


def _until_trip(fail_ratio: float, seed: int, usual: float = 0.0) -> int:
    """Requests until the breaker trips, after 500 good ones."""
    luck, cusum = random.Random(seed), MultiCusum(1)
    for _ in range(500):
        cusum.update(np.ones(1), np.zeros(1), np.array([usual]))
    for n in range(1, 5000):
        failed = float(luck.random() < fail_ratio)
        if cusum.update(np.array([1.0 - failed]), np.array([failed]), np.array([usual]))[0]:
            return n
    return 5000


@pytest.mark.parametrize(("fail_ratio", "most"), [(1.0, 4), (0.3, 25)])
def test_the_breaker_trips_soon(fail_ratio: float, most: float) -> None:
    """Mean requests until it trips, over a hundred outages."""
    assert np.mean([_until_trip(fail_ratio, seed) for seed in range(100)]) <= most


def test_one_percent_of_failures_never_trips() -> None:
    """A hundred thousand requests at the usual ratio."""
    luck, cusum = random.Random(5), MultiCusum(1)
    failures = [float(luck.random() < 0.01) for _ in range(100_000)]
    assert not any(cusum.update(np.array([1.0 - f]), np.array([f]), USUAL)[0] for f in failures)


class _Target:
    """One target's health, fed tick by tick."""

    def __init__(self) -> None:
        self.health = Health(0.8, 30_000.0, 0.995)
        self.health.grow(1)
        self.minute = Horizon(1, tau_s=60.0)
        self.now_ms = 0.0
        self.probed = 0

    def tick(self, ok: int, failed: int, seconds: float = 1.0) -> str:
        self.now_ms += seconds * 1000
        zero = np.zeros(1)
        self.minute.update(seconds, Evidence(np.array([float(ok)]), np.array([float(failed)]), zero, zero, zero, zero, zero))
        probed = self.health.update(self.now_ms, Outcomes(np.array([float(ok)]), np.array([float(failed)])), self.minute, np.zeros(1))
        self.probed += len(probed)
        self.minute.forget(probed)
        return self.health.states[0]


def test_a_target_is_unknown_until_it_was_used() -> None:
    """Then it is ok."""
    target = _Target()
    assert [target.tick(0, 0), target.tick(3, 0)] == ["unknown", "ok"]


def test_an_outage_opens_probes_and_closes_with_a_ramp() -> None:
    """Open 5 s, a tenth of the share while it is probed, seven clean successes, then a ramp of 30 s."""
    target = _Target()
    for _ in range(30):
        target.tick(10, 0)
    assert target.tick(0, 5) == "open"
    assert [target.tick(0, 0) for _ in range(5)] == ["open"] * 4 + ["recovering"]
    assert (target.probed, target.health.ramp(target.now_ms)[0]) == (1, pytest.approx(0.1))
    assert [target.tick(6, 0), target.tick(1, 0)] == ["recovering", "ok"]
    assert target.health.ramp(target.now_ms)[0] == pytest.approx(0.1)
    assert target.health.ramp(target.now_ms + 15_000)[0] == pytest.approx(0.55)
    assert target.health.ramp(target.now_ms + 30_000)[0] == 1.0


def test_each_failed_probe_doubles_the_wait_up_to_the_longest() -> None:
    """5, 10, 20, 30, 30 seconds."""
    target = _Target()
    for _ in range(10):
        target.tick(10, 0)
    target.tick(0, 20)
    waits: list[int] = []
    for _ in range(5):
        waited = 0
        while target.tick(0, 0) == "open":
            waited += 1
        waits.append(waited + 1)
        assert target.tick(0, 3) == "open"
    assert waits == [5, 10, 20, 30, 30]


def test_a_slowly_failing_target_opens_below_the_failover_threshold() -> None:
    """The breaker's hypotheses apart, a success ratio that is surely below the threshold is enough."""
    target = _Target()
    states = [target.tick(7, 3) for _ in range(40)]
    assert "open" in states


def test_a_few_failures_only_degrade() -> None:
    """Below the objective, above the threshold."""
    target = _Target()
    states = {target.tick(49, 1) for _ in range(60)}
    assert "open" not in states
    assert "degraded" in states
