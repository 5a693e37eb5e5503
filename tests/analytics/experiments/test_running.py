from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest

from routecast.analytics.experiments.assignment import Assignment
from routecast.analytics.experiments.ledger import Ledger
from routecast.analytics.experiments.running import Running
from routecast.analytics.sketch import bucket_of, encode_counts
from routecast.models.errors import DecodeError
from routecast.models.events import Control
from routecast.models.experiment_report import ExperimentReport
from routecast.models.experiments import Arm, Experiment
from routecast.models.rows import ArmTotals

MINUTE_MS = 60_000.0
DAY_MS = 1440 * MINUTE_MS


def experiment(**more: Any) -> Experiment:
    """Two halves; keywords change its fields."""
    arms = (Arm(name="control", share=0.5), Arm(name="rr", share=0.5, policy="round_robin"))
    plain: dict[str, Any] = {"name": "x", "salt": "0123abcd", "service": "chat", "arms": arms, "starts_ms": 0.0, "ends_ms": DAY_MS}
    return Experiment(**(plain | more))


def counted(name: str, n: int, ms: float = 1_000.0, failed: float = 0.0, usd: float = 0.001, spread: float = 0.5) -> ArmTotals:
    """An arm after `n` requests of which a share failed, latencies lognormal around `ms`."""
    bad = round(n * failed)
    good, ln, cost = n - bad, math.log(ms), round(usd * 1e6)
    return ArmTotals(
        arm=f"x.0123abcd/{name}", exposed=n, attempts=n, ok=good, failed=bad, n=good, sum_ln=round(good * ln * 1e6),
        sum_ln2=round(good * (ln * ln + spread * spread) * 1e6), cost_n=n, cost_sum=n * cost, cost_sum2=n * (cost * cost + cost * cost // 4),
        sketch=encode_counts({bucket_of(round(ms * 1000)): good}),
    )  # fmt: skip


def looked(running: Running, *arms: ArmTotals, at_ms: float = 60 * MINUTE_MS) -> ExperimentReport:
    """What is said after an hour."""
    return running.look(at_ms, {arm.arm: arm for arm in arms})


def test_a_difference_is_said_with_its_interval_and_only_when_it_is_certain() -> None:
    """Undecided at first, with the time that it still takes; then better; the interval shrinks around the truth."""
    running = Running(experiment())
    nothing = looked(running, counted("control", 50), counted("rr", 50, ms=900.0))
    assert (nothing.verdict, nothing.comparisons) == ("rr is undecided: too little is known yet", ())
    early = looked(running, counted("control", 500), counted("rr", 500, ms=900.0))
    assert early.verdict.startswith("rr is undecided: latency -10.0 % (")
    assert early.to_go_s == pytest.approx(803, abs=1)  # 1,223 requests, at a thousand an hour
    late = looked(running, counted("control", 5_000), counted("rr", 5_000, ms=900.0))
    (found,) = [item for item in late.comparisons if item.measure == "latency"]
    assert (found.finding, late.to_go_s, late.standing) == ("better", None, "better")
    assert found.effect == pytest.approx(-0.1, abs=1e-3)
    assert found.low < found.effect < found.high < 0
    assert late.verdict == "rr is better: latency -10.0 % (-12.7 % to -7.2 %), 95 % certain however often it was looked at"


@pytest.mark.parametrize(
    ("rails", "harm", "why"),
    [
        ({"errors": 0.02}, {"failed": 0.1}, "failures +9.0 points beside the control, for certain more than +6.8 points; allowed are +2.0 points"),
        ({"latency": 0.1}, {"ms": 1_500.0}, "latency +50.0 % beside the control, for certain more than +42.7 %; allowed are +10.0 %"),
        ({"slow": 0.05}, {"ms": 4_000.0}, "slow answers +100.0 points beside the control"),
        ({"cost": 0.5}, {"usd": 0.002}, "cost +100.0 % beside the control, for certain more than +90.4 %; allowed are +50.0 %"),
    ],
)
def test_a_guard_rail_stops_an_arm_when_its_harm_is_certain(rails: Any, harm: dict[str, float], why: str) -> None:
    """Not before, and for good; with no other arm left the experiment is over."""
    running = Running(experiment(rails=rails))
    looked(running, counted("control", 80, failed=0.01), counted("rr", 80, **harm))
    assert running.ended_ms is None
    report = looked(running, counted("control", 2_000, failed=0.01), counted("rr", 2_000, **harm), at_ms=7.0)
    assert (report.state, report.ended_by, report.arms[1].stopped_ms) == ("ended", "guard rail", 7.0)
    assert report.arms[1].stopped_why.startswith(why)
    assert running.published is None
    again = Running(None, msgspec.msgpack.decode(msgspec.msgpack.encode(running.state())))
    assert looked(again, at_ms=8.0).arms[1].stopped_why == report.arms[1].stopped_why


def test_one_of_two_treatments_is_stopped_and_the_other_goes_on() -> None:
    """Routers learn which; its sample ratio is no longer tested, since its requests are not counted."""
    arms = (Arm(name="control", share=0.4), Arm(name="good", share=0.3), Arm(name="bad", share=0.3))
    running = Running(experiment(arms=arms, rails={"errors": 0.02}))
    totals = [counted("control", 4_000), counted("good", 3_000), counted("bad", 3_000, failed=0.2)]
    assert looked(running, *totals).state == "running"
    assert running.published is not None
    assert [arm.stopped for arm in running.published.arms] == [False, False, True]
    totals[:2] = [counted("control", 8_000), counted("good", 6_000)]
    assert looked(running, *totals).sample_ratio.ok


def test_arms_that_lose_requests_get_no_verdict() -> None:
    """Once the ratio was off, it stays so."""
    running = Running(experiment())
    assert not looked(running, counted("control", 6_000), counted("rr", 5_000, ms=500.0)).sample_ratio.ok
    after = looked(running, counted("control", 6_000), counted("rr", 6_000, ms=500.0))
    assert after.verdict.startswith("no verdict: the arms did not get their shares (p = ")
    assert after.standing == "invalid"


def test_it_ends_by_itself() -> None:
    """At its time, not when somebody looked."""
    running = Running(experiment())
    report = looked(running, at_ms=DAY_MS + 5.0)
    assert (report.ended_by, report.ends_ms, running.published) == ("time", DAY_MS, None)


def test_blocks_of_time_are_the_units() -> None:
    """Each block counts as one observation, in the arm that it belonged to, a busy one no more than others; through a change of the leader."""
    spec = experiment(unit="block", block_ms=MINUTE_MS, planned=100)
    running, sums, rng = Running(spec), {"control": (0, 0.0, 0.0), "rr": (0, 0.0, 0.0)}, random.Random(4)
    means: dict[str, list[float]] = {"control": [], "rr": []}
    for block in range(101):
        name = ("control", "rr")[Assignment(spec).arm_of_block(block)]
        totals = [ArmTotals(arm=spec.label(arm), n=n, sum_ln=round(total * 1e6)) for arm, (n, total, _) in sums.items()]
        looked(running, *totals, at_ms=block * MINUTE_MS)
        if block % 10 == 7:
            running = Running(None, msgspec.msgpack.decode(msgspec.msgpack.encode(running.state())))
        mean, n = rng.gauss(math.log(1_000.0) + (name == "rr") * 0.2, 0.05), rng.choice([20, 2_000])
        means[name].append(mean)
        sums[name] = (sums[name][0] + n, sums[name][1] + n * mean, 0.0)
    report = looked(running, at_ms=100 * MINUTE_MS)
    for arm in report.arms:
        closed = means[arm.name][: arm.levels["latency"].units]
        assert len(means[arm.name]) - len(closed) <= 2
        assert arm.levels["latency"].mean == pytest.approx(math.exp(sum(closed) / len(closed)), rel=1e-6)
    assert not report.sample_ratio.tested
    assert report.comparisons[0].finding == "worse"


def word(action: Any = "start_experiment", **more: Any) -> Control:
    """An operator's."""
    spec = experiment(**more)
    return Control(at_ms=1.0, action=action, service="chat", experiment=spec if action == "start_experiment" else None, name=spec.id)


def test_one_experiment_runs_on_a_service_at_a_time() -> None:
    """A second one is not heard, one that was known does not come again, and one for a service that nobody has never begins."""
    ledger = Ledger(frozenset({"chat"}), 1_000.0)
    assert ledger.state() == {}
    assert ledger.follow(word())
    assert not ledger.follow(word(name="y"))
    assert not ledger.follow(Control(at_ms=1.0, action="start_experiment", service="mail", experiment=experiment(service="mail")))
    (report,) = ledger.look(1.0, dict)
    assert (report.state, ledger.said_once) == ("running", True)
    assert (ledger.look(500.0, dict), ledger.said_once) == ([], False)
    assert (len(ledger.look(1_500.0, dict)), ledger.said_once) == (1, False)
    assert ledger.follow(word("stop_experiment"))
    assert ledger.of("chat") is None
    assert not ledger.follow(word())
    assert ledger.follow(word(name="y"))
    assert [(r.name, r.state) for r in ledger.look(2.0, dict)] == [("x", "ended"), ("y", "running")]
    later = ledger.look(700_000.0, dict)
    assert [r.name for r in later] == ["x", "y"]
    assert [r.name for r in ledger.look(701_000.0, dict)] == ["y"]


def test_a_state_that_does_not_fit_is_refused() -> None:
    """As of another version."""
    with pytest.raises(DecodeError, match="experiments do not fit"):
        Ledger(frozenset(), 1.0).resume({"all": [{"experiment": 7}]})
