from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from routecast.analytics.changes.episodes import Episode
from routecast.analytics.changes.throughput import Throughput

T = 1_700_000_000_000.0
HOUR_S = 3600


class Arrivals:
    """Of a service, looked at every ten seconds."""

    def __init__(self, seed: int = 1) -> None:
        self.throughput, self.luck, self.at_ms = Throughput(), np.random.default_rng(seed), T

    def run(self, seconds: int, per_s: Callable[[float], float]) -> list[Episode]:
        """What is said at this pace."""
        said: list[Episode] = []
        for _ in range(seconds // 10):
            self.at_ms += 10_000.0
            said += self.throughput.update(self.at_ms, 10.0, float(self.luck.poisson(10.0 * per_s(self.at_ms))))
        return said


def _bursts(per_s: float, cv: float, seed: int = 2) -> Callable[[float], float]:
    """A pace that is another one every minute, by a gamma distribution of this coefficient of variation."""
    pace = np.random.default_rng(seed).gamma(1.0 / cv**2, cv**2, 40_000)
    return lambda at_ms: per_s * float(pace[int((at_ms - T) // 60_000)])


@pytest.mark.parametrize("cv", [0.3, 1.0, 2.5])
def test_bursts_are_usual(cv: float) -> None:
    """Three days of minutes that differ by factors, at CV 2.5 from nothing to twenty times the mean: nothing is said."""
    assert Arrivals().run(3 * 24 * HOUR_S, _bursts(2.0, cv)) == []


@pytest.mark.parametrize(("factor", "within_min"), [(3.0, 15), (0.2, 15)])
def test_a_lasting_surge_or_slump_is_one_change(factor: float, within_min: float) -> None:
    """Said once with both paces, and over when the usual one is back."""
    arrivals = Arrivals()
    assert arrivals.run(16 * HOUR_S, _bursts(2.0, 0.5)) == []
    began_ms = arrivals.at_ms
    usual = _bursts(2.0, 0.5)
    (first, *more) = arrivals.run(2 * HOUR_S, lambda at_ms: factor * usual(at_ms))
    assert first.detected_ms - began_ms <= within_min * 60_000.0
    assert math.exp(first.before) == pytest.approx(120.0, rel=0.3)
    assert math.exp((more or [first])[-1].after - first.before) == pytest.approx(factor, rel=0.4)
    *_, last = arrivals.run(2 * HOUR_S, usual)
    assert (last.number, last.ended_by) == (1, "returned")


def test_nothing_is_said_in_the_first_half_day() -> None:
    """Nobody knows yet what is usual."""
    arrivals = Arrivals()
    assert arrivals.run(5 * HOUR_S, lambda _: 2.0) == []
    assert arrivals.run(4 * HOUR_S, lambda _: 20.0) == []
