from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.evaluation.quantile import weighted_quantile
from routecast.analytics.interval import quantile_interval


@given(counts=st.lists(st.integers(0, 5), min_size=5, max_size=40).filter(any), q=st.sampled_from([0.25, 0.5, 0.9]))
def test_a_weight_is_a_number_of_copies(counts: list[int], q: float) -> None:
    """The weighted quantile is that of the rows, each as often as it weighs."""
    values = np.random.default_rng(1).permutation(np.arange(float(len(counts))))
    found = weighted_quantile(values, np.array(counts, float), q, np.arange(len(counts)))
    copies = np.sort(np.repeat(values, counts))
    assert found.value == pytest.approx(copies[max(0, int(np.ceil(q * len(copies) - 1e-9)) - 1)])


def test_without_weights_the_interval_is_near_that_of_order_statistics() -> None:
    """Within a few ranks of the exact one."""
    values = np.random.default_rng(2).permutation(np.arange(2000.0))
    found = weighted_quantile(values, np.ones(2000), 0.95, np.arange(2000))
    exact = quantile_interval(2000, 0.95)
    assert exact is not None
    assert (found.low, found.high) == pytest.approx((exact[0] - 1, exact[1] - 1), abs=3)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """400 samples of 1,000 with weights that have nothing to do with the values: 95 % ± 3 %."""
    rng = np.random.default_rng(3)
    truth = np.exp(1.6448536269514722)
    inside = 0
    for _ in range(400):
        found = weighted_quantile(rng.lognormal(0, 1, 1000), rng.exponential(1.0, 1000), 0.95, np.arange(1000))
        inside += found.low <= truth <= found.high
    assert 368 <= inside <= 392
