from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from routecast.analytics.routing.local_health import Change, LocalHealth, Phase
from routecast.analytics.routing.overlay import Overlay
from routecast.models.snapshot import State

T = 1_700_000_000_000.0


class _Router:
    """The breakers of one router of two targets, at a time of its own."""

    def __init__(self, seed: int = 1, longest_open_ms: float = 30_000.0) -> None:
        self.overlay = Overlay()
        self.health = LocalHealth(2, self.overlay, random.Random(seed), longest_open_ms)
        self.now_ms = T

    def fail(self, times: int = 1, i: int = 0) -> None:
        for _ in range(times):
            self.health.failed(i, self.now_ms, self.now_ms, "error")

    def trip(self) -> None:
        self.fail(4)
        assert self.health.phase(0) is Phase.OPEN

    def wait(self, seconds: float) -> None:
        """Let time pass as a router does: look when something is due."""
        end_ms = self.now_ms + seconds * 1000
        while self.health.next_ms <= end_ms:
            self.now_ms = max(self.now_ms, self.health.next_ms)
            self.health.advance(self.now_ms)
        self.now_ms = end_ms
        self.health.advance(self.now_ms)

    def probe(self, *, ok: bool) -> None:
        """Answer the probe that is asked for."""
        assert self.overlay.probe == 0
        self.health.asked(0, self.now_ms, 8_000.0)
        assert self.overlay.probe is None
        started_ms = self.now_ms
        self.now_ms += 100
        if ok:
            self.health.ok(0, started_ms, self.now_ms)
        else:
            self.health.failed(0, started_ms, self.now_ms, "error")

    def heed(self, state: State, routers: int = 4) -> None:
        self.health.heed([state, "ok"], routers, self.now_ms)


@pytest.fixture
def probing() -> Callable[..., _Router]:
    """Makes a router whose breaker has tripped and waits for its first probe."""

    def make(seed: int = 1) -> _Router:
        router = _Router(seed)
        router.trip()
        router.wait(5.0)
        assert router.health.phase(0) is Phase.PROBING
        return router

    return make


def test_a_dead_target_trips_at_the_fourth_failure_and_the_fleet_is_told_once() -> None:
    """The other target is not touched."""
    router = _Router()
    router.fail(3)
    assert (router.health.phase(0), router.health.take_news()) == (Phase.CLOSED, [])
    router.fail()
    assert (router.health.phase(0), router.health.phase(1)) == (Phase.OPEN, Phase.CLOSED)
    router.fail(5)
    assert router.health.take_news() == [Change(0, "open", "error")]
    assert router.health.take_news() == []


def test_the_wait_is_jittered_over_its_whole_length() -> None:
    """From nothing to 5 s at first, so that routers do not come back together."""
    waits = []
    for seed in range(200):
        router = _Router(seed)
        router.trip()
        waits.append((router.health.next_ms - T) / 1000)
    assert 0 <= min(waits) < 0.3
    assert 4.7 < max(waits) <= 5.0
    assert sum(waits) / len(waits) == pytest.approx(2.5, abs=0.3)


def test_seven_clean_probes_close_and_the_share_ramps_up(probing: Callable[..., _Router]) -> None:
    """One probe after the other; from 10 % in ten steps of 3 s; the fleet is told."""
    router = probing()
    for n in range(7):
        assert (n, router.health.phase(0)) == (n, Phase.PROBING)
        router.probe(ok=True)
    assert router.health.phase(0) is Phase.CLOSED
    assert [change.state for change in router.health.take_news()] == ["open", "closed"]
    steps = []
    for _ in range(12):
        steps.append(round(own.ramp, 2) if (own := router.overlay.own(0)) else 1.0)
        router.wait(3.0)
    assert steps == [0.1, 0.19, 0.28, 0.37, 0.46, 0.55, 0.64, 0.73, 0.82, 0.91, 1.0, 1.0]


