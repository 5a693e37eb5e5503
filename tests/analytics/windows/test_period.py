import math

import numpy as np
import pytest

from routecast.analytics.sketch import bucket_of
from routecast.analytics.windows.columns import SUMS
from routecast.analytics.windows.period import period_of
from routecast.analytics.windows.window import WindowStats
from routecast.models.insights import Subject

SUBJECTS = (Subject(kind="target", id="a", service="chat"), Subject(kind="service", id="chat", service="chat"))


def test_what_ended_is_counted_and_what_the_caller_did_itself_counts_for_no_ratio() -> None:
    """Cancelled attempts are requests, but neither judged nor failed."""
    stats = WindowStats(2)
    for name, count in (("ok", 7), ("error", 2), ("rate_limited", 1), ("cancelled", 4)):
        stats.sums[0, SUMS.index(name)] = count
    period = period_of(0, 10_000, SUBJECTS, stats, np.array([1000.0, 1000.0]))
    assert (period.requests[0], period.judged[0], period.failed[0]) == (14, 10, 3)
    assert period.requests[1] == 0


def test_a_subject_is_slow_by_the_objective_of_its_own_service() -> None:
    """The same answers are slow for a service that promises more."""
    stats = WindowStats(2)
    for ms in (100, 900, 1100, 5000):
        stats.sketches[:, 0, bucket_of(ms * 1000)] += 1
    assert period_of(0, 10_000, SUBJECTS, stats, np.array([1000.0, 200.0])).slow.tolist() == [2, 3]


def test_logarithms_of_streamed_times_come_from_the_sketches() -> None:
    """Each within 0.01, with their squares; the other duration has its own."""
    stats, us = WindowStats(2), [40_000, 300_000, 2_000_000]
    for each in us:
        stats.sketches[1, 1, bucket_of(each)] += 2
    found = period_of(0, 10_000, SUBJECTS, stats, np.array([1000.0, 1000.0]))
    ln = [math.log(each / 1000) for each in us]
    assert found.ttft_ln.tolist() == [0.0, pytest.approx(2 * sum(ln), abs=6 * 0.011)]
    assert found.ttft_ln2.tolist() == [0.0, pytest.approx(2 * sum(x * x for x in ln), rel=0.01)]
    assert found.tpot_ln.tolist() == [0.0, 0.0]
