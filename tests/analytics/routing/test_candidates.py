from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.routing.candidates import Candidates, bootstrap, candidates, expected_output, in_time, judge, view_of
from routecast.models.config import Routing, TargetConfig
from routecast.models.errors import NoTarget
from routecast.models.requirements import NONE, Requirements
from routecast.models.snapshot import QUANTILES, RoutingSnapshot, TargetScore

ROUTING = Routing()


def _target(name: str, provider: str = "p", **more: object) -> TargetConfig:
    return TargetConfig.model_validate({"id": name, "provider": provider, "model": "m", "service": "chat"} | more)


def _entry(name: str, **more: object) -> TargetScore:
    figures: dict[str, object] = {
        "time_s": 1.0, "service_s": 1.0, "capacity": 10.0, "share": 0.25, "in_flight": 0.0, "in_flight_mean": 0.0, "cost_s": 1.0, "success": 0.99,
        "fail_s": 1.0, "quality": 0.8, "state": "ok", "score": 0.7, "n": 100.0, "quality_n": 10.0,
    }  # fmt: skip
    return TargetScore(id=name, **(figures | more))  # type: ignore[arg-type]


def _snapshot(*entries: TargetScore) -> RoutingSnapshot:
    return RoutingSnapshot(service="chat", term=1, seq=1, at_ms=0, period_ms=1000, rate_per_s=10, routers=1, t_ref_s=1, output_tokens=101, targets=entries)


def _choose_from(requirements: Requirements, *entries: TargetScore, tried: tuple[str, ...] = (), targets: tuple[TargetConfig, ...] = ()) -> Candidates:
    known = targets or tuple(_target(entry.id) for entry in entries)
    return candidates(view_of(_snapshot(*entries), known, bootstrap(known)), ROUTING, requirements, tried, random.Random(1))


def _names(found: Candidates) -> set[str]:
    return {found.view.targets[i].id for i in found.table.index}


@pytest.mark.parametrize(
    ("requirements", "left"),
    [
        (NONE, {"good", "poor", "slow"}),
        (Requirements(quality_threshold=0.75), {"good", "slow"}),
        (Requirements(reliability=0.95), {"good", "slow"}),
        (Requirements(max_response_time_ms=2000), {"good", "poor"}),
        (Requirements(excluded=("good", "poor")), {"slow"}),
        (Requirements(region="eu"), {"slow"}),
        (Requirements(max_cost_usd=0.01), {"good", "poor"}),
        (Requirements(complexity=0.9), {"good", "slow"}),
    ],
)
def test_requirements_filter(requirements: Requirements, left: set[str]) -> None:
    """Each requirement leaves those that meet it."""
    quick, slow = tuple(float(100 + 20 * i) for i in range(16)), tuple(float(3000 + 20 * i) for i in range(16))
    found = _choose_from(
        requirements,
        _entry("good", quality=0.95, ttft_ms=quick, usd=0.001),
        _entry("poor", quality=0.5, success=0.8, ttft_ms=quick, usd=0.001),
        _entry("slow", quality=0.92, ttft_ms=slow, usd=0.1),
        targets=(_target("good"), _target("poor"), _target("slow", region="eu")),
    )
    assert (_names(found), found.forced) == (left, "")


def test_too_little_evidence_passes_and_is_named() -> None:
    """Unknown is not bad."""
    found = _choose_from(Requirements(max_response_time_ms=100, quality_threshold=0.99, reliability=0.999), _entry("new", quality_n=0.0, n=2.0))
    assert (found.forced, found.fitness[0].unmet, found.fitness[0].unknown) == ("", (), ("response time", "quality", "success ratio"))


def test_when_nothing_qualifies_the_least_bad_are_used_and_flagged() -> None:
    """Their costs rise with how badly they miss."""
    found = _choose_from(Requirements(quality_threshold=0.9), _entry("a", quality=0.8), _entry("b", quality=0.4))
    costs = {found.view.targets[i].id: cost for i, cost in zip(found.table.index, found.table.costs, strict=True)}
    assert found.forced == "unmet"
    assert costs["b"] > costs["a"] > 1.0


def test_strict_requirements_raise_with_the_reason_of_every_target() -> None:
    """So that the caller knows which to relax."""
    with pytest.raises(NoTarget) as caught:
        _choose_from(Requirements(quality_threshold=0.9, strict=True, excluded=("b",)), _entry("a"), _entry("b"), _entry("c", state="open"))
    assert caught.value.reasons == {"a": "quality 0.8", "b": "excluded by the caller", "c": "open"}


