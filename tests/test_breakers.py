"""What a whole fleet makes of targets that die, hang, flicker or come back, and of a router whose own network is broken."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import pytest

from routecast.analytics.routing.availability import USABLE
from routecast.models.config import Config
from routecast.models.events import Outcome
from routecast.models.requirements import NONE
from routecast.streams.router import Router
from routecast.testing import Fleet

pytestmark = pytest.mark.untraced

BAD, CAPACITY = "t0", 8


class _Answer(NamedTuple):
    outcome: Outcome
    after_s: float


class _Attempt(NamedTuple):
    at_s: float
    router: int
    target: str


_Behaviour = Callable[[str, int, random.Random], _Answer | None]


class _Traffic:
    """A hundred requests a second to eight targets that serve eight at once and slow down beyond."""

    def __init__(self, routers: int = 8) -> None:
        targets = [{"id": f"t{i}", "provider": f"p{i}", "model": "m", "service": "chat"} for i in range(8)]
        self.fleet = Fleet(Config.model_validate({"target": targets}), routers=routers, seed=3)
        self._luck, self._routers = random.Random(3), routers
        self._open = dict.fromkeys((f"t{i}" for i in range(8)), 0)

    def run(self, seconds: float, behave: _Behaviour = lambda *_: None) -> list[_Attempt]:
        end_ms, done = self.fleet.now_ms + seconds * 1000, list[_Attempt]()
        while self.fleet.now_ms < end_ms:
            self.fleet.advance_to(min(end_ms, self.fleet.now_ms + self._luck.expovariate(0.12)))
            number = self._luck.randrange(self._routers)
            router = self.fleet.router(number)
            call = router.start(router.choose())
            target = call.decision.target
            done.append(_Attempt(self.fleet.now_ms / 1000, number, target))
            self._open[target] += 1
            usual = _Answer("ok", self._luck.lognormvariate(-1.0, 0.5) * max(1.0, self._open[target] / CAPACITY))
            answer = behave(target, number, self._luck) or usual
            self.fleet.queue.after(answer.after_s * 1000, self._end, call.finish, target, answer.outcome)
        return done

    def _end(self, finish: Callable[[Outcome], None], target: str, outcome: Outcome) -> None:
        self._open[target] -= 1
        finish(outcome)

    def state(self) -> str:
        """Of the bad target, as published."""
        snapshot = self.fleet.snapshot()
        return next(entry.state for entry in snapshot.targets if entry.id == BAD) if snapshot else ""


def _share(attempts: list[_Attempt]) -> float:
    return sum(attempt.target == BAD for attempt in attempts) / len(attempts)


def _dead(target: str, _: int, __: random.Random) -> _Answer | None:
    return _Answer("error", 0.01) if target == BAD else None


def _hanging(target: str, _: int, __: random.Random) -> _Answer | None:
    return _Answer("timeout", 30.0) if target == BAD else None


def _flaky(target: str, _: int, luck: random.Random) -> _Answer | None:
    return _Answer("error" if luck.random() < 0.2 else "ok", luck.lognormvariate(-2.4, 0.5)) if target == BAD else None


def _cut_off(target: str, router: int, _: random.Random) -> _Answer | None:
    return _Answer("error", 0.01) if target == BAD and router == 0 else None


def _full(router: Router) -> bool:
    return next(entry.state in USABLE and entry.ramp == 1.0 for entry in router.considered(NONE).view.entries if entry.id == BAD)


@pytest.mark.parametrize("outage", [_dead, _hanging])
def test_an_outage_costs_little_and_is_over_soon(outage: _Behaviour) -> None:
    """At most 1 % of the traffic goes there while it is open; 90 s after its end the target has its full weight again, in every router."""
    traffic = _Traffic()
    traffic.run(60)
    usual = _share(traffic.run(20))
    began_s = traffic.fleet.now_ms / 1000
    during = traffic.run(45, outage)
    late = [attempt for attempt in during if attempt.at_s > began_s + 6]
    assert _share(late) <= 0.01
    assert traffic.state() in {"open", "recovering"}
    traffic.run(70)
    assert _share(traffic.run(20)) > 0.6 * usual
    assert all(_full(traffic.fleet.router(i)) for i in range(8))


def test_the_fastest_target_gets_little_if_it_fails_one_request_in_five() -> None:
    """Less than 10 % of the traffic after fifty of its calls."""
    done, calls = _Traffic().run(90, _flaky), 0
    for n, attempt in enumerate(done):
        calls += attempt.target == BAD
        if calls == 50:
            assert len(done) - n > 1000
            assert _share(done[n:]) < 0.1
            return
    pytest.fail("it was hardly tried at all")


def test_one_router_without_network_does_not_close_a_target_for_the_others() -> None:
    """Its word excludes the target once, for 5 s; the others' traffic stays, at the price it had."""
    traffic = _Traffic(routers=3)
    traffic.run(60)
    others_before = [attempt for attempt in traffic.run(30) if attempt.router != 0]
    after, states = list[_Attempt](), list[str]()
    for _ in range(160):
        after += traffic.run(0.5, _cut_off)
        states.append(traffic.state())
    assert "open" in states
    assert states.count("open") <= 12
    assert "recovering" not in states
    assert _share([attempt for attempt in after if attempt.router != 0]) > 0.7 * _share(others_before)
    assert _share([attempt for attempt in after if attempt.router == 0 and attempt.at_s > after[0].at_s + 6]) < 0.05
