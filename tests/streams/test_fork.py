from __future__ import annotations

import gc
import json
import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from routecast import Config, Router
from routecast.models.events import Completed, Started, decode_events
from routecast.streams import fork
from routecast.streams.clock import FixedClock
from routecast.streams.emitter import Emitter
from routecast.streams.fork import renew_after_fork

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]
CONFIG = Config.model_validate(
    {
        "target": [{"id": name, "provider": "p", "model": "m", "service": "chat"} for name in "abcd"],
        "intervals": {"snapshot_ms": 200, "metrics_ms": 1000},
    }
)


def _in_child(act: Callable[[], object]) -> Any:
    """What `act` returns in a forked child, by way of JSON; a child that hangs is ended after 20 s."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            answer = json.dumps(act())
        except BaseException as error:  # noqa: BLE001 - the parent shall see it
            answer = json.dumps(repr(error))
        os.write(write, answer.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, "the child hung or died"
    return json.loads(answer)


def _router() -> Router:
    clock = FixedClock(1000.0)
    rng = random.Random(1)
    return Router(CONFIG, "chat", Emitter(clock, rng), clock, rng)


def _sent(emitter: Emitter) -> list[str]:
    events = decode_events(emitter.take() or b"[]")[0]
    return [event.request_id for event in events if isinstance(event, Started | Completed)]


def test_a_child_sends_its_own_events_and_the_parent_its_own() -> None:
    """Under another name, from an empty buffer: nothing is sent twice."""
    emitter = Emitter(rng=random.Random(1), capacity=2)
    for i in range(3):
        emitter.started(f"p{i}", "t")
    before = (emitter.name, emitter.partition_draw)

    def child() -> object:
        fresh = (emitter.waiting, emitter.emitted, emitter.dropped)
        emitter.started("c", "t")
        emitter.completed("p0", "t", "ok", 1.0, start_reported=True)
        return [emitter.name, fresh, _sent(emitter), emitter.close()]

    name, *rest = _in_child(child)
    assert rest == [[0, 0, 0], ["c", "p0"], True]
    assert name != emitter.name
    assert ((emitter.name, emitter.partition_draw), _sent(emitter), emitter.dropped) == (before, ["p1", "p2"], 1)


def test_children_of_one_parent_do_not_draw_alike() -> None:
    """Workers forked from one process would else send to one partition and choose the same targets in the same order."""
    router = _router()

    def child() -> object:
        return [router.emitter.partition_draw, [router.choose().target for _ in range(40)], router.emitter.request_id()]

    draws, decisions, ids = zip(*(_in_child(child) for _ in range(3)), strict=True)
    assert len(set(draws)) == 3
    assert len({tuple(chosen) for chosen in decisions}) == 3
    assert len(set(ids)) == 3


def test_locks_that_were_held_do_not_stop_a_child() -> None:
    """A thread that held them is not there to let them go."""
    router = _router()

    def child() -> object:
        router.start(router.choose(), deadline_ms=0).finish()
        router.end_overdue()
        return [len(_sent(router.emitter)), len(router.stats().decisions)]

    with router._lock, router.emitter._taking, router._calls.deadlines._lock:
        assert _in_child(child) == [2, 1]


def test_the_parents_calls_are_the_parents_to_end() -> None:
    """In the child nothing is in flight, no deadline runs, and ending an inherited call does nothing."""
    router = _router()
    calls = [router.start(router.choose(), deadline_ms=0) for _ in range(6)]
    router.emitter.take()

    def child() -> object:
        fresh = list(router.in_flight.values())
        router.end_overdue()
        for call in calls:
            call.finish("error")
        own = router.start(router.choose())
        return [
            fresh,
            own.decision.target == max(router.in_flight, key=lambda name: router.in_flight[name]),
            sum(router.in_flight.values()),
            _sent(router.emitter),
        ]

    fresh, there, in_flight, sent = _in_child(child)
    assert (fresh, there, in_flight, len(sent)) == ([0, 0, 0, 0], True, 1, 1)
    assert sum(router.in_flight.values()) == 6
    router.end_overdue()
    assert (sum(router.in_flight.values()), len(_sent(router.emitter))) == (0, 6)


def test_the_load_of_inherited_calls_does_not_weigh_on_a_child() -> None:
    """Its costs are those of a router with nothing in flight."""
    router, idle = _router(), _router()
    for _ in range(40):
        router.start(router.choose())
    assert list(router.choose().costs) != list(idle.choose().costs)
    assert sorted(_in_child(lambda: list(router.choose().costs))) == sorted(idle.choose().costs)


def _until(true: Callable[[], bool]) -> bool:
    """Wait for the background thread, at most 10 s."""
    for _ in range(1000):
        if true():
            return True
        time.sleep(0.01)
    return False


def test_a_child_leaves_an_inherited_connection_at_once_and_alone() -> None:
    """It neither hangs nor takes the parent's pipeline down, whatever the background thread was doing."""
    with Router.connect_sync("memory://inherited", CONFIG) as router:
        connection = Router.connect_sync("memory://inherited", CONFIG)
        connection.__enter__()

        def child() -> object:
            router.start(router.choose()).finish("error")
            connection.__exit__(None, None, None)
            return router.emitter.waiting

        for _ in range(20):
            assert _in_child(child) == 2
        connection.__exit__(None, None, None)
        with router.track(router.choose()):
            pass
        assert _until(lambda: (system := router.system()) is not None and system.requests_total == 1)


def test_a_child_that_uses_an_inherited_connection_is_told_once_what_that_means() -> None:
    """Else a server that forks its workers would report nothing, and nobody would know why."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("routecast.streams.fork").addHandler(handler)
    with Router.connect_sync("memory://told", CONFIG) as router:

        def child() -> object:
            for _ in range(3):
                router.start(router.choose()).finish()
            return said

        (told,) = _in_child(child)
        assert "connect in each process" in told
        router.start(router.choose()).finish()
    logging.getLogger("routecast.streams.fork").removeHandler(handler)
    assert said == []


def test_a_child_can_connect_anew_under_the_same_name() -> None:
    """To a pipeline of its own, which knows nothing of the parent's."""
    with Router.connect_sync("memory://anew", CONFIG) as router:
        for _ in range(5):
            with router.track(router.choose()):
                pass

        def child() -> object:
            with Router.connect_sync("memory://anew", CONFIG) as own:
                for _ in range(3):
                    own.start(own.choose()).finish()
                counted = _until(lambda: (system := own.system()) is not None and system.requests_total == 3)
                return [own.snapshot is not None, counted, len(threading.enumerate())]

        assert _in_child(child) == [True, True, 2]
        assert _until(lambda: (system := router.system()) is not None and system.requests_total == 5)


class _Owner:
    """Something to renew."""

    def __init__(self) -> None:
        self.renewed = 0
        renew_after_fork(self, _Owner.renew)

    def renew(self) -> None:
        self.renewed += 1


def test_everything_that_lives_is_renewed_once_and_what_is_gone_leaves_nothing_behind() -> None:
    """A process may make and forget many routers before it forks."""
    gc.collect()
    before = len(fork._renewals)
    owners = [_Owner() for _ in range(100)]
    assert len(fork._renewals) == before + 100
    assert _in_child(lambda: [owner.renewed for owner in owners]) == [1] * 100
    assert [owner.renewed for owner in owners] == [0] * 100
    owners.clear()
    gc.collect()
    assert len(fork._renewals) == before
