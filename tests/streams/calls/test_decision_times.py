from __future__ import annotations

import random

import pytest

from routecast.models.config import Config
from routecast.streams.calls.decision_times import EVERY_MS, DecisionTimes
from routecast.streams.clock import FixedClock, SystemClock
from routecast.streams.emitter import Emitter
from routecast.streams.router import Router

CONFIG = Config.model_validate({"target": [{"id": name, "provider": name, "model": "m", "service": "chat"} for name in "ab"]})


class Steps(FixedClock):
    """A clock that every decision takes so long by."""

    def __init__(self, took_s: list[float]) -> None:
        super().__init__(0.0)
        self._took_s = took_s

    def decide(self) -> str:
        """Let the next one pass."""
        self.at_ms += self._took_s.pop(0) * 1000
        return "decided"


def test_percentiles_of_what_was_timed_are_right_within_one_percent() -> None:
    """And the next report is about what comes after it."""
    luck, times = random.Random(1), DecisionTimes()
    took_s = [luck.lognormvariate(-12.3, 0.5) for _ in range(1000)]
    clock, ranked = Steps(list(took_s)), sorted(took_s)
    assert {times.timed(clock, clock.decide) for _ in took_s} == {"decided"}
    assert list(times.report()) == pytest.approx([ranked[499] * 1e6, ranked[989] * 1e6], rel=0.011)
    assert times.report() == (None, None)


class Noted(FixedClock):
    """A clock that counts how often somebody takes the time of something."""

    reads = 0

    def monotonic_s(self) -> float:
        """A microsecond later each time."""
        self.reads += 1
        return self.reads / 1e6


@pytest.mark.parametrize(("apart_ms", "timed"), [(5, 10_000 / (EVERY_MS + 4)), (500, 20)])
def test_of_many_decisions_a_few_are_timed_and_of_few_all(apart_ms: int, timed: float) -> None:
    """By the time between them, however many there are."""
    clock = Noted(0.0)
    router = Router(CONFIG, "chat", Emitter(clock, random.Random(1)), clock, random.Random(1))
    before = clock.reads
    for at_ms in range(0, 10_000, apart_ms):
        clock.at_ms = at_ms
        router.choose()
    assert (clock.reads - before) / 2 == pytest.approx(timed, abs=2)


def test_a_router_reports_how_long_its_decisions_take() -> None:
    """The time of the call as the application waits for it, in microseconds; in virtual time nothing, so that runs repeat."""
    clock = SystemClock()
    router = Router(CONFIG, "chat", Emitter(clock, random.Random(1)), clock, random.Random(1))
    for _ in range(3):
        router.choose()
    told = router.stats()
    assert told.decision_us_p50 is not None
    assert told.decision_us_p99 is not None
    assert 0 < told.decision_us_p50 <= told.decision_us_p99
    still = FixedClock(0.0)
    router = Router(CONFIG, "chat", Emitter(still, random.Random(1)), still, random.Random(1))
    router.choose()
    assert router.stats().decision_us_p50 is None
