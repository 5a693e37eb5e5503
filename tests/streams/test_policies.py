"""Operators switch the policy while everything runs: from their word to the next decision."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from routecast.models.config import Config
from routecast.models.config import Policy as Name
from routecast.models.events import Control, encode_events
from routecast.models.experiments import Arm, Experiment
from routecast.models.snapshot import RoutingSnapshot, decode_snapshot, encode_snapshot
from routecast.streams.clock import FixedClock
from routecast.streams.emitter import Emitter
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.leadership.leader import Leader, word_of
from routecast.streams.router import Router

NOW_MS = 1_700_000_000_000.0
CONFIG = Config.model_validate({
    "target": [{"id": f"{service}-{i}", "provider": "p", "model": "m", "service": service} for service in ("chat", "mail") for i in range(2)],
    "service": {"mail": {"policy": "weighted"}},
})  # fmt: skip


def _said(policy: Name | None, service: str = "") -> Control:
    return Control(at_ms=NOW_MS, action="set_policy", service=service, policy=policy)


def _elected(policy: Name = "weighted", service: str = "chat") -> Control:
    return Control(at_ms=NOW_MS, action="elect_policy", service=service, policy=policy, why="it is faster")


def _snapshots(leader: Leader, now_ms: float) -> dict[str, RoutingSnapshot]:
    found = [decode_snapshot(message.value) for message in leader.tick(now_ms) if message.topic == "scores"]
    return {snapshot.service: snapshot for snapshot in found}


def _policies(leader: Leader, now_ms: float) -> dict[str, str]:
    return {service: snapshot.policy for service, snapshot in _snapshots(leader, now_ms).items()}


def _router(service: str = "chat", policy: str | None = None, config: Config = CONFIG) -> Router:
    clock = FixedClock(NOW_MS + 5000)
    return Router(config, service, Emitter(clock, random.Random(1)), clock, random.Random(1), policy=policy)


def test_the_newest_word_about_a_service_counts() -> None:
    """One about all takes back what was said of any; a reset of one leaves it as configured while the others follow."""
    leader = Leader(CONFIG, 1, NOW_MS)
    heard = [
        (_said("round_robin", "chat"), {"chat": "round_robin", "mail": ""}),
        (_said("greedy"), {"chat": "greedy", "mail": "greedy"}),
        (_said(None, "mail"), {"chat": "greedy", "mail": ""}),
        (_said("random", "mail"), {"chat": "greedy", "mail": "random"}),
        (_said(None), {"chat": "", "mail": ""}),
    ]
    for offset, (word, expected) in enumerate(heard):
        assert leader.hear(offset, word)
        assert _policies(leader, NOW_MS + 1000 * offset) == expected
    assert not leader.hear(9, _said(None))


def test_the_next_leader_goes_on_with_it() -> None:
    """From the checkpoint alone."""
    leader = Leader(CONFIG, 1, NOW_MS)
    leader.hear(0, _said("round_robin", "chat"))
    leader.tick(NOW_MS + 1000)
    successor = Leader(CONFIG, 2, NOW_MS + 2000, checkpoint=Checkpoint.decode(leader.checkpoint().value))
    assert _policies(successor, NOW_MS + 3000) == {"chat": "round_robin", "mail": ""}


@pytest.mark.parametrize(
    "word",
    [
        Control(at_ms=0, action="drain"),
        Control(at_ms=0, action="set_policy", target="a", policy="random"),
        Control(at_ms=0, action="elect_policy", policy="weighted"),
        Control(at_ms=0, action="elect_policy", service="chat"),
        Control(at_ms=0, action="elect_policy", service="chat", policy="auto"),
    ],
)
def test_a_word_without_its_subject_is_none(word: Control) -> None:
    """What is about a target names one, and what is about a policy does not; what was elected is a policy of a service."""
    assert word_of(encode_events([word]))[0] is None


def test_a_policy_that_does_not_exist_is_no_word() -> None:
    """The record goes to the dead letters."""
    assert word_of(b'{"type": "target.control", "at_ms": 1, "action": "set_policy", "policy": "best"}')[0] is None


def test_every_router_switches_with_the_snapshot_and_back() -> None:
    """Decisions and explanations name the policy that made them."""
    leader, router = Leader(CONFIG, 1, NOW_MS), _router()
    leader.hear(0, _said("round_robin"))
    assert router.choose().policy == "performance"
    router.apply(_snapshots(leader, NOW_MS + 4000)["chat"])
    decision = router.choose()
    assert (decision.policy, decision.propensity, decision.explain().policy, decision.explain().reason.split(";")[0]) == (
        "round_robin",
        1.0,
        "round_robin",
        "its turn",
    )
    leader.hear(1, _said(None))
    router.apply(_snapshots(leader, NOW_MS + 5000)["chat"])
    assert router.choose().policy == "performance"


def test_what_the_program_gave_a_router_is_stronger() -> None:
    """What its configuration says is not; a name of a newer version is passed over."""
    leader = Leader(CONFIG, 1, NOW_MS)
    leader.hear(0, _said("random"))
    told = _snapshots(leader, NOW_MS + 4000)
    given, configured, newer = _router(policy="least_connections"), _router("mail"), _router("mail")
    given.apply(told["chat"])
    configured.apply(told["mail"])
    newer.apply(replace(told["mail"], policy="clairvoyant"))
    assert [router.choose().policy for router in (given, configured, newer)] == ["least_connections", "random", "weighted"]


def test_without_adaptation_performance_stays_the_configured_weights() -> None:
    """An operator's word for `performance` or `auto` does not bring adaptation back."""
    leader = Leader(CONFIG, 1, NOW_MS)
    leader.hear(0, _said("auto"))
    router = _router(config=CONFIG.model_copy(update={"adaptive": CONFIG.adaptive.model_copy(update={"enabled": False})}))
    router.apply(_snapshots(leader, NOW_MS + 4000)["chat"])
    assert router.choose().policy == "configured"


