from __future__ import annotations

import pytest

from routecast.models.errors import DecodeError
from routecast.models.vitals import decode_vitals, encode_vitals
from routecast.streams.clock import FixedClock
from routecast.streams.measures import Timing
from routecast.streams.vitals import WorkerVitals

AT_MS = 1_700_000_003_000.0


def test_figures_are_those_since_the_last_time() -> None:
    """Rates and means; what is counted since the start stays so; who does not lead has no time of a tick."""
    clock, flushes, ticks = FixedClock(AT_MS), Timing(), Timing()
    vitals = WorkerVitals("host-1", clock, flushes, ticks)
    flushes.add(1.0)
    clock.at_ms += vitals.wait_s() * 1000.0
    first = vitals.take(5, 700, 2)
    assert (first.at_ms, first.lag, first.dead_letters, first.events_per_s, first.flush_ms, first.tick_ms) == (AT_MS + 7000, 5, 2, 100.0, 1000.0, None)
    flushes.add(0.002)
    flushes.add(0.004)
    ticks.add(0.030)
    clock.at_ms += vitals.wait_s() * 1000.0
    second = vitals.take(0, 1000, 2)
    assert (second.at_ms, second.events_per_s) == (AT_MS + 17_000, 30.0)
    assert second.flush_ms == pytest.approx(3.0)
    assert second.tick_ms == pytest.approx(30.0)
    assert vitals.take(0, 1000, 2).flush_ms is None


def test_vitals_survive_the_wire_and_nothing_else_does() -> None:
    """What is none is told so."""
    clock = FixedClock(AT_MS)
    said = WorkerVitals("host-1", clock, Timing(), Timing()).take(1, 2, 3)
    assert decode_vitals(encode_vitals(said)) == said
    for wrong in (b"", b"{}", b"[" * 10_000):
        with pytest.raises(DecodeError, match="not a worker's vitals"):
            decode_vitals(wrong)
