"""When elections are held, by a leader and processes whose answers are literal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from routecast.models.config import Config
from routecast.models.election import Election, Elections
from routecast.models.snapshot import RoutingSnapshot
from routecast.streams.leadership.electing import Ballot
from routecast.streams.leadership.elector import Elector

CONFIG = Config.model_validate({
    "target": [{"id": name, "provider": "p", "model": "m", "service": service} for name, service in (("a", "chat"), ("b", "mail"))],
    "intervals": {"election_ms": 60_000},
})  # fmt: skip


class Watch:
    """A clock that is set by hand."""

    s = 1000.0

    def now_ms(self) -> float:
        """Epoch ms."""
        return self.s * 1000.0

    def monotonic_s(self) -> float:
        """Seconds."""
        return self.s


class Leader:
    """A leader whose services follow what it is told."""

    snapshots: Mapping[str, RoutingSnapshot] = {}

    def __init__(self, **following: str) -> None:
        self.following = following

    def on_auto(self) -> Mapping[str, str]:
        """Those that it was told of."""
        return dict(self.following)


def saying(*elections: Election) -> Callable[[], Ballot]:
    """Makes processes that answer so, once asked."""
    answer = Elections(elections=elections).model_dump_json()
    return lambda: Ballot((sys.executable, "-c", f"import sys; sys.stdin.readline(); print({answer!r})"))


def chosen(policy: Any, before: str = "performance", service: str = "chat") -> Election:
    """What evidence says of a service."""
    return Election(service=service, before=before, policy=policy, why="it is faster")


def words_of(elector: Elector, leader: Leader, eventually: Callable[..., None]) -> list[tuple[str, str | None, str, str]]:
    """Begins an election and waits for its words."""
    found: list[tuple[str, str | None, str, str]] = []

    def over() -> bool:
        found.extend((word.service, word.policy, word.why, word.emitter) for word in elector.turn(leader))
        return elector._thread is None

    elector.turn(leader)
    assert elector._thread is not None
    eventually(over)
    return found


def test_what_is_chosen_becomes_a_word(eventually: Callable[..., None]) -> None:
    """Where it is another policy than the one in force; the first election is held an interval after the beginning."""
    clock, leader = Watch(), Leader(chat="performance", mail="weighted")
    elector = Elector(CONFIG, clock, "w-1", saying(chosen("weighted"), chosen("weighted", "weighted", "mail")))
    clock.s += 59.0
    assert elector.turn(leader) == []
    assert elector._thread is None
    clock.s += 1.0
    assert words_of(elector, leader, eventually) == [("chat", "weighted", "it is faster", "w-1")]
    clock.s += 59.0
    assert elector.turn(leader) == []
    assert elector._thread is None


@pytest.mark.parametrize("following", [{}, {"chat": "weighted"}, {"mail": "performance"}], ids=["operator", "elected meanwhile", "another"])
def test_what_operators_said_meanwhile_wins(following: dict[str, str], eventually: Callable[..., None]) -> None:
    """Evidence that was asked for before is no answer to it."""
    clock, leader = Watch(), Leader(chat="performance")
    elector = Elector(CONFIG, clock, "w-1", saying(chosen("weighted")))
    clock.s += 60.0
    elector.turn(leader)
    leader.following = following
    eventually(lambda: not elector._done.empty())
    assert elector.turn(leader) == []
    assert elector._thread is None


@pytest.mark.parametrize(("following", "every_ms"), [({}, 60_000), ({"chat": "performance"}, 0)])
def test_nothing_is_started_where_nothing_is_to_be_chosen(following: dict[str, str], every_ms: int) -> None:
    """No service on auto, or no elections at all."""
    clock = Watch()
    config = CONFIG.model_copy(update={"intervals": CONFIG.intervals.model_copy(update={"election_ms": every_ms})})
    elector = Elector(config, clock, "w-1", saying())
    clock.s += 6000.0
    assert elector.turn(Leader(**following)) == []
    assert elector._thread is None


def test_an_election_that_fails_is_one_warning(caplog: pytest.LogCaptureFixture, eventually: Callable[..., None]) -> None:
    """Whatever goes wrong; the next round tries again, and the same reason is not said again."""
    clock, leader = Watch(), Leader(chat="performance")
    elector = Elector(CONFIG, clock, "w-1", lambda: Ballot((sys.executable, "-c", "import sys; sys.exit('no broker')")))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            clock.s += 60.0
            assert words_of(elector, leader, eventually) == []
    assert [record.message for record in caplog.records] == ["policy auto stays as it is: no evidence, the process ended with code 1: no broker"]


def test_closing_ends_the_process_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """At once, and nothing is begun afterwards."""
    clock, leader = Watch(), Leader(chat="performance")
    elector = Elector(CONFIG, clock, "w-1", lambda: Ballot((sys.executable, "-c", "import threading; threading.Event().wait()")))
    clock.s += 60.0
    elector.turn(leader)
    thread = elector._thread
    assert thread is not None
    elector.close()
    assert not thread.is_alive()
    assert caplog.records == []
    clock.s += 600.0
    assert elector.turn(leader) == []
    assert elector._thread is None
