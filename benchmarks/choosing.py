"""Choosing under fire: how soon breakers trip, what a target that fails or hangs still gets, how it comes back, what one router can do to others."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from typing import NamedTuple

from core import Row

from routecast import Config, Router
from routecast.analytics.routing.availability import USABLE
from routecast.analytics.routing.breaker import OwnCusum
from routecast.models.events import Outcome
from routecast.models.requirements import NONE
from routecast.streams.clock import FixedClock
from routecast.streams.emitter import Emitter
from routecast.testing import Fleet

N_TARGETS, N_ROUTERS, PER_SECOND = 8, 16, 120.0
BAD = "t0"
CAPACITY = 8


class Answer(NamedTuple):
    """What a target does with a request."""

    outcome: Outcome
    after_s: float


class Attempt(NamedTuple):
    """One request of the traffic."""

    at_s: float
    router: int
    target: str
    outcome: Outcome


Behaviour = Callable[[str, int, random.Random], Answer | None]
"""(target, router, random numbers) → how it ends; None: in the usual way."""


class Traffic:
    """Requests at a steady rate to a fleet whose targets serve a few at once and slow down beyond."""

    def __init__(self, seed: int, *, routers: int = N_ROUTERS, per_second: float = PER_SECOND) -> None:
        targets = [{"id": f"t{i}", "provider": f"p{i}", "model": "m", "service": "chat"} for i in range(N_TARGETS)]
        self.fleet = Fleet(Config.model_validate({"target": targets}), routers=routers, seed=seed)
        self._luck = random.Random(seed)
        self._routers, self._per_second = routers, per_second
        self._open = dict.fromkeys((f"t{i}" for i in range(N_TARGETS)), 0)
        self.began_s = self.now_s

    @property
    def now_s(self) -> float:
        """Virtual seconds."""
        return self.fleet.now_ms / 1000.0

    def run(self, seconds: float, behave: Behaviour = lambda *_: None) -> list[Attempt]:
        """The attempts of so many seconds."""
        end_s, done = self.now_s + seconds, list[Attempt]()
        while True:
            self.fleet.advance_to(min(end_s * 1000, self.fleet.now_ms + self._luck.expovariate(self._per_second) * 1000))
            if self.now_s >= end_s:
                return done
            done.append(self._attempt(behave))

    def _attempt(self, behave: Behaviour) -> Attempt:
        number = self._luck.randrange(self._routers)
        router = self.fleet.router(number)
        call = router.start(router.choose())
        target = call.decision.target
        self._open[target] += 1
        answer = behave(target, number, self._luck) or Answer("ok", self._luck.lognormvariate(-1.0, 0.5) * max(1.0, self._open[target] / CAPACITY))

        def end() -> None:
            self._open[target] -= 1
            call.finish(answer.outcome)

        self.fleet.queue.after(answer.after_s * 1000, end)
        return Attempt(self.now_s, number, target, answer.outcome)


def share(attempts: list[Attempt], target: str = BAD) -> float:
    """What of the attempts went to a target."""
    return sum(attempt.target == target for attempt in attempts) / max(1, len(attempts))


def dead(target: str, _: int, __: random.Random) -> Answer | None:
    """The bad target fails at once."""
    return Answer("error", 0.01) if target == BAD else None


def hanging(target: str, _: int, __: random.Random) -> Answer | None:
    """The bad target answers nobody; callers give up after half a minute."""
    return Answer("timeout", 30.0) if target == BAD else None


def flaky(target: str, _: int, luck: random.Random) -> Answer | None:
    """The bad target is four times as fast as the others, and fails one request in five."""
    return Answer("error" if luck.random() < 0.2 else "ok", luck.lognormvariate(-2.4, 0.5)) if target == BAD else None


def cut_off(target: str, router: int, _: random.Random) -> Answer | None:
    """The bad target is well; only router 0 cannot reach it."""
    return Answer("error", 0.01) if target == BAD and router == 0 else None


def until_trip(fail_ratio: float, seed: int) -> int:
    """Requests of an outage until a breaker trips, after 500 good ones."""
    luck, cusum = random.Random(seed), OwnCusum()
    for _ in range(500):
        cusum.ok()
    for n in range(1, 100_000):
        if luck.random() >= fail_ratio:
            cusum.ok()
        elif cusum.failed():
            return n
    return 100_000


def false_trips(requests: int, fail_ratio: float = 0.01) -> int:
    """Trips of a router with one target among so many requests of which one in a hundred fails."""
    clock, luck = FixedClock(1_700_000_000_000.0), random.Random(4)
    config = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})
    router = Router(config, "chat", Emitter(clock, luck), clock, luck)
    trips = 0
    for n in range(requests):
        clock.at_ms += 20.0
        router.start(router.choose()).finish("error" if luck.random() < fail_ratio else "ok")
        if n % 1000 == 0:
            while router.emitter.take() is not None:
                pass
            trips += router.emitter.take_announced() is not None
    return trips


def _full(router: Router) -> bool:
    """Whether the bad target may take its whole share again, for all this router knows."""
    view = router.considered(NONE).view
    return next(entry.state in USABLE and entry.ramp == 1.0 for entry in view.entries if entry.id == BAD)


class Outage(NamedTuple):
    """What an outage of one target cost, and its end."""

    first: int
    """Requests it got in the first five seconds."""
    open_share: float
    """Share of the traffic it got after those."""
    back_s: float
    """Until it carried its full weight again, published and in every router, and three quarters of the traffic it had before."""


def outage(behave: Behaviour, seed: int, seconds: float = 90.0) -> Outage:
    """A minute of health, an outage, recovery."""
    traffic = Traffic(seed)
    traffic.run(60)
    usual = share(traffic.run(60))
    began_s = traffic.now_s
    during = traffic.run(seconds, behave)
    ended_s = traffic.now_s
    back_s = float("inf")
    for _ in range(30):
        got = share(traffic.run(5))
        if got >= 0.75 * usual and all(_full(traffic.fleet.router(i)) for i in range(N_ROUTERS)):
            back_s = traffic.now_s - ended_s
            break
    late = [attempt for attempt in during if attempt.at_s >= began_s + 5]
    return Outage(sum(attempt.target == BAD for attempt in during) - sum(attempt.target == BAD for attempt in late), share(late), back_s)


class Lone(NamedTuple):
    """What the others saw of a target that router 0 alone cannot reach."""

    share_before: float
    share_after: float
    open_ratio: float
    """Of the time, in the snapshots."""


def lone(seed: int, seconds: float = 120.0) -> Lone:
    """Four routers, one of which cannot reach a target."""
    traffic = Traffic(seed, routers=4)
    traffic.run(60)
    before, after, opened = traffic.run(60), list[Attempt](), 0
    for _ in range(int(2 * seconds)):
        after += traffic.run(0.5, cut_off)
        snapshot = traffic.fleet.snapshot()
        opened += snapshot is not None and next(entry.state == "open" for entry in snapshot.targets if entry.id == BAD)
    others = [[attempt for attempt in attempts if attempt.router != 0] for attempts in (before, after)]
    return Lone(share(others[0]), share(others[1]), opened / (2 * seconds))


def after_fifty(seed: int, seconds: float = 120.0) -> float:
    """The share of the traffic that a fast but flaky target gets after its first fifty calls."""
    done, calls = Traffic(seed).run(seconds, flaky), 0
    for n, attempt in enumerate(done):
        calls += attempt.target == BAD
        if calls == 50:
            return share(done[n:])
    return 0.0


def breaker() -> list[Row]:
    """How soon breakers trip, and what a whole fleet makes of targets that fail, hang or come back."""
    runs = 400
    trips = {ratio: [until_trip(ratio, seed) for seed in range(runs)] for ratio in (1.0, 0.5, 0.3, 0.1)}
    goals = {1.0: "≤ 4", 0.3: "≤ 25"}
    rows = [
        Row(f"requests until a breaker trips, {ratio:.0%} fail, mean of {runs}", f"{statistics.mean(found):.1f}", goals.get(ratio, ""))
        for ratio, found in trips.items()
    ]
    rows.append(Row("false trips of a router in 1,000,000 requests at 1 % errors", str(false_trips(1_000_000)), "0"))
    for name, behave in (("dead", dead), ("hanging", hanging)):
        found = [outage(behave, seed) for seed in range(3)]
        rows.append(Row(f"{name}: requests of the fleet to it in the first 5 s", f"{max(o.first for o in found)} of {5 * PER_SECOND:.0f}"))
        rows.append(Row(f"{name}: share of the traffic to it while open", f"{max(o.open_share for o in found):.2%}", "≤ 1 %"))
        rows.append(Row(f"{name}: full weight again after recovery", f"{max(o.back_s for o in found):.0f} s", "≤ 90 s"))
    rows.append(Row("fastest, 20 % fail: share after 50 of its calls", f"{max(after_fifty(seed) for seed in range(3)):.1%}", "< 10 %"))
    alone = [lone(seed) for seed in range(3)]
    rows.append(Row("one router cut off: the target's share of the others' traffic", f"{min(a.share_after / a.share_before for a in alone):.0%} of before"))
    rows.append(Row("one router cut off: time the target is open for the others", f"{max(a.open_ratio for a in alone):.1%}", "≤ 17 %"))
    return rows
