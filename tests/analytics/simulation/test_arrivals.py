"""Arrivals and demands: rates, order, spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.simulation.arrivals import Traffic, lognormal_demand, poisson, superposed


def test_poisson_follows_its_pieces() -> None:
    """Each piece gets its rate, arrivals rise, and the pauses vary as exponential ones do."""
    at_ms = poisson(np.random.default_rng(1), [(0.0, 100.0, 200.0), (100.0, 200.0, 50.0)])
    first, second = at_ms[at_ms < 100_000.0], at_ms[at_ms >= 100_000.0]
    assert len(first) == pytest.approx(20_000, abs=4 * 20_000**0.5)
    assert len(second) == pytest.approx(5_000, abs=4 * 5_000**0.5)
    pauses_ms = np.diff(first)
    assert (pauses_ms >= 0.0).all()
    assert pauses_ms.std() / pauses_ms.mean() == pytest.approx(1.0, abs=0.03)


def test_demands_have_mean_one_and_the_given_spread() -> None:
    """Demands scale a target's mean, so their own is one; their logarithm has the asked standard deviation."""
    demand = lognormal_demand(np.random.default_rng(2), 400_000, 0.84)
    assert demand.mean() == pytest.approx(1.0, rel=0.01)
    assert np.log(demand).std() == pytest.approx(0.84, rel=0.01)


@given(st.floats(0.3, 9.0), st.integers(0, 100))
def test_superposed_copies_reach_the_rate(copies: float, seed: int) -> None:
    """Any number of copies, whole or not, gives the asked rate over any time, in order, within the time."""
    offsets_s = np.sort(np.random.default_rng(7).uniform(0.0, 100.0, 500))
    traffic = Traffic(offsets_s - offsets_s[0], np.ones(500), compression=2.0)
    rate_per_s = copies * 500 / traffic.span_s
    at_ms, demand = superposed(np.random.default_rng(seed), traffic, rate_per_s, 220.0)
    assert len(demand) == len(at_ms)
    assert len(at_ms) == pytest.approx(rate_per_s * 220.0, rel=0.12)
    assert (np.diff(at_ms) >= 0.0).all()
    assert at_ms[0] >= 0.0
    assert at_ms[-1] < 220_000.0


def test_recorded_bursts_survive() -> None:
    """One copy at its own rate keeps the recorded pauses, divided by the compression."""
    offsets_s = np.cumsum(np.tile([0.0, 0.5, 3.5], 40))
    traffic = Traffic(offsets_s, np.ones(120), compression=4.0)
    at_ms, _ = superposed(np.random.default_rng(1), traffic, 120 / traffic.span_s, traffic.span_s)
    assert set(np.diff(at_ms).round(6).tolist()) <= {0.0, 125.0, 875.0, round(traffic.span_s * 1000.0 - offsets_s[-1] * 250.0, 6)}


def test_work_follows_the_tokens() -> None:
    """Two thirds of the work of a recorded request is proportional to its output tokens, and the mean of all is one."""
    offsets_s = np.arange(20_000.0)
    tokens = np.where(np.arange(20_000) % 2 == 0, 50.0, 350.0)
    traffic = Traffic(offsets_s, tokens)
    # At one arrival a second, request k comes at k seconds minus the shift: parity tells which tokens it had.
    _, demand = superposed(np.random.default_rng(3), traffic, 1.0, 20_000.0)
    means = sorted((float(demand[::2].mean()), float(demand[1::2].mean())))
    assert demand.mean() == pytest.approx(1.0, rel=0.02)
    assert means[0] == pytest.approx(0.35 + 0.65 * 0.25, rel=0.03)
    assert means[1] == pytest.approx(0.35 + 0.65 * 1.75, rel=0.03)


def test_copies_are_shifted_and_keep_their_tokens() -> None:
    """Copies do not arrive in step, and each request has the work of its own tokens wherever the copies interleave."""
    begins_s = np.arange(0.0, 20_000.0, 10.0)
    early = begins_s < 10_000.0
    offsets_s = np.sort(np.concatenate([begins_s, begins_s + np.where(early, 0.1, 0.2)]))
    traffic = Traffic(offsets_s, np.repeat(np.where(early, 50.0, 350.0), 2))
    at_ms, demand = superposed(np.random.default_rng(4), traffic, 3.0 * len(offsets_s) / traffic.span_s, 20_000.0)
    for pause_ms, relative_tokens in ((100.0, 0.25), (200.0, 1.75)):
        of_half = np.flatnonzero(np.abs(np.diff(at_ms) - pause_ms) < 1e-3)
        assert len(of_half) == pytest.approx(1.5 * len(begins_s), rel=0.01)
        assert demand[of_half].mean() == pytest.approx(0.35 + 0.65 * relative_tokens, rel=0.03)
