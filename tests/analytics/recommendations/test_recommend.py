from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from routecast.analytics.insights.planning import Plan, plan, simulated
from routecast.analytics.recommendations.contradictions import contradict, contradicts_capacity
from routecast.analytics.recommendations.recommend import better
from routecast.models.insights import decode_insight, encode_insight
from routecast.models.planning import PlannedTarget, PlanningInput, decode_planning, encode_planning
from routecast.models.recommendation import Effect, Recommendation

pytestmark = pytest.mark.untraced

Planning = Callable[..., PlanningInput]
IMPROVED = ("mean_ms", "p95_ms", "fail_ratio", "usd_per_request")


def _found(made: Plan) -> dict[str, Recommendation]:
    return {item.kind: item for item in made.recommendations.recommendations}


def _surely_better(item: Recommendation) -> bool:
    """Whether the interval of one of its figures is on the good side of now."""
    sides = [(e.now - (e.high or 0.0)) if e.figure in IMPROVED else ((e.low or 0.0) - e.now) for e in item.effects]
    return any(side > 0 for side in sides)


def test_of_a_service_that_is_well_nothing_is_recommended(planning: Planning) -> None:
    """Three equal targets at a quarter of their load."""
    made = plan(planning())
    assert made.recommendations.recommendations == ()
    assert made.capacity.sustainable_per_min is not None
    assert made.capacity.sustainable_per_min > 2 * made.capacity.now_per_min


def test_a_slow_target_that_even_shares_keep_busy_is_to_be_drained(planning: Planning) -> None:
    """Round robin sends it a third of everything; the command names it, and it says by how much it is slower."""
    item = _found(plan(planning(policy="round_robin", targets={"b": {"service_s": 3.0, "mean_s": 4.2}})))["drain"]
    assert (item.id, item.subject.id, item.priority, item.action) == ("drain/b", "b", "medium", "routecast targets drain b")
    assert "4.2 times as long" in item.description
    assert item.figures["times_as_slow"] == pytest.approx(4.2)
    assert _surely_better(item)


def test_a_target_that_fails_slowly_is_to_be_drained_and_that_is_urgent(planning: Planning) -> None:
    """Every twentieth attempt costs six seconds before the next target is asked."""
    item = _found(plan(planning(policy="random", targets={"b": {"fail_ratio": 0.08, "fail_s": 6.0}})))["drain"]
    assert (item.priority, item.figures["fail_ratio"]) == ("high", 0.08)
    assert "8.0% of its attempts fail" in item.description


def test_what_the_default_policy_avoids_already_need_not_be_drained(planning: Planning) -> None:
    """Planned shares leave a slow target next to nothing while the others have room: draining it would change nothing."""
    assert _found(plan(planning(targets={"b": {"service_s": 3.0, "mean_s": 3.0}}))) == {}


def test_a_bad_target_that_is_needed_is_not_drained(planning: Planning) -> None:
    """Without it the others would be nearly full."""
    busy = planning(per_s=15.0, policy="round_robin", targets={"b": {"fail_ratio": 0.08, "fail_s": 3.0}})
    assert "drain" not in _found(plan(busy))


def test_what_is_open_or_drained_serves_nobody_and_counts_for_nothing(planning: Planning) -> None:
    """Neither as something to drain nor as capacity."""
    out = plan(planning(policy="round_robin", targets={"b": {"state": "open", "fail_ratio": 0.9}, "c": {"state": "drained"}}))
    assert {row.target for row in out.capacity.targets} == {"a"}
    assert "drain" not in _found(out)


def test_a_good_target_that_refuses_needs_a_higher_limit(planning: Planning) -> None:
    """The fastest one, while the others are nearly full; whom to ask, and for how much."""
    fast = {"b": {"service_s": 0.4, "mean_s": 0.4, "limit_per_s": 3.0, "refused_ratio": 0.06, "headroom": 0.0}}
    item = _found(plan(planning(per_s=16.0, targets=fast)))["raise_limit"]
    assert (item.subject.id, item.priority, item.figures["wanted_per_min"]) == ("b", "high", 360.0)
    assert item.action.startswith("ask p-b for twice its limits, 360 requests/min")
    assert _surely_better(item)


def test_a_limit_that_costs_nobody_anything_stays(planning: Planning) -> None:
    """Exhausted, but the others have room and are as fast."""
    assert _found(plan(planning(targets={"b": {"limit_per_s": 1.0, "headroom": 0.05}}))) == {}


