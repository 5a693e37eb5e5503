from __future__ import annotations

from routecast.analytics.backtest.disagreement import disagreements
from routecast.analytics.backtest.metrics import figures
from routecast.analytics.backtest.verdict import compared, differences, verdict
from routecast.models.backtest import FittedTarget, OffPolicy, PolicyAnswer, Series
from routecast.models.report import Estimate

RUNS = {
    "ours": [{"time_to_success_ms": 1000.0 + i, "p95_ms": 2000.0, "failed_ratio": 0.0} for i in range(4)],
    "slow": [{"time_to_success_ms": 2000.0 + 2 * i, "p95_ms": 5000.0, "failed_ratio": 0.01} for i in range(4)],
    "alike": [{"time_to_success_ms": 1000.0 + i + (-1) ** i * 30, "p95_ms": 2000.0, "failed_ratio": 0.0} for i in range(4)],
}


def told(*names: str) -> str:
    """The verdict on some of the runs."""
    runs = {name: RUNS[name] for name in names}
    return verdict(runs, differences(runs))


def test_the_verdict_begins_with_who_is_quicker() -> None:
    """By the interval of the paired ratio: for certain, or not to be told apart."""
    assert told("ours", "slow") == "ours is the quickest of these 2 policies. A request takes 1.00 s (1.00–1.00) to succeed under ours."
    assert told("slow", "ours", "alike").startswith("alike and ours are quicker than slow.")
    assert told("ours", "alike").startswith("alike cannot be told apart from ours.")
    assert told("ours", "slow", "alike").startswith("None of them is quicker than ours, and alike cannot be told apart from it.")


def test_every_policy_is_compared_with_the_first() -> None:
    """In a sentence with its interval."""
    slow, alike = map(compared, differences(RUNS))
    assert slow == "slow takes 2.00 times as long as ours."
    assert alike.startswith("alike cannot be told apart from ours: 1.00 times as long (0.9")


def test_one_policy_and_one_seed_are_told_what_is_missing() -> None:
    """A comparison needs two, an interval several seeds."""
    assert told("ours").endswith("Give a second --policy to compare it with.")
    single = {name: runs[:1] for name, runs in RUNS.items()}
    said = verdict(single, differences(single))
    assert said.startswith("ours was the quickest in the one run that was played.")
    assert "One seed has no interval" in said


def answer(mean_ms: float, share: float) -> PolicyAnswer:
    """A simulated policy whose intervals are ±10 %."""
    found = figures([{"time_to_success_ms": mean_ms * 0.99}, {"time_to_success_ms": mean_ms * 1.01}])
    series = Series(step_s=1.0, p50_ms=(), p95_ms=(), p95_low_ms=(), p95_high_ms=(), shares={})
    return PolicyAnswer(
        name="b", policy="greedy", configuration="c", figures=found, shares={"a": share, "z": 1 - share}, failovers=(), alerts=(), states=(), series=series
    )


def fit(name: str, slots: float) -> FittedTarget:
    """A target of so many slots whose answers take a second."""
    return FittedTarget(
        target=name, answers=500, slots=slots, slowing=0.0, knee=1.0, alone_ms=1000.0, ttft_ms=None, tpot_ms=None, fail_ratio=0.0, requests_per_min=None,
        usd_per_request=None, quality=None,
    )  # fmt: skip


def said(value_ms: float, effective: float = 9_000.0) -> OffPolicy:
    """What the log says, ±5 %."""
    value = Estimate(value=value_ms, low=value_ms * 0.95, high=value_ms * 1.05)
    return OffPolicy(name="b", method="doubly robust", value_ms=value, effective_n=effective, refused="")


def test_load_that_would_queue_is_named_with_its_figure() -> None:
    """Nine of ten requests a second at a target of five slots is 180 % of what it can do."""
    (text,) = disagreements([answer(9000.0, 0.9)], [said(1500.0)], [fit("a", 5.0), fit("z", 50.0)], per_s=10.0)
    assert text == "b: the simulation says 9.00 s, the log 1.50 s (+500%): load that moves would queue, which the log cannot know: a at 180% of what it can do"


def test_of_many_full_targets_three_are_named() -> None:
    """The fullest; the others are counted."""
    shares = {"a": 0.3, "c": 0.26, "d": 0.23, "e": 0.21}
    crowded = answer(9000.0, 0.5).model_copy(update={"shares": shares})
    (text,) = disagreements([crowded], [said(1500.0)], [fit(name, 1.0) for name in shares], per_s=10.0)
    assert "a at 300% of what it can do, c at 260% of what it can do, d at 230% of what it can do, and 1 more above 85%" in text


def test_queues_that_were_cut_off_are_no_merit_of_the_policy() -> None:
    """Where only the newest requests are played, those before had left queues that the simulation knows nothing of."""
    (text,) = disagreements([answer(900.0, 0.5)], [said(1500.0)], [fit("a", 50.0)], per_s=1.0, left_out=1271)
    assert "the 1,271 requests before those that were played had left queues" in text
    assert "takes load off" not in text


def test_thin_support_is_named() -> None:
    """A log that is worth few decisions for this policy says so."""
    (text,) = disagreements([answer(900.0, 0.5)], [said(1500.0, effective=700.0)], [fit("a", 50.0)], per_s=1.0)
    assert "thin support: the log is worth 700 decisions" in text
    assert "takes load off targets" in text


def test_answers_that_agree_need_no_word() -> None:
    """Intervals that meet, and refusals, are no disagreement."""
    refused = OffPolicy(name="b", method="", value_ms=None, effective_n=None, refused="too thin")
    assert disagreements([answer(1500.0, 0.5)], [said(1510.0), refused], [fit("a", 5.0)], per_s=1.0) == ()
    assert disagreements([answer(1500.0, 0.5)], [refused], [fit("a", 5.0)], per_s=1.0) == ()
