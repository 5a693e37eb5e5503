from __future__ import annotations

import numpy as np

from routecast.analytics.fleet.hangs import Hangs
from routecast.analytics.fleet.load import LoadTracker
from routecast.analytics.merge import SlotNews

T = 1_700_000_000_000.0


class _Target:
    """One target of which requests are expected to take half a second; a tick a second."""

    def __init__(self) -> None:
        self.load, self.hangs, self.now_ms = LoadTracker(1), Hangs(), T
        self.hangs.grow(1)
        self.hangs.expect(np.array([0.5]), np.array([0.2]))

    def tick(self, started: int = 0, ok: int = 0, broken: int = 0, ended_from_ms: float = 0.0) -> tuple[float, float]:
        """Failures that count because they ended, and because they hang."""
        self.now_ms += 1000.0
        self.load.advance(self.now_ms)
        self.load.add(0, _news(self.now_ms - 1000.0, started=started))
        if ok or broken:
            self.load.add(0, _news(ended_from_ms or self.now_ms - 1000.0, ended=ok + broken))
        kept, hung = self.hangs.update(self.now_ms, np.array([ok * 1.0]), np.array([broken * 1.0]), np.array([started * 1.0]), self.load)
        return float(kept[0]), float(hung[0])


def _news(at_ms: float, *, started: int = 0, ended: int = 0) -> SlotNews:
    plain = dict.fromkeys(SlotNews._fields, 0)
    return SlotNews(**plain | {"target": "a", "slot_ms": int(at_ms) // 500 * 500, "started": started, "ended": ended, "completed": ended})  # type: ignore[arg-type]


def test_requests_that_nobody_answers_count_once_they_are_eight_times_as_old_as_expected() -> None:
    """Three every second: from four seconds on three more each second."""
    target = _Target()
    target.tick(started=3, ok=3)
    found = [target.tick(started=3)[1] for _ in range(9)]
    assert found[:3] == [0.0, 0.0, 0.0]
    assert sum(found) == 3 * 5


def test_what_has_counted_does_not_count_again_when_it_times_out() -> None:
    """Half a minute later."""
    target = _Target()
    for _ in range(10):
        target.tick(started=3)
    began_ms = T
    assert target.tick(started=3, broken=3, ended_from_ms=began_ms)[0] == 0.0
    assert target.tick(broken=0) == (0.0, 3.0)


def test_requests_of_a_process_that_died_say_nothing_of_a_target_that_answers_others() -> None:
    """They stay open until their pane expires."""
    target = _Target()
    target.tick(started=20)
    assert [target.tick(started=5, ok=5) for _ in range(30)] == [(0.0, 0.0)] * 30


def test_requests_of_the_last_process_that_died_say_nothing_either() -> None:
    """Nobody sends anything any more."""
    target = _Target()
    target.tick(started=20)
    assert [target.tick() for _ in range(30)] == [(0.0, 0.0)] * 30


def test_what_is_open_when_a_target_begins_anew_belongs_to_the_outage() -> None:
    """It may end badly for two minutes; what is sent later counts."""
    target = _Target()
    target.tick(started=4, ok=0)
    target.hangs.leave(np.array([0]), target.now_ms, target.load)
    assert target.tick(started=2, ok=2, broken=3) == (0.0, 0.0)
    assert target.tick(started=3, broken=3) == (2.0, 0.0)
    target.hangs.leave(np.array([0]), target.now_ms, target.load)
    for _ in range(121):
        target.tick()
    assert target.tick(started=1, broken=1)[0] == 1.0


def test_without_an_expectation_nothing_hangs() -> None:
    """A target of which too little is known."""
    target = _Target()
    target.hangs.expect(np.array([np.inf]), np.array([0.0]))
    assert {target.tick(started=3) for _ in range(20)} == {(0.0, 0.0)}
