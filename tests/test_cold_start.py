"""A target of which nothing is known, among well-known ones, as applications meet it."""

from __future__ import annotations

from collections import Counter

import pytest

from routecast.models.config import Config
from routecast.models.requirements import Requirements
from routecast.testing import Fleet

ROUTERS = 16
NEW = "t19"


def _fleet(policy: str = "performance", **routing: object) -> Fleet:
    targets = [{"id": f"t{i:02}", "provider": f"p{i}", "model": "m", "service": "chat"} for i in range(20)]
    return Fleet(Config.model_validate({"target": targets, "routing": {"policy": policy, **routing}}), routers=ROUTERS, seed=3)


def _traffic(fleet: Fleet, seconds: int, *, per_s: int = 64, excluded: tuple[str, ...] = (NEW,), new_ms: float = 900.0) -> Counter[str]:
    """Requests that all succeed; how many each target got."""
    got: Counter[str] = Counter()
    asked = Requirements(excluded=excluded)
    for _ in range(seconds * per_s):
        router = fleet.router(got.total() % ROUTERS)
        call = router.start(router.choose(asked))
        got[call.decision.target] += 1
        fleet.queue.after(new_ms if call.decision.target == NEW else 900.0, call.finish)
        fleet.advance_to(fleet.now_ms + 1000.0 / per_s)
    return got


def _burst(fleet: Fleet, requirements: Requirements | None = None) -> float:
    """Share of 500 requests that come at once, without a snapshot in between, for the newcomer."""
    got: Counter[str] = Counter()
    for i in range(500):
        router = fleet.router(i % ROUTERS)
        decision = router.choose(requirements)
        router.start(decision)
        got[decision.target] += 1
    return got[NEW] / 500


@pytest.mark.parametrize("policy", ["performance", "weighted"])
def test_a_burst_does_not_fall_on_the_one_target_that_nobody_has_measured(policy: str) -> None:
    """500 at once, 16 routers: it gets at most the 5 % that are configured."""
    fleet = _fleet(policy)
    _traffic(fleet, 20)
    assert _burst(fleet) <= 0.05


def test_the_cap_is_configured() -> None:
    """With 0 only exploration leads there, and 1 is no cap."""
    shares = {}
    for cap in (0.0, 1.0):
        fleet = _fleet(newcomer_share=cap)
        _traffic(fleet, 20)
        got = Counter(fleet.router(0).choose().target for _ in range(4000))
        shares[cap] = got[NEW] / 4000
    assert shares[0.0] < 0.003
    assert shares[1.0] > 0.06


def test_a_burst_that_only_the_newcomer_might_serve_as_asked_is_capped_too() -> None:
    """Nothing speaks against its quality because nothing is known of it."""
    fleet = _fleet()
    _traffic(fleet, 5)
    for i in range(19):
        for _ in range(60):
            fleet.router(0).emitter.completed("x", f"t{i:02}", "ok", 900.0, service="chat", quality=0.5)
    fleet.advance_to(fleet.now_ms + 3000)
    asked = Requirements(quality_threshold=0.7)
    assert fleet.router(0).choose(asked).forced == "unmet"
    assert _burst(fleet, asked) <= 0.05


def test_a_newcomer_is_tried_until_it_is_known_and_then_gets_what_it_deserves() -> None:
    """Twice as fast as the others: a few per cent while nobody knows, much more soon after."""
    fleet = _fleet()
    _traffic(fleet, 20)
    others = next(it.alternatives for it in (fleet.router(0).choose().explain() for _ in range(100)) if it.target != NEW)
    assert [other.target for other in others if "new here" in other.reason] == [NEW]
    early = _traffic(fleet, 5, excluded=(), new_ms=450.0)
    assert 0 < early[NEW] / early.total() <= 0.05
    _traffic(fleet, 10, excluded=(), new_ms=450.0)
    late = _traffic(fleet, 10, excluded=(), new_ms=450.0)
    snapshot = fleet.snapshot()
    assert snapshot is not None
    assert not any(target.newcomer for target in snapshot.targets)
    assert late[NEW] / late.total() > 0.1


def test_what_is_learned_restarts_when_probing_begins() -> None:
    """The success ratio of a target that was down starts again from its peers', not from the outage."""
    fleet = _fleet()
    _traffic(fleet, 20)
    for _ in range(40):
        fleet.router(0).emitter.completed("x", "t00", "error", 5.0, service="chat")
    for _ in range(80):
        _traffic(fleet, 1, per_s=16)
        snapshot = fleet.snapshot()
        assert snapshot is not None
        if snapshot.targets[0].state == "recovering":
            assert snapshot.targets[0].success > 0.9
            return
    pytest.fail("it was never probed")
