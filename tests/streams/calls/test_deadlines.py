from __future__ import annotations

import random

from routecast.models.config import Config
from routecast.streams.calls.call import Call
from routecast.streams.calls.deadlines import Deadlines
from routecast.streams.clock import FixedClock
from routecast.streams.emitter import Emitter
from routecast.streams.router import Router

CONFIG = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]})


def _calls(n: int) -> list[Call]:
    clock = FixedClock(0.0)
    router = Router(CONFIG, "chat", Emitter(clock, random.Random(1)), clock, random.Random(1))
    return [router.start(router.choose()) for _ in range(n)]


def test_calls_are_overdue_in_the_order_of_their_time() -> None:
    """Each once, and none before its time."""
    deadlines, calls = Deadlines(), _calls(4)
    for at_s, call in zip((3.0, 1.0, 2.0, 2.0), calls, strict=True):
        deadlines.add(at_s, call)
    assert deadlines.overdue(0.999) == []
    assert deadlines.overdue(2.0) == [calls[1], calls[2], calls[3]]
    assert deadlines.overdue(2.5) == []
    assert deadlines.overdue(9.0) == [calls[0]]


def test_calls_that_ended_are_let_go_of() -> None:
    """Ten thousand calls that ended long before their time take the room of a thousand; those that are open stay."""
    deadlines, calls = Deadlines(), _calls(10_000)
    for i, call in enumerate(calls):
        deadlines.add(1000.0 + i, call)
        if i % 100:
            call.finish()
    assert len(deadlines) <= 1001
    assert [call for call in deadlines.overdue(1e9) if not call.done] == calls[::100]
