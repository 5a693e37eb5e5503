from __future__ import annotations

import random
from typing import Any

import pytest

from routecast.analytics.routing.admission import Level, has_room, is_calm, limit_of, luck_of
from routecast.models.config import Overflow, TargetConfig
from routecast.models.snapshot import TargetScore


def _target(capacity: int | None) -> TargetConfig:
    return TargetConfig(id="t", provider="p", model="m", service="chat", capacity=capacity)


def _entry(**figures: Any) -> TargetScore:
    plain: dict[str, Any] = {
        "id": "t", "time_s": 1.0, "service_s": 1.0, "capacity": 4.0, "share": 0.5, "in_flight": 0.0, "in_flight_mean": 0.0, "cost_s": 1.0,
        "success": 0.9, "fail_s": 1.0, "quality": 0.8, "n": 1000.0,
    }  # fmt: skip
    return TargetScore(**(plain | figures))


@pytest.mark.parametrize(
    ("capacity", "entry", "limit"),
    [
        (8, _entry(capacity=8.0), 10.0),
        (8, _entry(capacity=2.0), 10.0),  # the fit has only seen two at a time
        (None, _entry(), 32.0),
        (None, _entry(n=99.0), None),  # a prior keeps nobody waiting
    ],
)
def test_a_target_is_full_beyond_its_limit(capacity: int | None, entry: TargetScore, limit: float | None) -> None:
    """1.25 times what is configured; eight times what was fitted, where there is evidence."""
    assert limit_of(_target(capacity), entry, Overflow()) == limit


def test_one_router_alone_fills_its_targets_exactly() -> None:
    """Its own count is the truth."""
    assert has_room(Level(10.0, 7.0, 9.0, 7.0), 1.0, 0.99)
    assert not has_room(Level(10.0, 7.0, 10.0, 7.0), 1.0, 0.99)


@pytest.mark.parametrize("routers", [2, 16, 64])
@pytest.mark.parametrize("begin", ["empty", "uneven", "flooded"])
def test_many_routers_that_see_only_snapshots_keep_the_targets_full_and_no_fuller(routers: int, begin: str) -> None:
    """From any start, with endless demand: within a few snapshots what is in flight stays at the limit."""
    luck, limit = random.Random(1), 100.0
    own = {"empty": [0] * routers, "uneven": [100, *([0] * (routers - 1))], "flooded": [400 // routers] * routers}[begin]
    phases, seen = [luck.random() for _ in range(routers)], list[int]()
    for number in range(40):
        then, total = list(own), sum(own)
        for r in range(routers):
            own[r] -= min(own[r], int(own[r] * 0.5 + luck.random()))  # about half of them end until the next snapshot
            while has_room(Level(limit, total, own[r], then[r]), 1.0 / routers, luck_of(phases[r], number)):
                own[r] += 1
        seen.append(sum(own))
    settled = seen[12:]
    assert sum(settled) / len(settled) == pytest.approx(limit, rel=0.08)
    assert max(settled) < 1.35 * limit


def test_small_routers_have_their_turn() -> None:
    """A hundredth of the traffic, ten places free: in one of ten snapshots."""
    turns = [has_room(Level(100.0, 90.0, 0.0, 0.0), 0.01, luck_of(0.3, number)) for number in range(1000)]
    assert sum(turns) / 1000 == pytest.approx(0.1, abs=0.03)


def test_a_service_is_calm_below_its_capacity() -> None:
    """What this router did since the snapshot counts."""
    assert is_calm(Level(125.0, 98.0, 6.0, 5.0), 1.25)
    assert not is_calm(Level(125.0, 98.0, 7.0, 5.0), 1.25)
