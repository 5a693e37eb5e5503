from __future__ import annotations

import numpy as np

from routecast.analytics.changes.rhythm import Rhythm

HOUR_MS = 3_600_000.0
WEEK_MS = 168 * HOUR_MS
MONDAY_MS = 1_700_000_000_000.0 // WEEK_MS * WEEK_MS


def test_a_clock_that_was_set_back_behind_the_first_hour_leaves_what_was_learned() -> None:
    """An hour that is observed before the first one is averaged like any other."""
    rhythm, some = Rhythm(least_n=1.0), np.array([10.0])
    rhythm.grow(1)
    for at_ms in (MONDAY_MS + WEEK_MS, MONDAY_MS + WEEK_MS + HOUR_MS, MONDAY_MS, MONDAY_MS + HOUR_MS):
        rhythm.update(at_ms, some, 3.0 * some)
    assert rhythm.offset(MONDAY_MS + 5 * WEEK_MS) == 0.0
