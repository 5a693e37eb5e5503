from __future__ import annotations

import sys
from pathlib import Path

import pytest

from routecast.analytics.evaluation import estimators as by
from routecast.analytics.evaluation.logged import Logged

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from ope_reference import ACTIONS, inputs

OBP = {
    "inverse_propensity": 2.1387052124140933,
    "self_normalised": 1.5456913634773382,
    "doubly_robust": 1.8374425397380207,
    "matching_rows": 1.11625,
}
"""Printed by benchmarks/ope_reference.py with obp 0.3.3, numpy 2.0.2."""


@pytest.mark.parametrize("method", OBP)
def test_an_estimator_agrees_with_the_open_bandit_pipeline(method: str) -> None:
    """To 1e-9 on the same log, weights not clipped."""
    log = inputs()
    reward = log["reward"]
    logged = Logged.of([f"t{i}" for i in range(ACTIONS)], log["action"], log["pscore"], {"time_to_success_s": reward})
    found = {
        "inverse_propensity": lambda: by.inverse_propensity(logged, log["policy"], reward, clip=float("inf")),
        "self_normalised": lambda: by.self_normalised(logged, log["policy"], reward, clip=float("inf")),
        "doubly_robust": lambda: by.doubly_robust(logged, log["policy"], reward, log["predicted"], clip=float("inf")),
        "matching_rows": lambda: by.matching_rows(logged, log["best"], reward),
    }[method]()
    assert found.value == pytest.approx(OBP[method], abs=1e-9)