def test_a_service_beyond_what_it_can_sustain_needs_another_target(planning: Planning) -> None:
    """That is critical, and agrees with the hint of its capacity."""
    made = plan(planning(per_s=26.0))
    item = _found(made)["add_target"]
    assert made.capacity.scale.action == "up"
    assert (item.priority, item.subject.kind, item.subject.id) == ("critical", "service", "chat")
    assert item.figures["now_per_min"] > item.figures["sustainable_per_min"]
    assert _surely_better(item)


def test_a_weight_that_contradicts_what_is_measured_is_to_be_changed(planning: Planning) -> None:
    """Half of the traffic goes to the target that should have a tenth of it: the command says which weight to set."""
    heavy = {"b": {"weight": 2.0, "service_s": 2.5, "mean_s": 2.5, "share": 0.1, "score": 0.7, "capacity": 3.0}}
    light = {name: {"share": 0.45} for name in "ac"}
    item = _found(plan(planning(per_s=5.0, policy="weighted", targets=heavy | light)))
    chosen = item.get("change_weight") or item["drain"]
    assert chosen.subject.id == "b"
    assert chosen.action in {"routecast targets drain b", f"routecast targets set-weight b {chosen.figures.get('wanted_weight', 0.0):g}"}
    assert len({"change_weight", "drain"} & set(item)) == 1


def test_judgements_surely_below_the_target_are_to_be_looked_at(planning: Planning) -> None:
    """Urgent below the minimum; a few judgements, or a mean that chance explains, are not."""
    item = _found(plan(planning(targets={"b": {"quality": 0.6}})))["look_at_quality"]
    assert (item.subject.id, item.priority, [effect.figure for effect in item.effects]) == ("b", "high", ["quality"])
    assert item.effects[0].now == pytest.approx(0.83, abs=0.04)
    assert _surely_better(item)
    assert _found(plan(planning(targets={"b": {"quality": 0.6, "quality_n": 20}}))) == {}
    assert _found(plan(planning(targets={"b": {"quality": 0.89, "quality_n": 100}}))) == {}


def test_a_price_far_above_that_of_equals_is_to_be_talked_about(planning: Planning) -> None:
    """Equals are of the same model and at least as good; another model, or a better one, may cost more."""
    item = _found(plan(planning(targets={"b": {"usd": 0.03}})))["renegotiate_cost"]
    assert (item.subject.id, item.priority) == ("b", "low")
    (effect,) = item.effects
    assert effect.figure == "usd_per_request"
    assert effect.expected == pytest.approx(0.01, rel=0.01)
    assert _found(plan(planning(targets={"b": {"usd": 0.03, "model": "n"}}))) == {}
    assert _found(plan(planning(targets={"b": {"usd": 0.03, "quality": 0.99}}))) == {}


def test_names_from_events_cannot_slip_into_a_command(planning: Planning) -> None:
    """Commands are copied into shells."""
    item = _found(plan(planning(policy="round_robin", targets={"b": {"id": "b; reboot", "service_s": 3.0, "mean_s": 3.0}})))["drain"]
    assert item.action == "routecast targets drain 'b; reboot'"


def test_what_stands_keeps_its_beginning_and_may_become_half_as_good(planning: Planning) -> None:
    """Since when is what the leader knows; the bar for going is lower than that for coming."""
    bad = planning(policy="round_robin", targets={"b": {"service_s": 3.0, "mean_s": 3.0}}, standing={"drain/b": 5.0})
    assert _found(plan(bad))["drain"].since_ms == 5.0
    assert better([Effect(figure="mean_ms", now=100.0, expected=96.0, low=95.0, high=97.0)], frozenset({"mean_ms"})) is None
    assert better([Effect(figure="mean_ms", now=100.0, expected=96.0, low=95.0, high=97.0)], frozenset({"mean_ms"}), 0.5) == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("effects", "gain"),
    [
        ([("mean_ms", 100, 80, 60, 101)], None),
        ([("mean_ms", 100, 80, 70, 90)], 0.2),
        ([("mean_ms", 100, 80, 70, 90), ("p95_ms", 300, 330, 320, 340)], None),
        ([("mean_ms", 100, 80, 70, 90), ("p95_ms", 300, 330, 290, 340)], 0.2),
        ([("mean_ms", 100, 80, 70, 90), ("usd_per_request", 1, 1.3, 1.2, 1.4)], None),
        ([("p50_ms", 100, 50, 40, 60)], None),
    ],
)
def test_better_is_sure_noticeable_and_at_nobodys_cost(effects: list[tuple[Any, ...]], gain: float | None) -> None:
    """By its interval; what becomes surely worse elsewhere counts against it, what only may does not."""
    made = [Effect(figure=name, now=now, expected=then, low=low, high=high) for name, now, then, low, high in effects]
    assert better(made, frozenset({"mean_ms", "p95_ms", "fail_ratio"})) == (None if gain is None else pytest.approx(gain))