def test_excluding_everything_is_an_error_even_where_not_strict() -> None:
    """An excluded target is never used."""
    with pytest.raises(NoTarget, match="excluded by the caller"):
        _choose_from(Requirements(excluded=("p",)), _entry("a"), _entry("b"))


def test_unhealthy_and_tried_targets_are_left_out_until_nothing_else_is_left() -> None:
    """Open, drained, limited, without headroom, weight 0, tried: not while there is another."""
    entries = (_entry("open", state="open"), _entry("drained", state="drained"), _entry("full", headroom=0.0), _entry("off"), _entry("tried"), _entry("left"))
    targets = tuple(_target(entry.id, weight=0.0 if entry.id == "off" else 1.0) for entry in entries)
    found = _choose_from(NONE, *entries, tried=("tried",), targets=targets)
    assert (_names(found), found.forced) == ({"left"}, "")
    found = _choose_from(NONE, _entry("open", state="open"), _entry("full", headroom=0.0), tried=("open",))
    assert (_names(found), found.forced) == ({"full"}, "fallback")
    assert _names(_choose_from(NONE, _entry("a"), _entry("b"), tried=("a", "b"))) == {"a", "b"}


@pytest.mark.parametrize("state", ["ok", "open"])
@pytest.mark.parametrize("tried", [(), ("left",)])
def test_a_drained_target_is_left_alone_even_when_the_others_fail(state: str, tried: tuple[str, ...]) -> None:
    """An operator took it out: neither a failover nor an outage of the others brings it back; where all are drained, all serve."""
    found = _choose_from(NONE, _entry("drained", state="drained"), _entry("left", state=state), tried=tried)
    assert _names(found) == {"left"}
    assert _names(_choose_from(NONE, _entry("a", state="drained"), _entry("b", state="drained"))) == {"a", "b"}


def test_preferred_ids_match_a_target_or_a_provider() -> None:
    """They form a table of their own."""
    found = _choose_from(Requirements(preferred=("q",)), _entry("a"), _entry("b"), targets=(_target("a"), _target("b", "q")))
    assert found.preferred is not None
    assert (_names(found.preferred), found.preferred.forced, _names(found)) == ({"b"}, "preferred", {"a", "b"})


def test_low_urgency_counts_the_price_double() -> None:
    """Where a second of waiting has a price at all."""
    routing = Routing(usd_per_second=0.01)
    view = view_of(None, (_target("a"),), [_entry("a", usd=0.02, cost_s=3.0)])
    usual, patient = (candidates(view, routing, Requirements(urgency=u), (), random.Random(1)).table.costs for u in ("medium", "low"))
    assert (usual, patient) == ([3.0], [5.0])


@pytest.mark.parametrize("urgency", ["medium", "high"])
def test_a_decision_says_when_nothing_met_the_requirements_whatever_else_was_asked(urgency: str) -> None:
    """Before that it was urgent, and before that a preferred target was drawn."""
    asked = Requirements.model_validate({"quality_threshold": 0.9, "urgency": urgency, "preferred": ("b",)})
    unmet = _choose_from(asked, _entry("a", quality=0.8), _entry("b", quality=0.4))
    fallback = _choose_from(asked, _entry("a", state="open"), _entry("b", state="open"))
    met = _choose_from(asked, _entry("a", quality=0.95), _entry("b", quality=0.95))
    assert [found.forced for found in (unmet, fallback, met)] == ["unmet", "fallback", "urgent" if urgency == "high" else ""]
    assert [found.preferred.forced for found in (unmet, fallback, met) if found.preferred] == ["unmet", "fallback", "preferred"]


def test_a_configured_quality_is_known_before_any_feedback() -> None:
    """The operator said it; only the general default is unknown."""
    asked = Requirements(quality_threshold=0.9)
    entries = [_entry(name, quality=quality, quality_n=0.0) for name, quality in (("said", 0.5), ("good", 0.95), ("unsaid", 0.8))]
    found = _choose_from(asked, *entries, targets=(_target("said", quality=0.5), _target("good", quality=0.95), _target("unsaid")))
    assert _names(found) == {"good", "unsaid"}
    assert [fitness.unknown for fitness in found.fitness] == [(), (), ("quality",)]


