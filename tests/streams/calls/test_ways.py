from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from routecast.analytics.experiments.assignment import Assignment
from routecast.models.decision import Decision
from routecast.models.experiments import Arm, Experiment
from routecast.models.requirements import Requirements
from routecast.models.snapshot import RoutingSnapshot
from routecast.streams.clock import FixedClock
from routecast.streams.router import Router

Make = Callable[..., Any]
HOUR_MS = 3_600_000.0


@pytest.fixture
def trying(make_router: Make, snapshot: Make, clock: FixedClock) -> Callable[..., tuple[Router, Experiment]]:
    """A router under an experiment that began now; keywords change its fields."""

    def make(policy: str | None = None, **more: Any) -> tuple[Router, Experiment]:
        arms = (Arm(name="control", share=0.5), Arm(name="rr", share=0.5, policy="round_robin"))
        plain: dict[str, Any] = {"name": "x", "salt": "0123abcd", "service": "chat", "arms": arms, "starts_ms": clock.at_ms, "ends_ms": clock.at_ms + HOUR_MS}
        experiment = Experiment(**(plain | more))
        router: Router = make_router(policy=policy, rng=random.Random(5))
        published: RoutingSnapshot = snapshot()
        assert router.apply(replace(published, experiment=experiment, period_ms=HOUR_MS))
        return router, experiment

    return make


def arm_of(decision: Decision) -> str:
    """As events name it, without the experiment."""
    return decision.ref().arm.removeprefix("x.0123abcd/")


def test_a_request_follows_the_policy_of_its_arm(trying: Make) -> None:
    """The id that the router gives it is the one in the events, so that its arm can be computed again."""
    router, experiment = trying()
    policies = {"control": "performance", "rr": "round_robin"}
    counts = Counter[str]()
    for _ in range(400):
        decision = router.choose()
        call = router.start(decision)
        expected = experiment.arms[Assignment(experiment).arm_of(call.request_id)].name
        assert (arm_of(decision), decision.policy) == (expected, policies[expected])
        counts[expected] += 1
        call.finish()
    assert counts["rr"] == pytest.approx(200, abs=50)
    assert router.choose(request_id="r-1").request_id == "r-1"


def test_arms_do_not_turn_the_wheels_of_others(trying: Make, snapshot: Make) -> None:
    """Two arms of round robin go round by themselves, each over all targets, though a snapshot comes before every decision."""
    router, experiment = trying(arms=tuple(Arm(name=name, share=0.5, policy="round_robin") for name in ("one", "two")))
    turns: dict[str, list[str]] = {"one": [], "two": []}
    for seq in range(2, 82):
        router.apply(replace(snapshot(seq=seq), experiment=experiment))
        decision = router.choose()
        turns[arm_of(decision)].append(decision.target)
    for targets in turns.values():
        assert {len(set(targets[i : i + 4])) for i in range(0, len(targets) - 3, 4)} == {4}


def test_an_arm_that_has_some_targets_alone_sends_nothing_elsewhere(trying: Make, snapshot: Make) -> None:
    """Not for a second call either, nor while one of its targets is to be probed; the last target, in neither list, came later."""
    names = tuple(entry.id for entry in snapshot().targets)
    ours, theirs = names[:2], names[2:-1]
    arms = (Arm(name="a", share=0.5, targets=ours, weights={names[0]: 2.0}), Arm(name="b", share=0.5, targets=theirs))
    router, experiment = trying(arms=arms)
    closed = [replace(entry, state="open") if entry.id == theirs[0] else entry for entry in snapshot().targets]
    router.apply(replace(snapshot(seq=2), targets=closed, experiment=experiment))
    sent: dict[str, set[str]] = {"a": set(), "b": set()}
    for i in range(200):
        first = router.choose(request_id=f"r-{i}")
        sent[arm_of(first)] |= {first.target, router.choose(request_id=f"r-{i}", tried=[first.target]).target}
    assert sent["a"] == set(ours)
    assert sent["b"] <= set(theirs)


def test_every_call_of_a_request_is_in_the_same_arm(trying: Make) -> None:
    """Where its id is given: also the second call, after the first has failed."""
    router, _ = trying()
    for i in range(50):
        first = router.choose(request_id=f"r-{i}")
        assert arm_of(router.choose(Requirements(urgency="high"), request_id=f"r-{i}", tried=[first.target])) == arm_of(first)


def test_a_request_that_the_router_carries_out_stays_in_its_arm(trying: Make) -> None:
    """By its own id, or by its session where experiments are by session; also where the first call fails."""
    for unit in ("request", "session"):
        router, experiment = trying(unit=unit)
        for i in range(8):
            failed: list[str] = []

            def send(decision: Decision, _: object, failed: list[str] = failed) -> str:
                if not failed:
                    failed.append(decision.target)
                    raise ConnectionError
                return "answer"

            answer = router.call_sync(send, request_id=f"r-{i}", session=f"s-{i}")
            expected = experiment.arms[Assignment(experiment).arm_of(f"{unit[0]}-{i}")].name
            assert [arm_of(attempt.decision) for attempt in answer.attempts] == [expected, expected]


