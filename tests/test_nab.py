"""The score of the Numenta benchmark, on detections of which it is known."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
WINDOWS = ((300, 399), (700, 799))


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[int]], float]:
    """Scores detections at these points of a series of a thousand with two windows."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    nab = importlib.import_module("nab")
    series = nab.Series("s", np.arange(1000.0), np.zeros(1000), WINDOWS)

    def score(points: list[int]) -> float:
        detected = np.zeros(1000, bool)
        detected[points] = True
        return float(nab.score(series, detected))

    return score


def test_silence_is_nothing_and_the_first_points_of_all_windows_are_everything(scored: Callable[[list[int]], float]) -> None:
    """The scale goes from one to the other; half of the windows is half."""
    assert scored([]) == pytest.approx(0.0)
    assert scored([300, 700]) == pytest.approx(100.0)
    assert scored([300]) == pytest.approx(50.0)


def test_the_earlier_the_better_and_once_is_enough(scored: Callable[[list[int]], float]) -> None:
    """More detections in a window change nothing; the last point of it is still worth something."""
    assert scored([300, 301, 350, 399, 700]) == scored([300, 700])
    assert scored([300, 700]) > scored([350, 700]) > scored([395, 700]) > scored([700])


def test_false_detections_cost_little_each_and_more_far_off(scored: Callable[[list[int]], float]) -> None:
    """0.11 of a window far from any, less just behind one; what is said while the detector learns is not counted."""
    assert scored([300, 250, 700]) == pytest.approx(100.0 - 100.0 * 0.11 / 4.0)
    assert scored([300, 250, 700]) < scored([300, 410, 700]) < 100.0
    assert scored([300, 20, 700]) == pytest.approx(100.0)
