from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from routecast.analytics.balance import POLICIES, Own, costs_now, least_of_draws
from routecast.analytics.routing.candidates import Candidates, bootstrap, candidates, view_of
from routecast.analytics.routing.contention import load_term
from routecast.models.config import Routing, TargetConfig
from routecast.models.decision import Alternative, Decision, Explanation
from routecast.models.requirements import NONE, Requirements
from routecast.models.snapshot import RoutingSnapshot, TargetScore


def _entry(name: str, **more: object) -> TargetScore:
    figures: dict[str, object] = {
        "time_s": 1.0, "service_s": 1.0, "capacity": 10.0, "share": 0.25, "in_flight": 2.0, "in_flight_mean": 2.0, "cost_s": 1.0, "success": 0.98,
        "fail_s": 1.0, "quality": 0.8, "state": "ok", "score": 0.7, "n": 100.0, "load": 0.75, "history": 0.65, "real_time": 0.6,
    }  # fmt: skip
    return TargetScore(id=name, **(figures | more))  # type: ignore[arg-type]


def _found(
    entries: Sequence[TargetScore], requirements: Requirements = NONE, *, tried: tuple[str, ...] = (), routing: Routing | None = None, **weights: float
) -> Candidates:
    targets = [TargetConfig(id=e.id, provider=f"of {e.id}", model="m", service="chat", region="eu", weight=weights.get(e.id, 1.0)) for e in entries]
    snapshot = RoutingSnapshot(
        service="chat", term=3, seq=9, at_ms=0, period_ms=1000, rate_per_s=10, routers=1, t_ref_s=1, output_tokens=101, targets=tuple(entries)
    )
    return candidates(view_of(snapshot, targets, bootstrap(targets)), routing or Routing(), requirements, tried, random.Random(1))


def _decision(found: Candidates, target: str, policy: str = "performance", power: float = 1.0) -> Decision:
    """What a router that has drawn `target` from these candidates decides."""
    view, table = found.view, found.table
    terms = [load_term((entry.in_flight + 1) / entry.capacity) ** power for entry in view.entries]
    costs = costs_now(table, Own([0] * len(terms), terms, [target.weight for target in view.targets]))
    position = next(position for position, i in enumerate(table.index) if view.targets[i].id == target)
    return Decision(
        config=view.targets[table.index[position]], policy=policy, snapshot=(3, 9), propensity=0.5, candidates=found.mask, forced=found.forced,
        entry=view.entries[table.index[position]], packed_costs=table.pack(*costs), position=position, source=found,
    )  # fmt: skip


def _others(explanation: Explanation) -> dict[str, Alternative]:
    return {alternative.target: alternative for alternative in explanation.alternatives}


def test_an_explanation_repeats_the_decision() -> None:
    """Who, by which rule, from which snapshot, with what figures."""
    found = _found([_entry("a", quality_n=3.0), _entry("b", cost_s=2.0)])
    said = _decision(found, "a").explain()
    assert (said.target, said.provider, said.model, said.service, said.region) == ("a", "of a", "m", "chat", "eu")
    assert (said.policy, said.snapshot, said.propensity, said.score, said.reliability, said.quality) == ("performance", (3, 9), 0.5, 0.7, 0.98, 0.8)
    assert said.reason == "the cheapest of four draws from the planned shares; the cheapest of 2 candidates at an expected 0.50 s"
    assert said.load_impact == "2 in flight of about 10 it serves at once; one more is 10.0% of that"
    assert _decision(_found([_entry("a")]), "a").explain().quality is None


@pytest.mark.parametrize(("in_flight", "power"), [(3.0, 1.0), (8.0, 1.0), (24.0, 1.0), (24.0, 0.4), (24.0, 2.0)])
def test_the_wait_is_in_the_estimated_response_time(in_flight: float, power: float) -> None:
    """Twenty-five requests on ten slots take two and a half times as long, whatever the weight of the factor; four wait for nothing."""
    routing = Routing.model_validate({"factor_weights": {"current_load": power * 0.25}})
    found = _found([_entry("a", in_flight=in_flight, time_s=0.8), _entry("b")], routing=routing)
    said = _decision(found, "a", power=power).explain()
    u = (in_flight + 1) / 10
    assert said.response_time_ms == pytest.approx(800 * max(1.0, u))
    assert said.factors.current_load == pytest.approx(0.75 if u <= 0.5 else 1 - min(1, u))


def test_without_a_weight_of_load_it_is_as_published() -> None:
    """The cost then says nothing of the load."""
    routing = Routing.model_validate({"factor_weights": {"current_load": 0.0}})
    said = _decision(_found([_entry("a", in_flight=50.0), _entry("b")], routing=routing), "a", power=0.0).explain()
    assert (said.factors.current_load, said.response_time_ms) == pytest.approx((0.75, 1000))


