"""What must never be turned round: worse never gets more."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.balance import Own, costs_now, least_of_draws
from routecast.analytics.fleet.cost import Estimates, Weights, expected_cost
from routecast.analytics.fleet.shares import planned_shares
from routecast.analytics.routing.candidates import bootstrap, candidates, view_of
from routecast.analytics.routing.contention import Contention, Target
from routecast.models.config import Routing, TargetConfig
from routecast.models.requirements import NONE
from routecast.models.snapshot import RoutingSnapshot, TargetScore

N = 6
CONFIG = tuple(TargetConfig(id=f"t{i}", provider="p", model="m", service="chat") for i in range(N))
figures = st.lists(st.floats(0.2, 5), min_size=N, max_size=N)
ratios = st.lists(st.floats(0.3, 0.999), min_size=N, max_size=N)


def _published(time_s: list[float], success: list[float], quality: list[float], usd: list[float], in_flight: list[float]) -> list[TargetScore]:
    """What a leader publishes of these figures."""
    estimates = Estimates(np.array(time_s), np.array(success), np.array(time_s), np.array(quality), np.array(usd))
    cost = expected_cost(estimates, Weights(0.4, 0.3, 0.3), 50.0)
    capacity = np.full(N, 8.0)
    share = planned_shares(10.0, cost, np.array(time_s), capacity, np.full(N, np.inf))
    return [
        TargetScore(
            id=f"t{i}", state="ok", time_s=time_s[i], service_s=time_s[i], capacity=8.0, share=float(share[i]), in_flight=in_flight[i],
            in_flight_mean=in_flight[i], cost_s=float(cost[i]), success=success[i], fail_s=time_s[i], quality=quality[i], usd=usd[i],
        )
        for i in range(N)
    ]  # fmt: skip


def _chance_of_first(entries: list[TargetScore]) -> float:
    """Probability that a router with this snapshot chooses target 0."""
    snapshot = RoutingSnapshot(service="chat", term=1, seq=1, at_ms=0, period_ms=1000, rate_per_s=10, routers=4, t_ref_s=1, targets=tuple(entries))
    table = candidates(view_of(snapshot, CONFIG, bootstrap(CONFIG)), Routing(), NONE, (), random.Random(0)).table
    contention = Contention(N, 1.0)
    contention.take(0.0, 1000.0, [Target(e.in_flight, e.in_flight_mean, e.capacity, e.service_s) for e in entries], [0] * N)
    contention.refresh(300.0, 0.25)
    own = Own(contention.own, contention.terms, [1.0] * N)
    costs = costs_now(table, own)
    return least_of_draws(table, costs, table.index.index(0))


@pytest.mark.parametrize("worse", ["slower", "failing", "loaded", "dearer", "poorer"])
@given(time_s=figures, success=ratios, quality=ratios, usd=st.lists(st.floats(0, 0.05), min_size=N, max_size=N), in_flight=figures, by=st.floats(1.01, 4))
def test_a_worse_target_is_never_chosen_more_often(
    worse: str, time_s: list[float], success: list[float], quality: list[float], usd: list[float], in_flight: list[float], by: float
) -> None:
    """Slower, more failing, more loaded, dearer, of poorer quality: the probability does not rise."""
    before = _chance_of_first(_published(time_s, success, quality, usd, in_flight))
    changed = {"slower": (time_s, by), "failing": (success, 1 / by), "loaded": (in_flight, by), "dearer": (usd, by), "poorer": (quality, 1 / by)}[worse]
    changed[0][0] *= changed[1]
    after = _chance_of_first(_published(time_s, success, quality, usd, in_flight))
    assert after <= before + 0.004


def test_a_much_worse_target_is_chosen_clearly_less_often() -> None:
    """The property above would also hold of a router that ignores everything; this one does not."""
    same = [1.0] * N
    equal = _published(same, [0.99] * N, [0.8] * N, [0.0] * N, [2.0] * N)
    fair = _chance_of_first(equal)
    for change in (
        {"time_s": [4.0, *same[1:]]},
        {"success": [0.5] + [0.99] * 5},
        {"quality": [0.2] + [0.8] * 5},
        {"usd": [0.1] + [0.0] * 5},
        {"in_flight": [16.0] + [2.0] * 5},
    ):
        figures = {"time_s": same, "success": [0.99] * N, "quality": [0.8] * N, "usd": [0.0] * N, "in_flight": [2.0] * N} | change
        assert _chance_of_first(_published(**figures)) < fair / 2
    assert _chance_of_first([msgspec.structs.replace(entry, share=entry.share) for entry in equal]) == fair


def _achieved(metric: str, weights: Weights, time_s: list[float], success: list[float], quality: list[float]) -> float:
    """The share-weighted metric of the plan at 30 % load, higher is better, in units of its spread over the targets."""
    value = {"response_time": -np.array(time_s), "reliability": np.array(success), "quality": np.array(quality)}[metric]
    estimates = Estimates(np.array(time_s), np.array(success), np.array(time_s), np.array(quality), np.zeros(N))
    rate = 0.3 * float((8.0 / np.array(time_s)).sum())
    share = planned_shares(rate, expected_cost(estimates, weights, 0.0), np.array(time_s), np.full(N, 8.0), np.full(N, np.inf))
    return float(value @ share) / max(1e-6, float(value.max() - value.min()))


@pytest.mark.parametrize("metric", ["reliability", "quality"])
@given(time_s=figures, success=ratios, quality=ratios, more=st.floats(1.2, 3))
def test_raising_a_score_weight_never_worsens_its_own_metric(metric: str, time_s: list[float], success: list[float], quality: list[float], more: float) -> None:
    """Who asks for reliability or quality gets no less of it, a hundredth of the spread apart."""
    weights = Weights(0.4, 0.3, 0.3)
    raised = weights._replace(**{metric: getattr(weights, metric) * more})
    assert _achieved(metric, raised, time_s, success, quality) >= _achieved(metric, weights, time_s, success, quality) - 0.01 - 1e-6


@given(time_s=figures.map(sorted), success=ratios.map(sorted), quality=ratios.map(sorted), more=st.floats(1.2, 3))
def test_raising_the_weight_of_response_time_makes_answers_faster(time_s: list[float], success: list[float], quality: list[float], more: float) -> None:
    """Wherever speed is bought with reliability or quality, which is where the weight has something to decide."""
    weights = Weights(0.4, 0.3, 0.3)
    raised = weights._replace(response_time=0.4 * more)
    before = _achieved("response_time", weights, time_s, success, quality)
    assert _achieved("response_time", raised, time_s, success, quality) >= before - 1e-6
