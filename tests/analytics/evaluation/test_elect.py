from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.evaluation.elect import MARGIN, elect
from routecast.analytics.evaluation.evaluate import evaluate
from routecast.analytics.evaluation.logged import Logged
from routecast.analytics.evaluation.policies import static
from routecast.models.evaluation import Evaluation, MetricEstimate
from routecast.models.events import Control
from routecast.models.report import Estimate

LOGGED_S = 2.0
apart = st.tuples(st.floats(-1.9, 1.9), st.floats(0.0, 1.0))
"""Difference to the logged mean, seconds, and half of its interval."""


def _metric(metric: Any, logged: float, difference: float, half: float) -> MetricEstimate:
    value, around = logged + difference, Estimate(value=difference, low=difference - half, high=difference + half)
    return MetricEstimate(
        metric=metric, unit="", rows=1000, method="doubly_robust", value=Estimate(value=value, low=value - half, high=value + half),
        logged=Estimate(value=logged, low=logged, high=logged), difference=around, others={}, naive={},
    )  # fmt: skip


def _candidate(policy: str, time: tuple[float, float], success: tuple[float, float] = (0.0, 0.01), refused: str = "") -> Evaluation:
    metrics = () if refused else (_metric("time_to_success_s", LOGGED_S, *time), _metric("success_ratio", 0.9, *success))
    return Evaluation(policy=policy, service="chat", excluded={}, support=None, refused=refused, metrics=metrics, left_out={})


@given(time=apart, other=apart)
def test_a_refused_policy_is_never_elected(time: tuple[float, float], other: tuple[float, float]) -> None:
    """Whatever the others are like, and the reason is told."""
    found = elect("chat", "random", [_candidate("performance", time, refused="too thin"), _candidate("weighted", other)])
    assert found.policy in {"random", "weighted"}
    alone = elect("chat", "weighted", [_candidate("performance", time, refused="too thin")])
    assert (alone.policy, alone.why) == ("weighted", "performance cannot be judged: too thin")


@given(time=apart, less=st.floats(0.0, 1.0))
def test_what_is_elected_stays_so_when_it_becomes_faster(time: tuple[float, float], less: float) -> None:
    """By the same interval: more evidence for it never speaks against it."""
    if elect("chat", "performance", [_candidate("weighted", time)]).policy == "weighted":
        assert elect("chat", "performance", [_candidate("weighted", (time[0] - less, time[1]))]).policy == "weighted"
        assert elect("chat", "performance", [_candidate("weighted", (time[0], time[1] * (1 - less)))]).policy == "weighted"


@given(time=apart, success=st.tuples(st.floats(-0.5, 0.1), st.floats(0.0, 0.2)))
def test_who_wins_is_faster_by_the_margin_for_sure_and_does_not_fail_more_for_sure(time: tuple[float, float], success: tuple[float, float]) -> None:
    """Both, and nothing else."""
    found = elect("chat", "performance", [_candidate("weighted", time, success)])
    assert (found.policy == "weighted") == (time[0] + time[1] < -MARGIN * LOGGED_S and success[0] + success[1] >= 0.0)


@given(times=st.lists(apart, min_size=2, max_size=2))
def test_of_two_winners_the_faster_one_is_elected(times: list[tuple[float, float]]) -> None:
    """By the estimate; whatever the order in which they are given."""
    candidates = [_candidate(policy, time) for policy, time in zip(("performance", "weighted"), times, strict=True)]
    found = elect("chat", "random", candidates)
    assert elect("chat", "random", candidates[::-1]).policy == found.policy
    if all(time + half < -MARGIN * LOGGED_S for time, half in times):
        assert found.policy == min((time, it.policy) for (time, _), it in zip(times, candidates, strict=True))[1]


def test_the_reason_is_a_sentence_with_figures_that_fits_into_a_word() -> None:
    """For people, in Grafana too."""
    found = elect("chat", "performance", [_candidate("weighted", (-0.5, 0.1))])
    assert found.why == "weighted would take 1.5 s to a success, performance takes 2 s (-25.0 %, -30.0 to -20.0), by 1,000 logged decisions"
    assert elect("chat", "performance", [_candidate("weighted", (-0.05, 0.1))]).why.endswith("(-2.5 %, -7.5 to +2.5): not 2% less for sure")
    assert elect("chat", "performance", [_candidate("weighted", (-0.5, 0.1), (-0.1, 0.01))]).why.endswith("but fewer requests would succeed")
    long = elect("chat", "performance", [_candidate("weighted", (0, 0), refused="x" * 999)])
    assert Control(at_ms=1, action="elect_policy", service="chat", policy=long.policy, why=long.why).fault == ""
    assert len(long.why) == 256


def test_policies_that_choose_alike_change_nothing() -> None:
    """On a log of the very policy that is looked at."""
    rng, n = np.random.default_rng(1), 3000
    chosen = (rng.random(n) < 0.3).astype(int)
    rewards: dict[Any, Any] = {"time_to_success_s": rng.lognormal(0.0, 0.5, n), "success_ratio": np.ones(n)}
    logged = Logged.of(["a", "b"], chosen, np.where(chosen == 0, 0.7, 0.3), rewards)
    assert elect("chat", "performance", [evaluate(logged, "weighted", static({"a": 0.7, "b": 0.3}))]).policy == "performance"
