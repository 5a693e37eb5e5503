from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest

from routecast.analytics.evaluation.evaluate import UNKNOWABLE, evaluate
from routecast.analytics.evaluation.logged import Logged
from routecast.analytics.evaluation.reconfigured import reconfigured
from routecast.analytics.evaluation.snapshot_policies import greedy, performance, planned, weighted
from routecast.models.config import Config
from routecast.models.snapshot import RoutingSnapshot
from routecast.testing import Fleet

N = 6
CONFIG = Config.model_validate(
    {"target": [{"id": f"t{i}", "provider": f"p{i % 2}", "model": "m", "service": "chat", "output_usd_per_mtok": 10.0 * (N - i)} for i in range(N)]}
)
TARGETS, ROUTING = CONFIG.targets_of("chat"), CONFIG.routing_for("chat")
SPEED_S = (0.4, 0.45, 0.5, 0.55, 0.6, 0.7)


@cache
def _fleet() -> tuple[Logged, dict[tuple[int, int], RoutingSnapshot]]:
    """4,000 decisions of four routers of a fleet, none of which looks at load, and the snapshots that they read."""
    fleet, luck = Fleet(CONFIG, routers=4, seed=3), random.Random(4)
    snapshots: dict[tuple[int, int], RoutingSnapshot] = {}
    rows: list[tuple[int, float, tuple[int, int], float]] = []
    for i in range(4000):
        fleet.advance_to(fleet.now_ms + luck.expovariate(0.04))
        if (snapshot := fleet.snapshot()) is not None:
            snapshots[snapshot.version] = snapshot
        router = fleet.router(i % 4)
        decision = router.choose()
        call, target = router.start(decision), int(decision.target[1:])
        took_s = SPEED_S[target] * luck.lognormvariate(-0.125, 0.5)
        call.tokens(input=500, output=100)
        fleet.queue.after(took_s * 1000, call.finish)
        if not decision.forced:
            rows.append((target, decision.propensity, decision.snapshot, took_s))
    chosen, propensity, versions, time_s = (np.array(column) for column in zip(*rows, strict=True))
    logged = Logged.of([f"t{i}" for i in range(N)], chosen, propensity, {"time_to_success_s": time_s})
    return replace(logged, versions=versions), snapshots


def test_the_closed_form_on_snapshots_is_near_what_routers_drew() -> None:
    """The weights of the fleet's own policy, less what each router had in flight, average 1 and leave most of the sample."""
    logged, snapshots = _fleet()
    found = evaluate(logged, "performance", performance(snapshots, TARGETS, ROUTING, random.Random(1)))
    assert found.refused == ""
    assert found.support is not None
    assert found.support.mean_weight.low < 1.0 < found.support.mean_weight.high
    assert found.support.effective > 0.5 * len(logged)
    mean = found.of("time_to_success_s")
    assert mean is not None
    assert mean.value.value == pytest.approx(mean.logged.value, rel=0.03)


def test_decisions_without_their_snapshot_are_left_out_and_counted() -> None:
    """Those before the first, and those whose snapshot is missing."""
    logged, snapshots = _fleet()
    gone = next(iter(snapshots))
    missing = int(((logged.versions == gone) | (logged.versions == 0)).all(axis=1).sum())
    found = evaluate(logged, "planned", planned({version: s for version, s in snapshots.items() if version != gone}))
    assert missing > 0
    assert found.excluded == {UNKNOWABLE: missing}


def test_planned_shares_are_those_of_the_snapshot_in_force() -> None:
    """Or of the one that is given for all, among the candidates."""
    logged, snapshots = _fleet()
    logged = logged.rows(np.arange(3000, 3010))
    expected = [[t.share for t in snapshots[term, seq].targets] for term, seq in logged.versions.tolist()]
    assert planned(snapshots)(logged) == pytest.approx(np.array(expected), abs=1e-3)
    newest = max(snapshots.items())[1]
    shares = np.array([t.share for t in newest.targets])
    allowed = logged.allowed.copy()
    allowed[0], allowed[1, shares.argmax()] = np.arange(N) == shares.argmin(), False
    found = planned(newest)(replace(logged, allowed=allowed, chosen=np.full(10, shares.argmin())))
    assert found[0].tolist() == allowed[0].tolist()
    assert found[1, shares.argmax()] == 0.0
    assert found[1].sum() == pytest.approx(1.0)
    assert found[2] == pytest.approx(shares, abs=1e-3)


def test_weighted_goes_by_score_and_weight() -> None:
    """Of the snapshot, not of the configuration: operators may have set the weight."""
    logged, snapshots = _fleet()
    newest = max(snapshots.items())[1]
    half = msgspec.structs.replace(newest, targets=(msgspec.structs.replace(newest.targets[0], weight=0.5), *newest.targets[1:]))
    scores = np.array([t.score for t in newest.targets]) * np.array([0.5] + [1.0] * (N - 1))
    assert weighted(half)(logged)[0] == pytest.approx(scores / scores.sum())


def test_greedy_takes_the_best_factors_of_its_candidates() -> None:
    """The same target from each snapshot, another where that is no candidate."""
    logged, snapshots = _fleet()
    newest = max(snapshots.items())[1]
    first = greedy(newest, ROUTING)(logged)
    assert set(np.unique(first)) == {0.0, 1.0}
    best = int(first[0].argmax())
    row = logged.rows(np.flatnonzero(logged.chosen != best)[:1])
    second = greedy(newest, ROUTING)(replace(row, allowed=row.allowed & (np.arange(N) != best)))
    assert second[0, best] == 0.0
    assert second.sum() == 1.0


def test_the_same_configuration_gives_the_snapshot_as_it_was_published() -> None:
    """Costs to the digits that are published; shares within the threshold below which they are not published anew."""
    newest = max(_fleet()[1].items())[1]
    again = reconfigured(newest, TARGETS, ROUTING)
    for one, other in zip(newest.targets, again.targets, strict=True):
        assert other.cost_s == pytest.approx(one.cost_s, rel=1e-4)
        assert other.score == pytest.approx(one.score, abs=1e-4)
        assert other.share == pytest.approx(one.share, rel=0.1, abs=0.02)


def test_money_moves_the_shares_to_what_is_cheaper() -> None:
    """With time worth little, the fast half, which is dearer, gets less of the plan, and the fastest less of the draws."""
    logged, snapshots = _fleet()
    frugal = ROUTING.model_copy(update={"usd_per_second": 0.001})
    newest = max(snapshots.items())[1]
    cheap = reconfigured(newest, TARGETS, frugal)
    before, after = planned(newest)(logged)[0], planned(cheap)(logged)[0]
    assert after[: N // 2].sum() < before[: N // 2].sum()
    drawn = performance(cheap, TARGETS, frugal, random.Random(1))(logged)[0]
    assert drawn[0] < performance(newest, TARGETS, ROUTING, random.Random(1))(logged)[0][0]
    assert drawn.sum() == pytest.approx(1.0)
