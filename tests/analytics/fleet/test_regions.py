from __future__ import annotations

import math

import pytest

from routecast.analytics.fleet.regions import RegionOffsets
from routecast.models.rows import RegionTally, TargetTotals


def _tally(region: str, n: int, ms: float) -> RegionTally:
    return RegionTally(region, n, round(n * math.log(ms) * 1e6))


def _offsets(*tallies: RegionTally, weight: float = 0.0) -> dict[str, float]:
    regions = RegionOffsets()
    regions.grow(1)
    regions.update(1.0, [TargetTotals("a", regions=list(tallies))])
    return regions.offsets_ms(0, weight)


def test_the_far_region_waits_longer_than_all_together_and_the_near_one_less() -> None:
    """Differences of geometric means, in ms."""
    middle = math.sqrt(200.0 * 800.0)
    assert _offsets(_tally("eu", 500, 200.0), _tally("ap", 500, 800.0)) == pytest.approx({"ap": 800 - middle, "eu": 200 - middle}, abs=0.01)


def test_a_region_that_called_seldom_is_believed_little() -> None:
    """It counts as nine requests without a region beside its own."""
    offsets = _offsets(_tally("eu", 10_000, 200.0), _tally("ap", 1, 2000.0), weight=9.0)
    assert 0 < offsets["ap"] < 60


def test_one_region_alone_has_no_offset() -> None:
    """There is nothing to compare it with."""
    assert _offsets(_tally("eu", 10, 200.0)) == {}
    assert _offsets() == {}


def test_the_eight_regions_with_most_requests_are_kept() -> None:
    """Partitions may have seen different eight."""
    offsets = _offsets(*(_tally(f"r{i}", 10 + i, 100.0) for i in range(12)))
    assert sorted(offsets) == sorted(f"r{i}" for i in range(4, 12))


def test_old_times_fade() -> None:
    """After ten hours only the new ones count."""
    regions = RegionOffsets()
    regions.grow(1)
    regions.update(1.0, [TargetTotals("a", regions=[_tally("eu", 100, 200.0), _tally("ap", 100, 200.0)])])
    regions.update(36_000.0, [TargetTotals("a", regions=[_tally("eu", 100, 200.0), _tally("ap", 100, 800.0)])])
    assert regions.offsets_ms(0, 0.0)["ap"] == pytest.approx(400, rel=0.01)
