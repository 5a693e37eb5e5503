from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as students

from routecast.analytics.changes.student import two_sided_p, two_sided_quantile


@pytest.mark.parametrize("freedom", [3.0, 7.5, 23.7, 58.0])
def test_probabilities_are_those_of_students_distribution(freedom: float) -> None:
    """Within 0.003 at three degrees of freedom or more, fractions of degrees included."""
    t = np.linspace(0.0, 6.0, 61)
    assert two_sided_p(t, np.full(61, freedom)) == pytest.approx(2.0 * students.sf(t, freedom), abs=0.003)


def test_the_quantile_is_what_the_probability_turns_back() -> None:
    """Any number of degrees of freedom."""
    freedom = np.array([1.0, 5.0, 40.0])
    assert two_sided_p(two_sided_quantile(0.04, freedom), freedom) == pytest.approx(np.full(3, 0.04))
