from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from memory_month import DAY_MS, HOUR_MS, START_MS
from study_memory import Month

HOURS = 3


@pytest.mark.untraced
def test_what_a_leader_keeps_does_not_grow_with_the_time_that_it_leads() -> None:
    """After a successor's first hours, with a failure and a drain, twice as many leave no more objects and no larger state."""
    month = Month(targets=2, begin_ms=START_MS + 5 * HOUR_MS // 2, plan_ms=100 * DAY_MS)
    month.advance(HOURS)
    before = month.sample()
    month.advance(HOURS)
    after = month.sample()
    assert month.insights["alert"] >= 2
    assert after.events > 1.5 * before.events
    assert after.unpacked < 1.05 * before.unpacked
    assert after.objects < before.objects + 200
