import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.changes import change_detector
from routecast.analytics.changes.change_detector import ChangeDetector, Shift


def _found(values: list[float], usual: tuple[float, float] | None = None) -> list[tuple[int, Shift]]:
    detector, found = ChangeDetector(usual), list[tuple[int, Shift]]()
    for i, x in enumerate(values):
        if detector.update(x).detected and detector.shift is not None:
            found.append((i, detector.shift))
    return found


def _steps(seed: int) -> list[float]:
    """A level that rises by two deviations at 400 and falls back at 800."""
    values: list[float] = (np.random.default_rng(seed).standard_normal(1200) + np.repeat([0.0, 2.0, 0.0], 400)).tolist()
    return values


def test_the_example_runs() -> None:
    """As it is printed."""
    assert doctest.testmod(change_detector).failed == 0


@pytest.mark.parametrize("seed", range(5))
def test_each_change_is_found_once_and_where_it_was(seed: int) -> None:
    """The new level is learned after each; what was before and after is told."""
    found = _found(_steps(seed))
    assert len(found) == 2
    for (at, shift), began, before, after in zip(found, (400, 800), (0.0, 2.0), (2.0, 0.0), strict=True):
        assert began <= at < began + 30
        assert abs(shift.began - began) <= 6
        assert shift.before == pytest.approx(before, abs=0.4)
        assert shift.after == pytest.approx(after, abs=1.0)
        assert shift.statistic > shift.bound


@given(unit=st.sampled_from([2.0**-20, 0.5, 4.0, 2.0**30]), seed=st.integers(0, 20))
def test_the_unit_does_not_matter(unit: float, seed: int) -> None:
    """Seconds or microseconds: the same changes at the same values."""
    plain, scaled = _found(_steps(seed)), _found([unit * x for x in _steps(seed)])
    assert [i for i, _ in scaled] == [i for i, _ in plain]
    assert [s.after for _, s in scaled] == [unit * s.after for _, s in plain]


@pytest.mark.untraced
def test_noise_and_heavy_tails_raise_nothing() -> None:
    """200,000 quiet values, of which one in fifty is ten times as far off."""
    luck = np.random.default_rng(5)
    values = luck.standard_normal(200_000) * np.where(luck.random(200_000) < 0.02, 10.0, 1.0)
    assert _found(values.tolist()) == []


def test_nothing_is_said_before_anything_is_known() -> None:
    """Thirty values make what is usual; a series that never moves is usual, and its first move is not."""
    assert _found([1.0, 50.0] * 15) == []
    assert _found([7.0] * 1000) == []
    assert [i for i, _ in _found([7.0] * 100 + [7.5] * 20)][:1] == [103]


def test_what_is_known_is_not_learned() -> None:
    """A level given beforehand stays the usual one while half of the values are somewhere else."""
    detector = ChangeDetector((0.0, 1.0))
    for _ in range(200):
        detector.update(0.5)
    assert detector.usual == (0.0, 1.0)
    assert detector.shift is not None
    assert math.isclose(detector.shift.after, 0.5)
