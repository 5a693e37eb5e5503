from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from study_experiments import LATENCY, LAWS, false_verdicts, power, ratio_alarms


def test_looking_after_every_hundred_requests_does_not_make_verdicts_false() -> None:
    """Of sixty experiments without a difference at most a few have one, where a t-test looked at as often is wrong every other time."""
    for law in (LATENCY, LAWS[2]):
        ours, peeking = false_verdicts(law, 60, seed=3)
        assert ours <= 0.1
        assert peeking > 0.25


def test_a_tenth_of_latency_is_found_and_a_lossy_arm_alarms() -> None:
    """Every time within 20,000 requests, and soon; kept shares do not alarm."""
    found = power(20, seed=3)
    assert found.found == 1.0
    assert found.median < 5_000
    assert ratio_alarms(30, seed=3)[0] == 0.0
    assert ratio_alarms(10, seed=3, lost=0.1)[0] == 1.0