def test_words_that_do_not_replace_each_other_have_different_keys() -> None:
    """Compaction keeps the newest record of a key: a weight must not make it forget that a target is drained, nor one service another."""
    words = [_said("random"), _said("random", "chat"), _said(None, "mail"), Control(at_ms=0, target="a", action="set_weight", weight=2.0), _elected()]
    drained, resumed = Control(at_ms=0, target="a", action="drain"), Control(at_ms=0, target="a", action="resume")
    assert drained.key == resumed.key
    assert len({word.key for word in (*words, drained)}) == 6


def test_what_evidence_chose_is_followed_on_auto_and_kept_for_the_next_leader() -> None:
    """With its reason in the snapshot; an operator's word wins at once, and back on `auto` it begins with `performance`."""
    leader, router = Leader(CONFIG, 1, NOW_MS), _router()
    leader.hear(0, _said("auto", "chat"))
    assert leader.on_auto() == {"chat": "performance"}
    for offset, service in enumerate(("chat", "mail"), 1):
        assert leader.hear(offset, _elected("random", service))
    snapshots = _snapshots(leader, NOW_MS + 4000)
    assert {service: (found.policy, found.elected) for service, found in snapshots.items()} == {"chat": ("random", "it is faster"), "mail": ("", "")}
    assert decode_snapshot(encode_snapshot(snapshots["chat"])) == snapshots["chat"]
    router.apply(snapshots["chat"])
    assert router.choose().policy == "random"
    successor = Leader(CONFIG, 2, NOW_MS + 5000, checkpoint=Checkpoint.decode(leader.checkpoint().value))
    assert successor.on_auto() == {"chat": "random"}
    assert _policies(successor, NOW_MS + 6000) == {"chat": "random", "mail": ""}
    for offset, word in enumerate((_said("greedy", "chat"), _said("auto", "chat")), 3):
        assert successor.hear(offset, word)
        assert _policies(successor, NOW_MS + 1000 * offset) == {"chat": word.policy, "mail": ""}
    assert successor.on_auto() == {"chat": "performance"}


def test_an_experiment_is_not_disturbed() -> None:
    """While it runs, no evidence is asked for."""
    leader = Leader(CONFIG, 1, NOW_MS)
    leader.hear(0, _said("auto"))
    assert leader.on_auto() == {"chat": "performance", "mail": "performance"}
    arms = (Arm(name="control", share=0.5), Arm(name="rr", share=0.5, policy="round_robin"))
    experiment = Experiment(name="x", salt="0123abcd", service="chat", arms=arms, starts_ms=NOW_MS, ends_ms=NOW_MS + 60_000)
    leader.hear(1, Control(at_ms=NOW_MS, action="start_experiment", service="chat", experiment=experiment))
    leader.tick(NOW_MS + 1000)
    assert leader.on_auto() == {"mail": "performance"}


@pytest.mark.parametrize("off", [{"adaptive": {"enabled": False}}, {"intervals": {"election_ms": 0}}])
def test_where_nothing_is_elected_auto_is_what_it_begins_with(off: dict[str, object]) -> None:
    """What an earlier configuration led to does not stay for ever."""
    config = Config.model_validate(CONFIG.model_dump(exclude_defaults=True) | off)
    leader = Leader(config, 1, NOW_MS)
    leader.hear(0, _said("auto"))
    leader.hear(1, _elected("random"))
    assert (leader.on_auto(), _policies(leader, NOW_MS + 1000)["chat"]) == ({}, "auto")