def test_urgent_requests_do_not_explore_and_ask_for_more_certainty() -> None:
    """99 % in time instead of 95."""
    ttft = (*(float(i) for i in range(100, 115)), 5000.0)
    assert in_time(_entry("a", ttft_ms=ttft), 1000.0, 0.0) == 15 / 16
    usual = _choose_from(Requirements(max_response_time_ms=1000), _entry("a", ttft_ms=ttft))
    urgent = _choose_from(Requirements(max_response_time_ms=1000, urgency="high"), _entry("a", ttft_ms=ttft))
    assert (urgent.table.explore, usual.table.explore) == (False, True)


@given(
    ttft=st.lists(st.floats(1, 5000), min_size=16, max_size=16).map(sorted),
    tpot=st.lists(st.floats(0.1, 100), min_size=16, max_size=16).map(sorted),
    deadline_ms=st.floats(10, 20_000),
    tokens=st.floats(2, 500),
)
def test_the_chance_to_be_in_time_is_that_of_all_pairs(ttft: list[float], tpot: list[float], deadline_ms: float, tokens: float) -> None:
    """Time to first token and time per token taken as independent."""
    pairs = [first + (tokens - 1) * each for first in ttft for each in tpot]
    near = sum(abs(pair - deadline_ms) < 1e-6 for pair in pairs) / len(pairs)
    brute = sum(pair <= deadline_ms for pair in pairs) / len(pairs)
    assert abs(in_time(_entry("a", ttft_ms=tuple(ttft), tpot_ms=tuple(tpot)), deadline_ms, tokens) - brute) <= near


@given(
    seed=st.integers(0, 1000),
    ttft_s=st.floats(0.05, 5),
    sigma=st.floats(0.1, 1.2),
    tpot_ms=st.floats(1, 100),
    tokens=st.integers(0, 800),
    factor=st.floats(0.3, 4),
)
def test_the_chance_to_be_in_time_is_that_of_the_requests_themselves(
    seed: int, ttft_s: float, sigma: float, tpot_ms: float, tokens: int, factor: float
) -> None:
    """Within the 1/32 that sixteen quantiles leave open, of what ten thousand requests do that have these quantiles."""
    luck = np.random.default_rng(seed)
    first, each = 1000 * ttft_s * luck.lognormal(0, sigma, 10_000), tpot_ms * luck.lognormal(0, 0.4, 10_000)
    entry = _entry("a", ttft_ms=tuple(np.quantile(first, QUANTILES)), tpot_ms=tuple(np.quantile(each, QUANTILES)))
    took = first + each * max(0, tokens - 1)
    deadline_ms = factor * float(np.median(took))
    assert in_time(entry, deadline_ms, tokens) == pytest.approx(float((took <= deadline_ms).mean()), abs=0.035)


@pytest.mark.parametrize(
    ("complexity", "tokens", "deadline_ms", "quality"), [(0.0, 51, 5000, 0.8), (0.5, 101, 5000, 0.8), (0.7, 121, 5000, 0.9), (1.0, 152, 15_000, 0.9)]
)
def test_complexity_scales_the_tokens_and_sets_what_was_not_asked(complexity: float, tokens: float, deadline_ms: float, quality: float) -> None:
    """From half to one and a half of 101; up to 15 s and a quality of 0.9 for the complex ones, unless the caller gave figures."""
    asked = Requirements(complexity=complexity)
    view = view_of(_snapshot(_entry("a")), (_target("a"),), [])
    assert expected_output(view.snapshot, asked) == pytest.approx(tokens, abs=1)
    assert (asked.deadline_ms, asked.least_quality) == (deadline_ms, quality)
    given_ = Requirements(complexity=complexity, max_response_time_ms=700, quality_threshold=0.1)
    assert (given_.deadline_ms, given_.least_quality) == (700, 0.1)


def test_a_complex_request_costs_more_and_may_cost_too_much() -> None:
    """The price of an average answer, scaled."""
    entries = (_entry("cheap", usd=0.01), _entry("dear", usd=0.02))
    names = [_names(_choose_from(Requirements(max_cost_usd=0.025, complexity=c, quality_threshold=0), *entries)) for c in (0.5, 1.0)]
    assert names == [{"cheap", "dear"}, {"cheap"}]


