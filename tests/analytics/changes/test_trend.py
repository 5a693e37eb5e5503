from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from routecast.analytics.changes.trend import LEAST_WINDOWS, Fit, fit

Floats = NDArray[np.float64]

RISING, FALLING, STABLE, UNKNOWN = 1, -1, 0, 2


def series(n: int, drift: float, noise: float, correlation: float, *, windows: int = 60, seed: int = 1) -> Floats:
    """[windows × n] logarithms that drift by this ratio, with AR(1) noise of this standard deviation."""
    rng = np.random.default_rng(seed)
    errors = rng.normal(size=(windows, n))
    for before, row in pairwise(errors):
        row[:] = correlation * before + np.sqrt(1.0 - correlation**2) * row
    return np.linspace(0.0, np.log1p(drift), windows)[:, None] + noise * errors


def fitted(values: Floats) -> Fit:
    """Every window weighs the same."""
    return fit(values, np.ones_like(values))


@pytest.mark.parametrize(("drift", "direction"), [(0.3, RISING), (-0.3, FALLING)])
def test_a_drift_of_thirty_percent_is_found_in_noise(drift: float, direction: int) -> None:
    """At 8 % noise whose neighbours resemble each other, 97 of 100 series are right."""
    assert np.mean(fitted(series(600, drift, 0.08, 0.4)).direction == direction) >= 0.97


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.6])
def test_noise_alone_is_seldom_called_a_trend(correlation: float) -> None:
    """In at most 5 of 100 series, and 2 more for chance, however much neighbours resemble each other."""
    found = fitted(series(1000, 0.0, 0.08, correlation))
    assert np.mean(np.abs(found.direction) == 1) <= 0.07


def test_the_standard_error_is_that_of_the_change() -> None:
    """Over many series, it is as far off as it says; plain least squares would say two thirds of that."""
    found = fitted(series(2000, 0.1, 0.08, 0.4))
    assert np.median(found.error) == pytest.approx(np.std(found.change), rel=0.1)


def test_only_what_surely_stays_is_stable() -> None:
    """Little noise shows that nothing happens; more of it shows nothing."""
    assert np.mean(fitted(series(200, 0.0, 0.01, 0.2)).direction == STABLE) > 0.95
    assert np.mean(fitted(series(200, 0.0, 0.2, 0.2)).direction == UNKNOWN) > 0.9


def test_a_certain_change_that_does_not_matter_is_none() -> None:
    """3 % in an hour, to the digit."""
    assert fitted(series(1, 0.03, 0.0, 0.0)).direction[0] == STABLE


def test_few_windows_have_no_trend() -> None:
    """However clear they look."""
    weights = np.ones((60, 1))
    weights[: 60 - LEAST_WINDOWS + 1] = 0.0
    assert fit(series(1, 9.0, 0.0, 0.0), weights).direction[0] == UNKNOWN
    weights[60 - LEAST_WINDOWS] = 1.0
    assert fit(series(1, 9.0, 0.0, 0.0), weights).direction[0] == RISING


def test_without_values_there_is_nothing() -> None:
    """No number is made up."""
    found = fit(np.zeros((60, 1)), np.zeros((60, 1)))
    assert (found.n[0], found.direction[0]) == (0, UNKNOWN)
    assert np.isnan([found.change[0], found.first[0], found.last[0], found.p[0]]).all()


@given(missing=st.sets(st.integers(0, 59), max_size=40), slope=st.floats(-0.05, 0.05), level=st.floats(-10, 14))
def test_windows_without_a_value_leave_no_trace(missing: set[int], slope: float, level: float) -> None:
    """A straight line is found whatever is missing, and what stands in the missing windows is not looked at."""
    line = (level + slope * np.arange(60.0))[:, None]
    weights = np.ones((60, 1))
    weights[sorted(missing)] = 0.0
    first, last = min(set(range(60)) - missing), max(set(range(60)) - missing)
    line[sorted(missing)] = 1e6
    found = fit(line, weights)
    assert found.change[0] == pytest.approx(slope * (last - first), abs=1e-6)
    assert [found.first[0], found.last[0]] == pytest.approx([level + slope * first, level + slope * last], abs=1e-6)


def test_a_wild_window_does_not_move_the_line_for_display() -> None:
    """It moves the least squares, though, so that certainty is lost."""
    values = series(1, 0.2, 0.001, 0.0)
    values[50] += 5.0
    found = fitted(values)
    assert found.last[0] - found.first[0] == pytest.approx(np.log(1.2), abs=0.05)
    assert found.direction[0] == UNKNOWN


def test_windows_weigh_what_they_are_given() -> None:
    """Half of the windows are right and weigh a thousand times as much."""
    values, weights = series(1, 0.3, 0.0, 0.0), np.ones((60, 1))
    values[::2] -= 0.5 * np.linspace(0.0, 1.0, 30)[:, None]
    weights[::2] = 0.001
    assert fit(values, weights).change[0] == pytest.approx(np.log(1.3), abs=0.01)


def test_series_do_not_see_each_other() -> None:
    """A series alone has the trend it has among others."""
    values = series(5, 0.2, 0.1, 0.5)
    assert fitted(values[:, 3:4]).p[0] == pytest.approx(fitted(values).p[3], rel=1e-9)
