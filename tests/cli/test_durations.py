from __future__ import annotations

import pytest

from routecast.cli.durations import seconds_of
from routecast.dashboards.terminal.words import lasting


def test_durations_are_said_in_the_largest_unit_that_tells_them() -> None:
    """One exact unit, or at least two; what is negative because of clocks is nothing."""
    said = {ms: lasting(ms) for ms in (-5.0, 900.0, 59_000.0, 60_000.0, 90_000.0, 119_000.0, 150_000.0, 3_600_000.0, 5_400_000.0, 86_400_000.0, 2e8)}
    assert [*said.values()] == ["0 s", "1 s", "59 s", "1 min", "90 s", "2 min", "2 min", "1 h", "90 min", "1 d", "2 d"]


def test_durations_are_read_as_people_write_them() -> None:
    """Seconds, minutes, hours, days; nothing without a unit."""
    assert [seconds_of(text) for text in ("90s", "30m", "30min", "2h", "1.5d", " 2 h ")] == [90.0, 1800.0, 1800.0, 7200.0, 129_600.0, 7200.0]
    for wrong in ("", "2", "h", "-2h", "2w", "1h30m"):
        with pytest.raises(ValueError, match="is no duration: give one such as 30m, 2h or 1d"):
            seconds_of(wrong)
