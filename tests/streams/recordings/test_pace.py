from __future__ import annotations

import threading

import pytest

from routecast.models.errors import ConfigError
from routecast.streams.clock import FixedClock
from routecast.streams.recordings.pace import Pace


def test_the_first_moment_is_due_at_once_and_later_ones_after_their_distance() -> None:
    """Divided by the speed; what should have come already is due at once, and without a speed everything is."""
    clock = FixedClock(5000.0)
    pace = Pace(clock, 10.0)
    assert pace.until(1_000_000.0)
    waits = threading.Thread(target=pace.until, args=(1_100_000.0,))
    waits.start()
    waits.join(0.05)
    assert waits.is_alive()
    clock.at_ms += 10_000.0
    assert pace.until(1_100_000.0)
    pace.speed = None
    assert pace.until(9_000_000.0)
    waits.join(5.0)
    assert not waits.is_alive()


def test_recorded_time_stands_still_while_paused() -> None:
    """And goes on from there, at another speed if one was given meanwhile."""
    clock = FixedClock(0.0)
    pace = Pace(clock, 1.0)
    assert pace.until(0.0)
    clock.at_ms = 4000.0
    pace.pause()
    clock.at_ms = 60_000.0
    pace.speed = 2.0
    pace.resume()
    assert pace.until(4000.0)
    clock.at_ms = 63_000.0
    assert pace.until(10_000.0)
    waits = threading.Thread(target=pace.until, args=(10_100.0,))
    waits.start()
    waits.join(0.05)
    assert waits.is_alive()
    pace.stop()
    waits.join(5.0)
    assert not pace.until(0.0)


def test_a_speed_is_above_0() -> None:
    """And finite."""
    for speed in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match="above 0"):
            Pace(FixedClock(0.0), speed)
