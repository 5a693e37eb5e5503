from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from routecast.analytics.evaluation.estimators import Terms, doubly_robust
from routecast.analytics.evaluation.evaluate import UNKNOWABLE, evaluate
from routecast.analytics.evaluation.logged import Floats, Logged
from routecast.analytics.evaluation.outcome_model import predictions
from routecast.analytics.evaluation.policies import static, uniform
from routecast.analytics.evaluation.support import Bounds
from routecast.analytics.evaluation.uncertainty import by_influence
from routecast.models.errors import CheckFailed
from routecast.models.evaluation import Evaluation

Draw = Callable[[int, Floats], Logged]


def _log(drawn: Draw, n: int = 4000) -> Logged:
    return drawn(1, np.tile([0.4, 0.3, 0.2, 0.1], (n, 1)))


def test_all_metrics_that_are_known_are_estimated(drawn: Draw) -> None:
    """Near the truth, which the logged mean is not; what was never reported is named; JSON and back is the same."""
    logged = _log(drawn)
    logged = replace(logged, rewards={**logged.rewards, "success_ratio": np.ones(len(logged))})
    found = evaluate(logged, "uniform", uniform)
    assert [metric.metric for metric in found.metrics] == ["time_to_success_s", "p95_time_to_success_s", "success_ratio"]
    mean, p95, success = found.metrics
    assert mean.value.low < 2.5 < mean.value.high
    assert mean.logged.high < 2.5
    assert mean.difference is not None
    assert mean.difference.value == pytest.approx(mean.value.value - mean.logged.value)
    assert mean.difference.low > 0
    assert p95.value.value > mean.value.high
    assert success.value.low == pytest.approx(1.0 - 3.0 / found.support.effective) if found.support else False
    assert set(found.left_out) == {"first_success_ratio", "cost_usd", "quality"}
    assert Evaluation.model_validate_json(found.model_dump_json()) == found


def test_a_metric_that_too_few_requests_have_is_left_out_alone(drawn: Draw) -> None:
    """With the number of those that have it."""
    logged = _log(drawn)
    rated = np.where(np.arange(len(logged)) < 300, 0.8, np.nan)
    found = evaluate(replace(logged, rewards={**logged.rewards, "quality": rated}), "uniform", uniform)
    assert found.of("quality") is None
    assert "known of 300 requests" in found.left_out["quality"]
    assert found.of("time_to_success_s") is not None


def test_a_refusal_has_no_numbers(drawn: Draw) -> None:
    """Only the reason and what the log holds."""
    found = evaluate(_log(drawn, 400), "uniform", uniform)
    assert "fewer than 500" in found.refused
    assert (found.metrics, found.left_out) == ((), {})
    assert found.support is not None


def test_nothing_to_evaluate_is_a_refusal(drawn: Draw) -> None:
    """Whether nothing was logged or the policy can say nothing."""
    logged = _log(drawn, 400)
    found = evaluate(logged, "silent", lambda logged: np.full(logged.allowed.shape, np.nan))
    assert (found.support, found.excluded) == (None, {UNKNOWABLE: 400})
    assert "no logged decision" in found.refused


def test_intervals_can_be_drawn(drawn: Draw) -> None:
    """By bootstrap, about as wide as by influence; the same numbers give the same interval."""
    logged = _log(drawn)
    one = evaluate(logged, "uniform", uniform, bootstrap=np.random.default_rng(1))
    again = evaluate(logged, "uniform", uniform, bootstrap=np.random.default_rng(1))
    other = evaluate(logged, "uniform", uniform)
    assert one == again
    found = [e.metrics[0].value.high - e.metrics[0].value.low for e in (one, other)]
    assert found[0] == pytest.approx(found[1], rel=0.15)


def test_what_clipping_takes_away_counts_as_uncertainty(drawn: Draw) -> None:
    """With weights cut far too low, the interval still reaches the estimate that they would have given."""
    logged = _log(drawn, 20_000)
    whole, cut = (
        evaluate(logged, "the slowest", static({"t0": 1.0, "t3": 9.0}), clip=clip, bounds=Bounds(clipped=1.0)).of("time_to_success_s") for clip in (20.0, 6.0)
    )
    assert whole is not None
    assert cut is not None
    for one, other in ((cut.value, whole.value), (cut.others["inverse_propensity"], whole.others["inverse_propensity"])):
        assert one.low <= other.value <= one.high
    assert cut.others["inverse_propensity"].value < 0.8 * whole.others["inverse_propensity"].value
    assert cut.difference is not None
    times = logged.rewards["time_to_success_s"]
    terms = doubly_robust(logged, static({"t0": 1.0, "t3": 9.0})(logged), times, predictions(logged, times), 6.0)
    by_chance = by_influence(Terms(terms.top - times, terms.bottom), logged.blocks)
    assert cut.difference.high - by_chance.high == pytest.approx(abs(cut.value.value - whole.value.value))


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (lambda logged: np.full(logged.allowed.shape, 0.3), "row 0 do not sum to 1"),
        (lambda logged: np.tile([1.5, -0.5, 0.0, 0.0], (len(logged), 1)), "row 0 do not sum to 1"),
        (lambda logged: np.full((len(logged), 2), 0.5), r"shape \(500, 2\), not \(500, 4\)"),
    ],
)
def test_probabilities_that_are_none_are_a_mistake(drawn: Draw, policy: Callable[[Logged], Floats], said: str) -> None:
    """Of the policy, which is named."""
    with pytest.raises(CheckFailed, match=f"policy 'wrong'.*{said}"):
        evaluate(_log(drawn, 500), "wrong", policy)


def test_what_was_not_allowed_may_not_be_chosen(drawn: Draw) -> None:
    """A policy that would is no policy for this log."""
    logged = _log(drawn, 500)
    allowed = logged.allowed.copy()
    allowed[3] = np.arange(4) == logged.chosen[3]
    with pytest.raises(CheckFailed, match="row 3 do not sum to 1 over the targets that were allowed"):
        evaluate(replace(logged, allowed=allowed), "everywhere", lambda logged: np.full(logged.allowed.shape, 0.25))
