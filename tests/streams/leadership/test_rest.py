"""Rest between pieces of work on a shared loop."""

from __future__ import annotations

import pytest

from routecast.streams.leadership.rest import Rest


def test_nobody_rests_before_work() -> None:
    """The first piece of work begins at once."""
    assert Rest().left_s(0.0) == 0.0


@pytest.mark.parametrize(("now_s", "left_s"), [(10.5, 2.0), (12.0, 0.5), (12.5, 0.0), (99.0, 0.0)])
def test_rest_lasts_four_times_as_long_as_the_work(now_s: float, left_s: float) -> None:
    """Whoever works half a second leaves the loop to others for two."""
    rest = Rest()
    rest.begin(10.0, 10.5)
    assert rest.left_s(now_s) == left_s


def test_short_work_after_long_work_is_followed_by_a_short_rest() -> None:
    """The last piece counts."""
    rest = Rest()
    rest.begin(0.0, 5.0)
    rest.begin(6.0, 6.001)
    assert rest.left_s(6.1) == 0.0