def test_with_little_traffic_nothing_is_simulated_and_nothing_recommended(planning: Planning) -> None:
    """The record says what is missing."""
    little = planning(per_s=1.0, targets={"b": {"fail_ratio": 0.5}})
    made = plan(little)
    assert not simulated(little)
    assert "are too few" in made.capacity.reason
    assert made.recommendations.recommendations == ()


def test_under_a_policy_that_cannot_be_simulated_nothing_is_recommended(planning: Planning) -> None:
    """`greedy` sends the fleet to one target after the other."""
    assert _found(plan(planning(policy="greedy", targets={"b": {"service_s": 3.0, "mean_s": 3.0}}))) == {}


def test_the_hours_until_a_limit_of_the_day_are_said_with_the_capacity(planning: Planning) -> None:
    """Of each target that has one."""
    made = plan(planning(targets={"b": {"hours_left": 3.5}}))
    assert {row.target: row.limit_in_hours for row in made.capacity.targets} == {"a": None, "b": 3.5, "c": None}


targets: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict, service_s=st.floats(0.2, 4.0), mean_s=st.floats(0.2, 6.0), capacity=st.floats(1.0, 20.0), elastic=st.booleans(),
    fail_ratio=st.sampled_from([0.0, 0.01, 0.1, 0.6]), fail_s=st.floats(0.0, 5.0), refused_ratio=st.sampled_from([0.0, 0.02, 0.3]),
    limit_per_s=st.sampled_from([None, 0.5, 3.0]), headroom=st.sampled_from([0.0, 0.5, 1.0]), weight=st.sampled_from([0.0, 0.5, 1.0, 4.0]),
    share=st.floats(0.0, 1.0), quality=st.sampled_from([0.5, 0.85, 0.95]), usd=st.sampled_from([0.0, 0.01, 0.05]),
    state=st.sampled_from(["ok", "degraded", "open", "drained", "rate_limited"]), worse=st.sampled_from([(), ("error_rate",), ("quality",)]),
)  # fmt: skip
POLICIES = ["performance", "weighted", "round_robin", "least_connections", "random", "configured", "greedy"]


@settings(max_examples=5, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # an example takes seconds: too long to look for a smaller one
@given(rows=st.lists(targets, min_size=1, max_size=4), slot_ms=st.sampled_from([500, 2000]), policy=st.sampled_from(POLICIES))
def test_whatever_the_figures_no_two_recommendations_contradict(rows: list[dict[str, Any]], slot_ms: int, policy: str) -> None:
    """Nor one what is said of capacity; each makes something surely better; equal inputs give equal plans, also through JSON."""
    plain = {"model": "m", "sigma": 0.6, "n": 500.0, "attempts": 400, "score": 0.8, "quality_n": 100}
    known = tuple(msgspec.convert({"id": f"t{i}", **plain, **row}, PlannedTarget) for i, row in enumerate(rows))
    slots = tuple(range(0, 60 * slot_ms, slot_ms))
    made_from = PlanningInput(
        service="chat", at_ms=60_000.0, policy=policy, limit_ms=500.0, quality_minimum=0.7, quality_target=0.9, targets=known, slot_ms=slots,
        arrived=(6,) * len(slots),
    )  # fmt: skip
    made = plan(made_from)
    found = made.recommendations.recommendations
    assert not any(contradict(one, other) for i, one in enumerate(found) for other in found[i + 1 :])
    assert not any(contradicts_capacity(item, made.capacity.scale) for item in found)
    assert all(_surely_better(item) for item in found)
    assert plan(decode_planning(encode_planning(made_from))) == made
    assert decode_insight(encode_insight(made.recommendations)) == made.recommendations
