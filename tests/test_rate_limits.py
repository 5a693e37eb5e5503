"""A fleet of sixteen routers meets hardly any refusal where headers are read, and uses what the limits leave."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from limits import AT_MOST, mixed, storm

pytestmark = pytest.mark.untraced


@pytest.mark.parametrize("seed", [0, 1])
def test_in_the_recorded_storm_the_fleet_learns_from_the_first_refusals(seed: int) -> None:
    """From 5 s after the first 429 at most one request in a thousand meets another, though each router goes there once in many seconds."""
    met = storm(seed)
    assert met.refused >= 1
    assert met.requests_settled > 300
    assert met.refused_settled <= AT_MOST * met.requests_settled


def test_a_target_that_names_too_short_a_time_is_left_alone_for_longer() -> None:
    """Sixteen routers that come back every second for a minute would be refused hundreds of times."""
    met = storm(2, retry_after_s=1.0)
    assert met.refused <= 30


@pytest.mark.timeout(300)
def test_limits_learnt_from_headers_are_planned_with() -> None:
    """Half of the targets refuse what exceeds their nominal capacity: the mean is no worse than that of a rule that sees every limit."""
    met = mixed(0, 5.0, until_s=110.0)
    assert met.refused_ratio <= AT_MOST
    assert met.to_orc <= 1.0
