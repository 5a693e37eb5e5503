from __future__ import annotations

from msgspec.structs import replace

from routecast.dashboards.terminal.board import Since
from routecast.dashboards.terminal.journal import Journal, shares
from routecast.models.config import Config
from routecast.models.events import Control, Tripped, encode_events
from routecast.models.experiments import Arm, Experiment
from routecast.models.snapshot import RoutingSnapshot, State, TargetScore, encode_snapshot
from routecast.models.tick import Claim, encode_tick
from routecast.streams.memory import Record
from routecast.streams.topics import Topic

A = TargetScore(
    id="a", state="ok", time_s=1.0, service_s=1.0, capacity=4.0, share=0.6, in_flight=1.0, in_flight_mean=1.0, cost_s=1.0, success=0.99, fail_s=0.1,
    quality=0.8,
)  # fmt: skip
CONFIG = Config.model_validate({"target": [{"id": name, "provider": "p", "model": "m", "service": "chat"} for name in ("a", "b")]})
B = replace(A, id="b", share=0.4)


def _snapshot(seq: int, *targets: TargetScore, term: int = 1) -> Record:
    snapshot = RoutingSnapshot(
        service="chat", term=term, seq=seq, at_ms=1000.0 * seq, period_ms=1000.0, rate_per_s=1.0, routers=1, t_ref_s=1.0, targets=targets
    )
    return Record(seq, 1000.0 * seq, b"chat", encode_snapshot(snapshot))


def _said(journal: Journal) -> list[tuple[str, str, str]]:
    return [(happening.kind, happening.who, happening.text) for happening in journal.happenings]


def test_a_state_is_told_when_it_changes_with_the_moment_and_the_shares() -> None:
    """Nothing is told of what was so from the beginning, whose beginning nobody knows."""
    journal = Journal(CONFIG)
    journal.take("scores", _snapshot(1, A, B))
    assert (journal.standings["chat", "b"].since, _said(journal)) == (Since(at_ms=1000.0, exact=False), [])
    journal.take("scores", _snapshot(5, A, replace(B, state="open")))
    assert journal.standings["chat", "b"].since == Since(at_ms=5000.0, exact=True)
    assert journal.standings["chat", "b"].before == {"a": 0.6, "b": 0.4}
    assert _said(journal) == [("state", "b", "ok → open, planned share 40% → 0%")]


def test_what_is_tried_again_and_fails_again_is_one_story() -> None:
    """It began with the first failure, and so did what others took over."""
    journal = Journal(CONFIG)
    states: tuple[State, ...] = ("ok", "open", "recovering", "open")
    for seq, state in enumerate(states, 1):
        journal.take("scores", _snapshot(seq, A, replace(B, state=state)))
    assert journal.standings["chat", "b"].since.at_ms == 2000.0
    assert journal.standings["chat", "b"].before == {"a": 0.6, "b": 0.4}
    journal.take("scores", _snapshot(5, A, B))
    assert journal.standings["chat", "b"].since.at_ms == 5000.0


def test_old_records_and_what_cannot_be_read_change_nothing() -> None:
    """Leaders that overlapped, records that come again, and garbage on any topic."""
    journal = Journal(CONFIG)
    journal.take("scores", _snapshot(7, A, B))
    for record in (
        _snapshot(6, replace(A, state="open"), B),
        _snapshot(7, replace(A, state="open"), B),
        Record(9, 0.0, b"chat", b"garbage"),
        Record(9, 0.0, b"", None),
    ):
        journal.take("scores", record)
    topics: tuple[Topic, ...] = ("details", "insights", "control", "trips", "ticks")
    for topic in topics:
        journal.take(topic, Record(1, 0.0, b"", b'{"type":"claim"'))
    assert (journal.snapshots["chat"].seq, journal.standings["chat", "a"].state, _said(journal)) == (7, "ok", [])


def test_every_word_is_told_in_words() -> None:
    """Of policies and experiments too."""
    arms = (Arm(name="a", share=0.5), Arm(name="b", share=0.5))
    experiment = Experiment(name="try", salt="0123abcd", service="chat", arms=arms, starts_ms=1.0, ends_ms=2.0)
    journal = Journal(CONFIG)
    for word in (
        Control(at_ms=1.0, action="elect_policy", service="chat", policy="weighted", why="it is faster", emitter="w-1"),
        Control(at_ms=1.0, action="start_experiment", service="chat", experiment=experiment),
        Control(at_ms=1.0, action="stop_experiment", service="chat", name=experiment.id, why="enough"),
    ):
        journal.take("control", Record(0, 1000.0, b"", encode_events([word])))
    assert [text for _, _, text in _said(journal)] == [
        "auto is weighted (it is faster) by w-1",
        "experiment try started by an operator",
        "experiment stopped (enough) by an operator",
    ]


def test_operators_leaders_and_routers_are_told_of() -> None:
    """Who drained a target is kept; routers that trip over the same thing are one line; control characters do not get through."""
    journal = Journal(CONFIG)
    journal.take("control", Record(0, 1000.0, b"b", encode_events([Control(at_ms=1.0, emitter="ada@ops\x1b[2J", target="b", action="drain")])))
    journal.take("ticks", Record(7, 2000.0, b"", encode_tick(Claim(at_ms=1.0, worker="w-1", config_version="v"))))
    for name in ("r1", "r2"):
        journal.take("trips", Record(0, 3000.0, b"", encode_events([Tripped(at_ms=1.0, emitter=name, target="b", reason="errors")])))
    assert _said(journal) == [
        ("word", "b", "taken out of service by ada@ops [2J"),
        ("leader", "w-1", "worker w-1 leads from now on, term 7"),
        ("trip", "b", "router r1 trips its breaker: errors"),
    ]  # fmt: skip
    assert (journal.told_by["b"], journal.leader) == ("ada@ops [2J", "w-1")


def test_shares_are_what_routers_send() -> None:
    """Nothing goes to what is closed off, drained or at its limit; in a panic all that breakers closed is used again."""
    made = [replace(A, id=name, share=0.25, state=state) for name, state in (("a", "ok"), ("b", "open"), ("c", "drained"), ("d", "rate_limited"))]
    snapshot = RoutingSnapshot(service="chat", term=1, seq=1, at_ms=0.0, period_ms=1.0, rate_per_s=1.0, routers=1, t_ref_s=1.0, targets=tuple(made))
    assert shares(snapshot) == {"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0}
    panic = replace(snapshot, targets=(A, replace(B, state="open"), replace(B, id="c", state="open")))
    assert shares(panic) == {"a": 0.6 / 1.4, "b": 0.4 / 1.4, "c": 0.4 / 1.4}
