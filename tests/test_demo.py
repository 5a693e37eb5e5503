from __future__ import annotations

import pytest

from routecast.analytics.simulation.trial import Simulation, run
from routecast.demo.comparison import START_MS, FleetPolicy, compare, explain_at
from routecast.demo.demonstration import OUTAGE, scene
from routecast.models.report import DemoReport
from routecast.models.requirements import Requirements
from routecast.routed import RouterPolicy


@pytest.fixture(scope="module")
def report() -> DemoReport:
    """A short demonstration with two policies."""
    return compare(3, 90.0, ("performance", "greedy"))


@pytest.mark.untraced
def test_two_runs_with_one_seed_are_equal(report: DemoReport) -> None:
    """Everything follows from the seed."""
    assert compare(3, 90.0, ("performance", "greedy")) == report


def test_another_seed_gives_another_run(report: DemoReport) -> None:
    """The seed matters, so the equality above can fail."""
    assert compare(4, 90.0, ("performance",)).policies[0] != report.policies[0]


def test_the_pipelines_counts_are_the_truth(report: DemoReport) -> None:
    """Every outcome of every target is counted, nothing is in flight at the end."""
    assert [check for check in report.checks if not check.agrees] == []
    assert sum(check.truth for check in report.checks if check.what == "performance: ok") > 1000


def test_a_miscount_is_noticed() -> None:
    """One request too few in the truth shows up as a disagreement: the check can fail."""
    from routecast.demo.comparison import _checks  # noqa: PLC0415

    stage, made = scene(3, 60.0), list[FleetPolicy]()

    def build(simulation: Simulation) -> RouterPolicy:
        made.append(FleetPolicy(simulation, stage, "performance", 3, None, ()))
        return made[0].routed

    run(stage.world.until(20.0), build, seed=3, start_ms=START_MS, make=stage.make)
    made[0].truth[stage.runs[0].name, "ok"] -= 1
    assert {check.what for check in _checks("performance", made[0]) if not check.agrees} == {
        "performance: ok",
        "performance: counts of single targets that differ",
    }


def test_greedy_does_worse_than_performance(report: DemoReport) -> None:
    """Whoever takes the best of a snapshot herds."""
    performance, greedy = report.policies
    assert greedy.mean_s.value > 1.3 * performance.mean_s.value


def test_every_policy_meets_the_same_requests(report: DemoReport) -> None:
    """Arrivals and lengths do not depend on the policy."""
    one, other = scene(3, 90.0).world.requests, scene(3, 90.0).world.requests
    assert (one.at_ms == other.at_ms).all()
    assert report.requests == len(one)


def test_an_interval_holds_its_estimate(report: DemoReport) -> None:
    """Low ≤ value ≤ high for every figure of every policy."""
    estimates = [e for row in report.policies for e in (row.mean_s, row.p95_s, row.p99_s, row.failed_ratio)]
    assert all(e.low <= e.value <= e.high for e in estimates)


def test_three_decisions_are_explained(report: DemoReport) -> None:
    """Each with the other nine targets and why they were not chosen."""
    assert [len(it.decision.alternatives) for it in report.decisions] == [9, 9, 9]
    assert all(other.reason for it in report.decisions for other in it.decision.alternatives)


def test_a_decision_during_the_outage_avoids_the_dead_target() -> None:
    """While it is down it is open, and the explanation says so."""
    found = explain_at(1, 420.0, 420.0 * (OUTAGE.begins + OUTAGE.ends) / 2, Requirements()).decision
    dead = next(other for other in found.alternatives if other.target == OUTAGE.run)
    assert dead.reason in {"open", "already tried, or not among the preferred"} or dead.probability < 0.05


@pytest.mark.untraced
def test_every_trouble_is_noticed_and_named() -> None:
    """Within its own time, by a sign that names its target; nobody else is said to fail."""
    whole = compare(1, 420.0, ("performance",))
    assert {it.target for it in whole.noticed if it.after_s} == {"lepton_7b", "groq_70b", "anyscale_7b", "together_70b"}
    signs = {it.target: {what for what, after_s in it.after_s.items() if after_s < it.ends_s - it.begins_s} for it in whole.noticed}
    assert "state rate_limited" in signs["lepton_7b"]
    assert {"state open", "change error_ratio worse"} <= signs["groq_70b"]
    assert "change response_time worse" in signs["anyscale_7b"]
    assert "change error_ratio worse" in signs["together_70b"]
    assert [sign for sign in whole.elsewhere if "state" in sign or "error_ratio" in sign] == []