def test_a_failed_probe_costs_five_clean_ones(probing: Callable[..., _Router]) -> None:
    """It takes twelve successes then; two failures in a row open again."""
    router = probing()
    router.probe(ok=False)
    router.wait(1.0)
    for _ in range(11):
        router.probe(ok=True)
    assert router.health.phase(0) is Phase.PROBING
    router.probe(ok=True)
    assert router.health.phase(0) is Phase.CLOSED
    again = probing(seed=2)
    again.probe(ok=False)
    again.wait(1.0)
    again.probe(ok=False)
    assert again.health.phase(0) is Phase.OPEN


def test_what_started_before_the_probes_says_nothing_about_the_recovery(probing: Callable[..., _Router]) -> None:
    """Requests of the outage time out much later."""
    router = probing()
    for _ in range(5):
        router.health.failed(0, T, router.now_ms, "timeout")
    assert router.health.phase(0) is Phase.PROBING


def test_a_probe_of_which_nothing_is_heard_makes_way_for_another(probing: Callable[..., _Router]) -> None:
    """One whose caller gave up before it began, or a refusal, must not block the recovery."""
    router = probing()
    router.health.asked(0, router.now_ms, 8_000.0)
    router.wait(7.9)
    assert router.overlay.probe is None
    router.wait(0.2)
    assert router.overlay.probe == 0
    router.health.asked(0, router.now_ms, 8_000.0)
    router.health.neither(0, router.now_ms, router.now_ms)
    router.wait(1.1)
    assert router.overlay.probe == 0


def test_a_trip_during_the_ramp_doubles_the_wait(probing: Callable[..., _Router]) -> None:
    """The outage was not over; after a whole ramp the next wait begins with 5 s again."""
    longest = []
    for pause_s in (6.0, 40.0):
        waits = []
        for seed in range(60):
            router = probing(seed)
            for _ in range(7):
                router.probe(ok=True)
            router.wait(pause_s)
            router.fail(4)
            assert router.health.phase(0) is Phase.OPEN
            waits.append((router.health.next_ms - router.now_ms) / 1000)
        longest.append(max(waits))
    assert 8.5 < longest[0] <= 10.0
    assert 4.0 < longest[1] <= 5.0


def test_the_fleet_has_the_last_word_on_what_it_holds_open() -> None:
    """No probes while the fleet holds a target open; shared ones while it probes; closed with the fleet's ramp when it closes."""
    router = _Router()
    router.trip()
    router.heed("open")
    router.wait(20.0)
    assert (router.health.phase(0), router.overlay.probe) == (Phase.POOLED, None)
    router.heed("recovering")
    router.wait(2.0)
    router.probe(ok=True)
    assert router.overlay.probe is None
    router.heed("ok")
    assert (router.health.phase(0), router.overlay.own(0)) == (Phase.CLOSED, None)


def test_a_router_that_never_tripped_shares_the_probes_too() -> None:
    """Two a second of the whole fleet: with four routers each within two seconds, then one to three seconds apart."""
    firsts = []
    for seed in range(50):
        router = _Router(seed)
        router.heed("open")
        router.heed("recovering")
        firsts.append((router.health.next_ms - T) / 1000)
        router.wait(2.0)
        router.probe(ok=True)
        assert 1.0 <= (router.health.next_ms - router.now_ms) / 1000 <= 3.0
    assert 0 <= min(firsts) < 0.3
    assert 1.7 < max(firsts) <= 2.0


def test_a_router_whose_probe_fails_leaves_the_others_to_judge() -> None:
    """It stays away for a wait of its own; as it never tripped, the fleet is not told."""
    router = _Router()
    router.heed("recovering")
    router.wait(2.0)
    router.probe(ok=False)
    assert (router.health.phase(0), router.health.take_news()) == (Phase.OPEN, [])
    router.wait(5.0)
    assert router.health.phase(0) is Phase.POOLED


def test_a_word_that_lapsed_is_no_recovery() -> None:
    """The fleet closed again without having probed: this router's own breaker must still be convinced."""
    router = _Router()
    router.trip()
    router.heed("open")
    router.wait(6.0)
    router.heed("ok")
    assert router.health.phase(0) is Phase.PROBING
