from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.digits import all_six_digits, significant, six_digits


@given(st.lists(st.floats(1e-6, 1e15), min_size=1, max_size=20))
def test_published_figures_have_six_significant_digits(values: list[float]) -> None:
    """They are the decimals that printing would give, to within a tie."""
    for value, found in zip(values, significant(np.array(values)).tolist(), strict=True):
        assert float(f"{found:.6g}") == found
        assert found == pytest.approx(value, rel=5.000001e-6)


def test_nothing_stays_nothing() -> None:
    """Zero and what is not known are no numbers of digits."""
    assert significant(np.array([0.0, -12.3456789])).tolist() == [0.0, -12.3457]
    assert np.isnan(significant(np.array([np.nan]))).all()


def test_what_fades_for_days_stays_a_number() -> None:
    """However little is left."""
    values = [1.23456789e-16, 1.23456789e-17, 1e-310, 5e-324]
    assert significant(np.array(values)).tolist() == [1.23457e-16, 1.23456789e-17, 1e-310, 5e-324]


def test_many_figures_are_rounded_as_one_is() -> None:
    """Of all sizes, and what is infinite stays so."""
    values = [0.0, 1.0, 999_999.5, 0.1234565, 1e-12, 123_456_789.0, 2.0 / 3.0, float("inf")]
    assert all_six_digits(np.array(values)) == [six_digits(value) for value in values]
