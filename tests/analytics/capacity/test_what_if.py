from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from routecast.analytics.capacity.replayed import Arrivals
from routecast.analytics.capacity.service_law import Law, TargetFit, Work
from routecast.analytics.capacity.what_if import Copy, Drain, Limit, Slots, Weight, changed, what_if

EXPONENTIAL = -np.log(1.0 - (np.arange(500) + 0.5) / 500)


def fit(target: str, slots: float = 4.0, **more: object) -> TargetFit:
    """A queue with exponential answers of a second."""
    law = Law(slots, 1.0, 0.0)
    made = TargetFit(target, law, Work(1000.0, 0.0, 0.0), EXPONENTIAL, 1000, int(2 * slots), np.array([law]), np.ones(1))
    return replace(made, **more)  # type: ignore[arg-type]


@pytest.fixture
def requests() -> Arrivals:
    """Five a second."""
    rng, n = np.random.default_rng(3), 1500
    at_ms = np.cumsum(rng.exponential(200.0, n))
    return Arrivals(at_ms - at_ms[0], np.full(n, 100.0), np.full(n, 10.0), rng.random(n))


TARGETS = [fit("a"), fit("b")]


def test_draining_makes_the_others_wait_and_a_copy_relieves_them(requests: Arrivals) -> None:
    """Both beyond their intervals, with the present first."""
    worse, better = (what_if(TARGETS, requests, change, load=1.4) for change in (Drain("b"), Copy("a")))
    assert worse.now == better.now
    named = {effect.figure: effect for effect in worse.effects()}
    assert named["p95_ms"].low is not None
    assert named["p95_ms"].low > named["p95_ms"].now
    named = {effect.figure: effect for effect in better.effects()}
    assert named["p95_ms"].high is not None
    assert named["p95_ms"].high < named["p95_ms"].now
    assert named["mean_ms"].expected < named["mean_ms"].now


def test_prices_are_those_of_whom_serves(requests: Arrivals) -> None:
    """Draining the dear one makes requests cheap; a copy costs what the original does."""
    prices = {"a": (0.001, 0.0), "b": (0.01, 0.0)}
    targets = [fit("a", slots=20.0), fit("b", slots=20.0)]
    drained, copied = (what_if(targets, requests, change, prices=prices.__getitem__) for change in (Drain("b"), Copy("b")))
    assert drained.expected.usd_per_request == pytest.approx(0.1)
    assert copied.expected.usd_per_request > copied.now.usd_per_request > drained.expected.usd_per_request


def test_a_weight_moves_traffic_where_weights_count(requests: Arrivals) -> None:
    """By ten to one under `weighted`; other policies heed none, and it is said."""
    targets = [fit("a", slots=20.0), fit("b", slots=20.0)]
    found = what_if(targets, requests, Weight("b", 10.0), rule="weighted", prices=lambda name: (0.01 * (name == "b"), 0.0))
    assert (found.now.usd_per_request, found.expected.usd_per_request) == pytest.approx((0.5, 10 / 11), abs=0.03)
    with pytest.raises(ValueError, match="heeds no weights"):
        what_if(targets, requests, Weight("b", 10.0))


def test_changes_touch_their_target_alone() -> None:
    """A limit and a bound are set where they are said."""
    limited, bounded = changed(TARGETS, Limit("a", 120.0)), changed(TARGETS, Slots("b", 2))
    assert [target.requests_per_s for target in limited] == [2.0, None]
    assert [target.law.slots for target in bounded] == [4.0, 2.0]
    assert changed(limited, Limit("a", None))[0].requests_per_s is None


def test_the_same_seed_gives_the_same_answer(requests: Arrivals) -> None:
    """Whatever ran before."""
    assert what_if(TARGETS, requests, Drain("b"), seed=4) == what_if(TARGETS, requests, Drain("b"), seed=4)


def test_what_cannot_be_played_is_refused(requests: Arrivals) -> None:
    """An unknown target, and the only one."""
    with pytest.raises(ValueError, match="nothing is known of 'c': give one of 'a', 'b'"):
        what_if(TARGETS, requests, Drain("c"))
    with pytest.raises(ValueError, match="'a' is the only target"):
        what_if(TARGETS[:1], requests, Drain("a"))