def test_every_candidate_keeps_a_little_share_and_a_recovering_one_a_part_of_it() -> None:
    """At least 2 % of an equal share before it is multiplied with the ramp."""
    found = _choose_from(NONE, _entry("big", share=0.5), _entry("none", share=0.0), _entry("ramping", share=0.5, ramp=0.1))
    weights = {found.view.targets[i].id: w for i, w in zip(found.table.index, found.table.weights, strict=True)}
    total = 0.5 + 0.02 / 3 + 0.05
    assert weights == pytest.approx({"big": 0.5 / total, "none": 0.02 / 3 / total, "ramping": 0.05 / total})


def test_weighted_draws_by_score_times_weight_and_greedy_by_the_factors() -> None:
    """As published, with the configured weights of the factors and the ramp."""
    entry = _entry("a", score=0.5, weight=3.0, ramp=0.5, load=0.9, history=0.8, real_time=0.6)
    table = _choose_from(NONE, entry).table
    assert table.scores == pytest.approx([0.75])
    assert table.factors == pytest.approx([0.25 * 0.9 + 0.3 * 0.8 + 0.3 * 0.6 + 0.15])


def test_what_misses_requirements_costs_more_by_their_weight() -> None:
    """Cost x (1 + (w/0.15)·(1 − factor)); the factor is the product of what each requirement is met by."""
    entry = _entry("a", quality=0.6, success=0.72, ttft_ms=tuple(float(100 * i) for i in range(1, 17)), cost_s=2.0)
    asked = Requirements(quality_threshold=0.8, reliability=0.9, max_response_time_ms=Requirements(max_response_time_ms=1000).rounded_deadline_ms)
    found = _choose_from(asked, entry)
    factor = 0.75 * 0.8 * 9 / 16
    assert found.fitness[0].factor == pytest.approx(factor)
    assert found.table.costs == pytest.approx([2.0 * (1 + 1 - factor)])
    assert found.fitness[0].unmet == ("in time with only 56% probability", "quality 0.6", "success ratio 0.72")


def test_the_mask_names_the_candidates_in_snapshot_order() -> None:
    """Whatever order they stand in at this router."""
    known = (_target("c"), _target("a"), _target("new"))
    found = candidates(view_of(_snapshot(_entry("a"), _entry("b"), _entry("c")), known, bootstrap(known)), ROUTING, NONE, ("a",), random.Random(1))
    assert int(found.mask, 16) == (1 << 2) | (1 << 5)


def test_candidates_stand_in_another_order_in_every_snapshot() -> None:
    """So that ties of cost are not broken alike by all routers."""
    known = tuple(_target(name) for name in "abcdefgh")
    view = view_of(None, known, bootstrap(known))
    assert len({tuple(candidates(view, ROUTING, NONE, (), random.Random(seed)).table.index) for seed in range(20)}) > 15


def test_a_router_only_knows_targets_of_its_own_configuration() -> None:
    """A snapshot never brings one in; one it does not know stands as configured, its bit behind the others."""
    known = (_target("mine", quality=0.6), _target("seen"))
    snapshot = RoutingSnapshot(
        service="chat", term=1, seq=1, at_ms=0, period_ms=1000, rate_per_s=1, routers=1, t_ref_s=1, targets=(_entry("foreign"), _entry("seen"))
    )
    view = view_of(snapshot, known, bootstrap(known))
    assert [entry.id for entry in view.entries] == ["mine", "seen"]
    assert (view.entries[0].quality, view.entries[0].state, list(view.bits)) == (0.6, "unknown", [2, 1])


def test_judging_nothing_finds_nothing() -> None:
    """A request without requirements fits everywhere."""
    view = view_of(None, (_target("a"),), bootstrap((_target("a"),)))
    assert judge(view, 0, NONE) == (1.0, (), (), False)


@given(st.floats(10, 600_000))
def test_the_deadline_is_rounded_down_on_a_grid(deadline_ms: float) -> None:
    """At most a fifth is given away, and nothing is added."""
    rounded = Requirements(max_response_time_ms=deadline_ms).rounded_deadline_ms
    assert rounded is not None
    assert deadline_ms * 0.83 <= rounded <= deadline_ms * 1.000001


def test_classes_of_requirements_are_told_apart_by_value() -> None:
    """Equal objects share a class; deadlines of one step do, any other difference does not."""
    assert Requirements(quality_threshold=0.9).key == Requirements(quality_threshold=0.9).key
    assert Requirements(max_response_time_ms=1000.0).key == Requirements(max_response_time_ms=1000.5).key
    assert (
        len({r.key for r in (NONE, Requirements(urgency="high"), Requirements(strict=True), Requirements(preferred=("a",)), Requirements(excluded=("a",)))})
        == 5
    )