def test_all_requests_of_a_session_are_in_one_arm_and_those_without_in_none(trying: Make) -> None:
    """Whatever their ids."""
    router, experiment = trying(unit="session")
    arms = {f"s-{i}": {arm_of(router.choose(session=f"s-{i}", request_id=f"r-{n}")) for n in range(5)} for i in range(30)}
    assert {session: len(found) for session, found in arms.items()} == dict.fromkeys(arms, 1)
    assert set.union(*arms.values()) == {"control", "rr"}
    plain = router.choose()
    assert (plain.ref().arm, plain.policy) == ("", "performance")
    assert experiment.unit == "session"


def test_blocks_of_time_switch_everything(trying: Make, clock: FixedClock) -> None:
    """The router follows by itself, without a snapshot; in the washout the arm serves and nothing counts."""
    router, experiment = trying(unit="block", block_ms=60_000.0, washout_ms=5_000.0)
    begin_ms, served = clock.at_ms, []
    for block in range(12):
        arm = experiment.arms[Assignment(experiment).arm_of_block(block)]
        for into_ms, label in ((0.0, ""), (4_999.0, ""), (5_000.0, arm.name), (59_999.0, arm.name)):
            clock.at_ms = begin_ms + block * 60_000.0 + into_ms
            decision = router.choose()
            assert (arm_of(decision), decision.policy) == (label, arm.policy or "performance")
        served.append(arm.name)
    assert set(served) == {"control", "rr"}


def test_a_shadow_decides_and_the_control_serves(trying: Make) -> None:
    """Both decisions are logged; what is served is as without an experiment."""
    arms = (Arm(name="control", share=0.5), Arm(name="only-a", share=0.5, policy="weighted", weights={"b": 0.0, "c": 0.0, "d": 0.0}))
    router, _ = trying(shadow=True, arms=arms)
    served = Counter[str]()
    for _ in range(100):
        decision = router.choose()
        ref = decision.ref()
        assert (arm_of(decision), decision.policy) == ("control", "performance")
        assert ref.shadow is not None
        assert (ref.shadow.arm, ref.shadow.target, ref.shadow.propensity) == ("x.0123abcd/only-a", "a", 1.0)
        served[decision.target] += 1
    assert len(served) >= 3


def test_an_arm_with_weight_0_stays_away_from_a_target(trying: Make) -> None:
    """The other arm does not."""
    router, _ = trying(arms=(Arm(name="control", share=0.5, policy="random"), Arm(name="rest", share=0.5, policy="random", weights={"a": 0.0})))
    targets: dict[str, set[str]] = {"control": set(), "rest": set()}
    for _ in range(300):
        decision = router.choose()
        targets[arm_of(decision)].add(decision.target)
    assert targets == {"control": {"a", "b", "c", "d"}, "rest": {"b", "c", "d"}}


def test_a_stopped_arm_is_routed_as_outside_and_does_not_count(trying: Make) -> None:
    """Its requests carry no arm."""
    router, _ = trying(arms=(Arm(name="control", share=0.5), Arm(name="rr", share=0.5, policy="round_robin", stopped=True)))
    found = {(arm_of(decision), decision.policy) for decision in (router.choose() for _ in range(50))}
    assert found == {("control", "performance"), ("", "performance")}


def test_nothing_is_assigned_where_the_program_gave_the_policy_or_the_time_is_over(trying: Make, clock: FixedClock) -> None:
    """The end needs no leader; a policy that only a newer version knows is none."""
    router, _ = trying(policy="least_connections")
    assert router.choose().assigned is None
    router, _ = trying(arms=(Arm(name="control", share=0.5), Arm(name="new", share=0.5, policy="from-the-future")))
    assert router.choose().assigned is None
    router, experiment = trying()
    assert router.choose().assigned is not None
    clock.at_ms = experiment.ends_ms
    assert router.choose().assigned is None


def test_feedback_finds_its_arm(trying: Make) -> None:
    """By the reference of the request's first call alone."""
    router, _ = trying()
    refs = []
    for attempt in (1, 2):
        decision = router.choose(request_id="r-1")
        call = router.start(decision, attempt=attempt)
        call.finish()
        refs.append((call.ref, decision.ref().arm))
    router.emitter.take()
    for ref, _ in refs:
        router.emitter.feedback(ref, quality=0.5)
    record = router.emitter.take()
    assert record is not None
    assert [f'"arm":"{refs[0][1]}"' in part for part in record.decode().split("},{")] == [True, False]