def test_factors_are_those_of_the_target_and_of_what_was_asked() -> None:
    """And stay within 0..1 even where a snapshot does not."""
    found = _found([_entry("a", history=1.2, real_time=-0.1, quality_n=9.0), _entry("b", quality=0.3, quality_n=9.0)], Requirements(quality_threshold=0.6))
    factors = _decision(found, "a").explain().factors
    assert (factors.history, factors.real_time, factors.requirements) == (1.0, 0.0, 1.0)


def test_the_reason_says_what_was_unusual() -> None:
    """Nothing qualified, nothing was healthy, urgent, preferred."""
    two = [_entry("a", quality_n=9.0), _entry("b", quality_n=9.0)]
    closed = [_entry("a", state="open"), _entry("b", state="open")]
    for found, words in (
        (_found(two, Requirements(quality_threshold=0.99)), "least bad"),
        (_found(closed), "no target is healthy"),
        (_found(two, Requirements(urgency="high")), "no exploration"),
        (_found(two, Requirements(preferred=("a",))).preferred, "preferred by the caller"),
    ):
        assert found is not None
        assert words in _decision(found, "a").explain().reason
    assert "(" not in _decision(_found(two), "a").explain().reason


def test_what_is_not_met_and_what_is_not_known_is_said() -> None:
    """Of the chosen target."""
    found = _found([_entry("a", n=2.0, quality_n=9.0)], Requirements(quality_threshold=0.99, reliability=0.999, region="us"))
    assert _decision(found, "a").explain().unmet == ("quality 0.8", "in region 'eu'", "success ratio not known yet")


def test_every_other_target_is_an_alternative_with_a_reason() -> None:
    """Candidates by cost with their chance, then those that were none, by name."""
    entries = [
        _entry("a", cost_s=2.0), _entry("cheap", cost_s=1.0), _entry("dear", cost_s=3.0), _entry("open", state="open"), _entry("full", headroom=0.0),
        _entry("limited", state="rate_limited"), _entry("tried"), _entry("bad", quality=0.1, quality_n=9.0), _entry("off"), _entry("no"),
    ]  # fmt: skip
    found = _found(entries, Requirements(quality_threshold=0.5, excluded=("no",)), tried=("tried",), off=0.0)
    decision = _decision(found, "a")
    others = _others(decision.explain())
    assert list(others) == ["cheap", "dear", "bad", "full", "limited", "no", "off", "open", "tried"]
    assert {name: other.reason for name, other in others.items()} == {
        "cheap": "cheaper at 0.50 s, but not drawn",
        "dear": "costs 1.50 s, +50%",
        "bad": "quality 0.1",
        "full": "no headroom left in its rate limit",
        "limited": "rate limited",
        "no": "excluded by the caller",
        "off": "weight 0",
        "open": "open",
        "tried": "already tried, or not among the preferred",
    }
    assert [others[name].cost_s for name in ("cheap", "dear", "open")] == [pytest.approx(0.5), pytest.approx(1.5), None]
    mine = least_of_draws(found.table, decision.costs, decision.position)
    assert sum(other.probability for other in others.values()) + mine == pytest.approx(1.0)


def test_the_reason_names_the_place_by_cost() -> None:
    """A draw need not be the cheapest."""
    found = _found([_entry("a", cost_s=2.0), _entry("b", cost_s=1.0), _entry("c", cost_s=3.0)])
    assert "number 2 by cost of 3 candidates" in _decision(found, "a").explain().reason


@pytest.mark.parametrize(("policy", "chances"), [("weighted", [0.25, 0.75]), ("configured", [1 / 3, 2 / 3]), ("random", [0.5, 0.5]), ("greedy", [0.0, 0.0])])
def test_chances_are_those_of_the_rule_that_decided(policy: str, chances: list[float]) -> None:
    """A rule that does not draw gave the others none."""
    found = _found([_entry("a", score=0.4, weight=1.0), _entry("b", score=0.6, weight=2.0)], a=1.0, b=2.0)
    for name, other, chance in (("b", "a", chances[0]), ("a", "b", chances[1])):
        assert _others(_decision(found, name, policy).explain())[other].probability == pytest.approx(chance)


@pytest.mark.parametrize("policy", ["weighted", "configured"])
def test_targets_out_of_rotation_are_equally_likely_when_nothing_else_is_left(policy: str) -> None:
    """Weights that are all 0 say nothing, and divide nothing."""
    found = _found([_entry("a", weight=0.0), _entry("b", weight=0.0)], a=0.0, b=0.0)
    assert found.forced == "fallback"
    assert _others(_decision(found, "a", policy).explain())["b"].probability == 0.5


def test_every_rule_has_words() -> None:
    """Those of the configuration and those that take their place."""
    found = _found([_entry("a"), _entry("b")])
    reasons = {_decision(found, "a", policy).explain().reason.split(";")[0] for policy in POLICIES if policy != "auto"}
    assert len(reasons) == len(POLICIES) - 1
    assert not reasons & set(POLICIES)
