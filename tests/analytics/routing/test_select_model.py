from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from routecast.analytics.routing.candidates import View, bootstrap, view_of
from routecast.analytics.routing.select_model import asking, p95_ms, select_model
from routecast.models.config import Routing, TargetConfig
from routecast.models.errors import NoTarget
from routecast.models.model_choice import ModelChoice
from routecast.models.requirements import Requirements
from routecast.models.snapshot import RoutingSnapshot, TargetScore


def _view(*targets: tuple[str, dict[str, Any]], **snapshot: Any) -> View:
    """Targets t0, t1, … with these models and figures."""
    configured = tuple(TargetConfig(id=f"t{i}", provider="p", model=model, service="chat") for i, (model, _) in enumerate(targets))
    usual: dict[str, Any] = {
        "state": "ok", "time_s": 1.0, "service_s": 1.0, "capacity": 4.0, "share": 0.1, "in_flight": 0.0, "in_flight_mean": 0.0, "cost_s": 1.0,
        "success": 0.99, "fail_s": 1.0, "quality": 0.8, "quality_n": 50.0, "n": 100.0, "ttft_ms": tuple(100.0 * i for i in range(1, 17)),
    }  # fmt: skip
    entries = tuple(TargetScore(id=f"t{i}", **{**usual, **figures}) for i, (_, figures) in enumerate(targets))
    made = RoutingSnapshot(service="chat", term=3, seq=4, at_ms=0, period_ms=1000, rate_per_s=1, routers=1, t_ref_s=1, targets=entries, **snapshot)
    return view_of(made, configured, bootstrap(configured))


def _chosen(view: View, **asked: Any) -> ModelChoice:
    return select_model(view, Routing(), asking(None, asked))  # type: ignore[arg-type]


def test_the_least_expensive_model_that_meets_what_is_asked_is_chosen() -> None:
    """And the evidence says why the others are not."""
    view = _view(
        ("small", {"usd": 0.001, "quality": 0.6}), ("middle", {"usd": 0.004, "quality": 0.9, "cost_s": 2.0}), ("middle", {"usd": 0.003, "quality": 0.9}),
        ("large", {"usd": 0.02, "quality": 0.95}),
    )  # fmt: skip
    found = _chosen(view, quality=0.85, response_time_ms=5000)
    assert (found.model, found.met, found.snapshot) == ("middle", True, (3, 4))
    assert [(it.model, it.target, it.reason) for it in found.candidates] == [
        ("middle", "t2", ""),
        ("large", "t3", "costs 0.02 USD, 0.017 more"),
        ("small", "t0", "quality 0.6"),
    ]
    assert found.candidates[0].p95_ms == 1600.0


def test_at_equal_price_the_quickest_wins() -> None:
    """By expected time to a success."""
    view = _view(("slow", {"cost_s": 3.0}), ("quick", {"cost_s": 1.5}))
    assert [(it.model, it.reason) for it in _chosen(view).candidates] == [("quick", ""), ("slow", "takes 3.00 s to a success, 1.50 s more")]


def test_where_none_qualifies_the_nearest_is_named_or_strictness_raises() -> None:
    """`met` says so; a target that is out of service comes last whatever it promises."""
    view = _view(("far", {"quality": 0.3}), ("near", {"quality": 0.7}), ("down", {"quality": 0.99, "state": "open"}))
    found = _chosen(view, quality=0.9)
    assert ([it.model for it in found.candidates], found.met) == (["near", "far", "down"], False)
    with pytest.raises(NoTarget, match="quality"):
        select_model(view, Routing(), Requirements(quality_threshold=0.9, strict=True))


def test_complexity_scales_what_a_model_takes_and_costs() -> None:
    """Half as many tokens for a trivial context, one and a half for a complex one."""
    streamed = {"ttft_ms": (100.0,) * 16, "tpot_ms": (10.0,) * 16, "usd": 0.01}
    view = _view(("m", streamed), output_tokens=200.0)
    easy, hard = (_chosen(view, complexity=complexity).candidates[0] for complexity in (0.0, 1.0))
    assert (easy.p95_ms, hard.p95_ms) == (100 + 99 * 10, 100 + 299 * 10)
    assert (easy.usd, hard.usd) == (0.005, 0.015)


def test_the_callers_region_counts() -> None:
    """Its offset is added to the time to the first chunk."""
    view = _view(("m", {"regions_ms": {"ap": 250.0}}))
    assert p95_ms(view.entries[0], view, Requirements(caller_region="ap")) == 1850.0
    assert p95_ms(view.entries[0], view, Requirements(caller_region="eu")) == 1600.0


def test_without_evidence_nothing_is_predicted() -> None:
    """Before the first snapshot the configuration alone counts."""
    configured = (TargetConfig(id="a", provider="p", model="m", service="chat"),)
    found = select_model(view_of(None, configured, bootstrap(configured)), Routing(), asking(None, {"response_time_ms": 100}))
    assert (found.model, found.snapshot, found.candidates[0].p95_ms, found.candidates[0].unknown) == ("m", (0, 0), None, ("response time",))


def test_what_is_asked_lies_on_top_of_requirements() -> None:
    """Under the names of the helper; values out of range are refused."""
    both = asking(Requirements(urgency="high", quality_threshold=0.5), {"quality": 0.9, "response_time_ms": 800})
    assert both == Requirements(urgency="high", quality_threshold=0.9, max_response_time_ms=800)
    with pytest.raises(ValidationError):
        asking(None, {"quality": 2.0})
