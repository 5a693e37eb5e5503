from __future__ import annotations

import numpy as np

from routecast.analytics.fleet.fleet_health import FleetHealth
from routecast.analytics.fleet.horizon import Evidence, Horizon
from routecast.analytics.fleet.load import LoadTracker
from routecast.models.config import Routing, TargetConfig
from routecast.models.events import Tripped
from routecast.models.rows import TargetTotals

T = 1_700_000_000_000.0


class _Fleet:
    """Health of one target as three routers see it; a tick a second."""

    def __init__(self, routers: int = 3) -> None:
        target = TargetConfig(id="a", provider="p", model="m", service="chat")
        self.health = FleetHealth([target], ["a"], Routing(), 30_000.0)
        self.health.grow(1)
        self.minute, self.load, self.routers, self.now_ms = Horizon(1, tau_s=60.0), LoadTracker(1), routers, T

    def say(self, router: str, *, tripped: bool = True, target: str = "a") -> bool:
        word = Tripped(at_ms=self.now_ms, emitter=router, target=target, state="open" if tripped else "closed")
        return self.health.heed(word, self.now_ms)

    def tick(self, ok: int = 0, failed: int = 0) -> str:
        self.now_ms += 1000.0
        self.load.advance(self.now_ms)
        zero = np.zeros(1)
        news = Evidence(np.array([float(ok)]), np.array([float(failed)]), *(zero for _ in Evidence._fields[2:]))
        news = self.health.settled(self.now_ms, [TargetTotals(target="a", started=ok + failed)], news, self.load)
        self.minute.update(1.0, self.health.undoubted(news, self.routers))
        self.health.update(self.now_ms, self.routers, news, self.minute, zero, self.load)
        return self.health.states(self.now_ms)[0]


def test_a_word_excludes_for_five_seconds_and_no_longer() -> None:
    """Whatever the evidence was, it may all be that router's."""
    fleet = _Fleet()
    fleet.tick(ok=5)
    assert fleet.say("r1")
    assert [fleet.tick(failed=4)] + [fleet.tick() for _ in range(6)] == ["open"] * 4 + ["ok"] * 3


def test_a_second_word_lets_the_evidence_decide() -> None:
    """Two routers are not broken at once: the target is opened, probed, and closed as ever."""
    fleet = _Fleet()
    fleet.tick(ok=5)
    fleet.say("r1")
    fleet.tick(failed=4)
    fleet.say("r2")
    assert {fleet.tick(failed=4) for _ in range(4)} == {"open"}
    assert [fleet.tick(), fleet.tick(), fleet.tick(ok=7)] == ["open", "recovering", "ok"]


def test_without_a_word_pooled_evidence_decides() -> None:
    """Applications may report without a router; and where one router is all there is, its word is the fleet's."""
    fleet, alone = _Fleet(), _Fleet(routers=1)
    alone.say("r1")
    for one in (fleet, alone):
        assert [one.tick(failed=4)] + [one.tick() for _ in range(5)] == ["open"] * 5 + ["recovering"]


def test_what_one_router_held_against_a_target_is_forgotten_when_it_takes_its_word_back() -> None:
    """It must not open the target afterwards, though nobody sent anything meanwhile."""
    fleet = _Fleet()
    fleet.tick(ok=5)
    fleet.say("r1")
    fleet.tick(failed=6)
    for _ in range(6):
        fleet.tick()
    fleet.say("r1", tripped=False)
    assert {fleet.tick() for _ in range(3)} == {"ok"}


def test_failures_of_one_router_alone_do_not_make_a_target_dear() -> None:
    """They are in no estimate; with a second word they are."""
    fleet = _Fleet()
    fleet.say("r1")
    fleet.tick(ok=5, failed=4)
    assert fleet.minute.evidence.failed[0] == 0.0
    fleet.say("r2")
    fleet.tick(ok=5, failed=4)
    assert fleet.minute.evidence.failed[0] == 4.0


def test_words_about_strangers_are_not_heard() -> None:
    """Their names are not kept either."""
    fleet = _Fleet()
    assert not fleet.say("r1", target="nobody knows it")


def test_what_is_urgent() -> None:
    """Four failures at once of a target that is not open, and the end of an exclusion."""
    fleet = _Fleet()
    assert [fleet.health.urgent(T, T + 1, [3]), fleet.health.urgent(T, T + 1, [4])] == [False, True]
    fleet.say("r1")
    assert [fleet.health.urgent(T, T + 4_999, [0]), fleet.health.urgent(T, T + 5_000, [0])] == [False, True]
