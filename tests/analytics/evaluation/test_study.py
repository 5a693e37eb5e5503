from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from study_ope import Cell, study, table


@pytest.mark.untraced
def test_truth_is_found_where_naive_ways_miss_it() -> None:
    """Of forty logs of 5,000: unbiased, `learned` too, intervals that hold the truth; naive ways off by an eighth; nothing where support is thin."""
    runs = study(40, 5000, 1)
    found: dict[tuple[str, str], Cell] = {(name, method): cell for name, method, cell in table(runs)}
    near = found["near", "doubly_robust"]
    assert near.n == 40
    assert abs(near.bias) < 0.01
    assert near.rmse < 0.024
    assert near.covered >= 0.875
    assert near.rmse < found["near", "inverse_propensity"].rmse
    assert abs(found["near", "p95"].bias) < 0.03
    assert found["near", "matching_rows"].bias < -0.1
    assert found["near", "target_means"].bias < -0.025
    assert abs(found["far", "doubly_robust"].bias) < 0.025 < abs(found["far", "target_means"].bias)
    thompson = found["learned", "doubly_robust"]
    assert (abs(thompson.bias) < 0.01, thompson.covered >= 0.875) == (True, True)
    assert all(run["thin"].refused for run in runs)
