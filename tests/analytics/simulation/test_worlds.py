"""The standard worlds are what their description says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from routecast.analytics.simulation.arrivals import Traffic
from routecast.analytics.simulation.virtual_target import WELL, Condition
from routecast.analytics.simulation.worlds import DURATION_S, ROUTERS, TARGETS, WORLD_NAMES, World, WorldName, build, busiest


def traffic() -> Traffic:
    """An hour of bursty arrivals with uneven tokens."""
    rng = np.random.default_rng(5)
    pauses_s = rng.exponential(0.2, 18_000) * (1 + 9 * (rng.random(18_000) < 0.05))
    return Traffic(np.cumsum(pauses_s), rng.integers(1, 500, 18_000).astype(float))


def world(name: WorldName, seed: int = 3, load: float | None = None) -> World:
    """A standard world, with made-up traffic where it needs recorded one."""
    return build(name, seed=seed, load=load, traffic=traffic())


@pytest.mark.parametrize("name", WORLD_NAMES)
def test_every_world_is_a_standard_one(name: WorldName) -> None:
    """Twenty targets with at least three slots, sixteen routers that all get requests, arrivals in order during 400 s."""
    drawn = world(name)
    assert len(drawn.targets) == TARGETS == 20
    assert min(target.slots for target in drawn.targets) >= 3
    assert set(drawn.requests.router.tolist()) == set(range(ROUTERS))
    assert len(drawn.requests.demand) == len(drawn.requests.router) == len(drawn.requests)
    assert (np.diff(drawn.requests.at_ms) >= 0.0).all()
    assert DURATION_S * 990.0 < drawn.requests.at_ms[-1] < DURATION_S * 1000.0
    assert [change.at_ms for change in drawn.changes] == sorted(change.at_ms for change in drawn.changes)


@pytest.mark.parametrize("name", [name for name in WORLD_NAMES if name != "surge"])
@pytest.mark.parametrize("load", [0.5, 0.9])
def test_the_load_is_the_offered_work_over_the_capacity(name: WorldName, load: float) -> None:
    """Requests a second are the load times what keeps all slots busy, and the demands have mean one."""
    drawn = world(name, load=load)
    capacity_per_s = sum(target.slots / target.mean_s for target in drawn.targets)
    assert len(drawn.requests) / DURATION_S / capacity_per_s == pytest.approx(load, rel=0.03)
    assert drawn.requests.demand.mean() == pytest.approx(1.0, rel=0.03)


def test_equal_seeds_give_equal_worlds() -> None:
    """A world is a function of its name, load and seed; another seed gives another one."""
    one, same, other = world("drift"), world("drift"), world("drift", seed=4)
    assert one.targets == same.targets
    assert one.changes == same.changes
    assert one.requests.at_ms.tolist() == same.requests.at_ms.tolist()
    assert one.requests.demand.tolist() == same.requests.demand.tolist()
    assert one.targets != other.targets


def test_worlds_of_one_seed_share_their_targets() -> None:
    """Slots and medians depend on the seed alone, so worlds and loads can be compared."""
    sizes = {tuple((t.slots, t.median_s) for t in world(name, load=load).targets) for name in WORLD_NAMES for load in (0.5, 0.9)}
    assert len(sizes) == 1


def test_targets_spread_as_described() -> None:
    """Over many seeds ln(median) and ln(slots) have the means and deviations of the description."""
    targets = [target for seed in range(200) for target in build("fifo", seed=seed, load=0.01).targets]
    ln_median = np.log([target.median_s / 0.6 for target in targets])
    assert (ln_median.mean(), ln_median.std()) == pytest.approx((0.55, 0.45), abs=0.03)
    large = [target.slots for target in targets if target.slots > 11]
    assert len(large) / len(targets) == pytest.approx(0.5, abs=0.04)


def test_kinds_alternate() -> None:
    """Every second target of `half` and `mixed` is elastic; those of `mixed` refuse what exceeds their nominal capacity."""
    assert Counter(t.kind for t in world("elastic").targets) == {"elastic": 20}
    assert Counter(t.kind for t in world("ps").targets) == {"sharing": 20}
    assert [t.kind for t in world("half").targets] == ["queueing", "elastic"] * 10
    assert {t.requests_per_s for t in world("half").targets} == {None}
    assert [t.requests_per_s for t in world("mixed").targets] == [t.slots / t.mean_s if t.kind == "elastic" else None for t in world("mixed").targets]


def test_one_router_has_most() -> None:
    """In `uneven` router 0 gets 60 % of the requests; elsewhere all get the same."""
    shares = np.bincount(world("uneven").requests.router) / len(world("uneven").requests)
    assert shares[0] == pytest.approx(0.6, abs=0.01)
    assert shares[1:] == pytest.approx(0.4 / 15, abs=0.004)
    assert np.bincount(world("fifo").requests.router) / len(world("fifo").requests) == pytest.approx(1 / 16, abs=0.005)


def test_half_of_the_routers_join_late() -> None:
    """Before 200 s eight routers share all requests of `join` evenly, afterwards sixteen do."""
    requests = world("join").requests
    before, after = (np.bincount(requests.router[part], minlength=ROUTERS) for part in (requests.at_ms < 2e5, requests.at_ms >= 2e5))
    assert before / before.sum() == pytest.approx([1 / 8] * 8 + [0.0] * 8, abs=0.01)
    assert after / after.sum() == pytest.approx(1 / 16, abs=0.01)


def test_a_surge_is_a_higher_load_for_a_minute() -> None:
    """`surge` goes from 55 to 95 % between 150 and 210 s."""
    drawn = world("surge")
    capacity_per_s = sum(target.nominal_per_s for target in drawn.targets)
    per_s = np.histogram(drawn.requests.at_ms, [0.0, 150_000.0, 210_000.0, 400_000.0])[0] / [150.0, 60.0, 190.0]
    assert per_s / capacity_per_s == pytest.approx([0.55, 0.95, 0.55], rel=0.03)


@pytest.mark.parametrize(
    ("name", "bad", "lasts_ms"),
    [
        ("slow", Condition(slowdown=5.0), 100_000.0),
        ("fastfail", Condition(fail_ratio=1.0), 100_000.0),
        ("hang", Condition(hangs=True), 60_000.0),
        ("slowrec", Condition(fail_ratio=1.0), 60_000.0),
        ("partial", Condition(fail_ratio=0.3), 100_000.0),
    ],
)
def test_troubles_meet_the_busiest_target(name: WorldName, bad: Condition, lasts_ms: float) -> None:
    """From 150 s on, for its time, the target with the largest slots ÷ median^1.5 is in trouble, and it is well in the end."""
    drawn = world(name)
    weights = [target.slots / target.median_s**1.5 for target in drawn.targets]
    assert weights[busiest(drawn.targets)] == max(weights)
    assert {change.target for change in drawn.changes} == {busiest(drawn.targets)}
    assert (drawn.changes[0].at_ms, drawn.changes[0].condition) == (150_000.0, bad)
    assert drawn.changes[-1].condition == WELL
    assert drawn.trouble is not None
    assert (drawn.trouble.from_ms, drawn.trouble.until_ms) == (150_000.0, 150_000.0 + lasts_ms) == (150_000.0, drawn.changes[1].at_ms)


def test_recovery_eases() -> None:
    """After its outage `slowrec` is three times slower, a little less every second, for 100 s."""
    easing = [change.condition.slowdown for change in world("slowrec").changes[1:]]
    assert easing == pytest.approx(np.linspace(3.0, 1.0, 101))


def test_callers_of_a_hanging_target_give_up() -> None:
    """Only `hang` needs a deadline; it is 30 s."""
    assert {name: world(name).deadline_ms for name in WORLD_NAMES if world(name).deadline_ms < 1e9} == {"hang": 30_000.0}


def test_drifting_speeds_wander() -> None:
    """ln(slowdown) has deviation 0.4 and forgets itself over 40 s."""
    drawn = [world("drift", seed=seed) for seed in range(10)]
    ln_slowdown = np.concatenate([np.log([c.condition.slowdown for c in w.changes]).reshape(400, 20) for w in drawn], axis=1)
    assert ln_slowdown.std() == pytest.approx(0.4, rel=0.1)
    correlation = (ln_slowdown[40:] * ln_slowdown[:-40]).mean() / (ln_slowdown**2).mean()
    assert correlation == pytest.approx(np.exp(-1.0), abs=0.12)


@pytest.mark.parametrize("name", ["azure", "mooncake"])
def test_recorded_worlds_need_a_recording(name: WorldName) -> None:
    """Without recorded arrivals these worlds cannot be drawn, and the error says what to pass."""
    with pytest.raises(ValueError, match=f"{name}.*needs recorded arrivals: pass traffic"):
        build(name, seed=1)


def test_a_world_can_be_cut_short() -> None:
    """The part of a world before a moment has its first requests, unchanged."""
    whole, part = world("fifo"), world("fifo").until(100.0)
    n = len(part.requests)
    assert part.requests.at_ms[-1] < 100_000.0 <= whole.requests.at_ms[n]
    assert part.requests.demand.tolist() == whole.requests.demand[:n].tolist()
