from typing import Any

import pytest

from routecast.analytics.capacity.daily_limit import Used, hours_left
from routecast.models.config import TargetConfig

DAY_MS = 86_400_000.0
NOON_MS = 20_000 * DAY_MS + DAY_MS / 2


def config(**limits: Any) -> TargetConfig:
    """A target with these limits."""
    return TargetConfig(id="a", provider="p", model="m", service="chat", **limits)


@pytest.mark.parametrize(
    ("limits", "used", "expected"),
    [
        ({}, None, None),  # no limit
        ({"requests_per_day": 900}, None, 3.0),  # 60 an hour since midnight, 180 left
        ({"requests_per_day": 900}, Used(600, 0), 5.0),  # what was used is known
        ({"tokens_per_day": 20_000}, Used(0, 14_000), 1.0),  # 6,000 tokens an hour
        ({"requests_per_day": 900, "tokens_per_day": 20_000}, Used(600, 14_000), 1.0),  # the tighter one
        ({"requests_per_day": 500}, None, 0.0),  # used up already
        ({"requests_per_day": 5000}, None, None),  # lasts until midnight
    ],
)
def test_hours_until_a_daily_limit(limits: dict[str, float], used: Used | None, expected: float | None) -> None:
    """At noon, one request and 100 tokens a minute."""
    assert hours_left(config(**limits), 1.0, 100.0, NOON_MS, used) == expected


def test_without_traffic_a_limit_lasts() -> None:
    """Nothing is used up by nobody."""
    assert hours_left(config(requests_per_day=10), 0.0, 0.0, NOON_MS, Used(9, 0)) is None
