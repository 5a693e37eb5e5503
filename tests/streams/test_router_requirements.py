from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from routecast.models.errors import NoTarget
from routecast.models.requirements import Requirements
from routecast.models.snapshot import RoutingSnapshot, TargetScore
from routecast.streams.router import Router

MakeRouter = Callable[..., Router]
MakeSnapshot = Callable[..., RoutingSnapshot]
MakeScore = Callable[..., TargetScore]
NAMES = ("a", "b", "c", "d")


def _chosen(router: Router, n: int = 300, requirements: Requirements | None = None) -> Counter[str]:
    return Counter(router.choose(requirements).target for _ in range(n))


def test_excluded_and_tried_targets_are_not_chosen(make_router: MakeRouter) -> None:
    """Providers and targets alike; a caller that tried all of them gets one again."""
    router = make_router()
    asked = Requirements(excluded=("p-a", "b"))
    assert set(_chosen(router, 50, asked)) == {"c", "d"}
    assert {router.choose(asked, tried=["c"]).target for _ in range(50)} == {"d"}
    assert {router.choose(tried={"a", "b"}).target for _ in range(50)} == {"c", "d"}
    assert {router.choose(tried=NAMES).target for _ in range(100)} == set(NAMES)


def test_excluding_everything_is_an_error(make_router: MakeRouter) -> None:
    """With the reason for each, strict or not."""
    for strict in (False, True):
        with pytest.raises(NoTarget, match="'chat'") as caught:
            make_router().choose(Requirements(excluded=("p-a", "b", "c", "p-d"), strict=strict))
        assert caught.value.reasons == dict.fromkeys(NAMES, "excluded by the caller")


def test_strict_requirements_that_nothing_meets_are_an_error(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore) -> None:
    """Which says for every target why it was left out; without `strict` the least bad is used and the decision says so."""
    router = make_router()
    router.apply(snapshot(score("a", quality=0.5), score("b", state="rate_limited"), score("c", headroom=0.0), score("d", state="open")))
    asked = Requirements(quality_threshold=0.7, excluded=())
    with pytest.raises(NoTarget) as caught:
        router.choose(asked.model_copy(update={"strict": True}))
    assert caught.value.reasons == {
        "a": "quality 0.5",
        "b": "rate limited",
        "c": "no headroom left in its rate limit",
        "d": "open",
    }
    decision = router.choose(asked)
    assert (decision.target, decision.forced) == ("a", "unmet")
    assert any("quality" in unmet for unmet in decision.explain().unmet)


def test_where_nothing_is_healthy_everything_is_used(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore) -> None:
    """A request is not lost because all breakers are open."""
    router = make_router()
    router.apply(snapshot(*(score(name, state="open") for name in NAMES)))
    assert set(_chosen(router)) == set(NAMES)
    assert router.choose().forced == "fallback"


def test_preferred_targets_come_first_while_they_are_not_much_dearer(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore) -> None:
    """At most one and a half times the best other."""
    router = make_router()
    router.apply(snapshot(*(score(name, cost_s=1.45 if name == "b" else 1.0) for name in NAMES)))
    asked = Requirements(preferred=("p-b",))
    assert {(d.target, d.forced, d.propensity) for d in (router.choose(asked) for _ in range(50))} == {("b", "preferred", 1.0)}
    router.apply(snapshot(*(score(name, cost_s=1.55 if name == "b" else 1.0) for name in NAMES), seq=2))
    assert {d.forced for d in (router.choose(asked) for _ in range(50))} == {""}
    assert {router.choose(Requirements(preferred=("nobody",))).forced for _ in range(10)} == {""}


def test_urgent_requests_are_not_experimented_with(make_router: MakeRouter, snapshot: MakeSnapshot, score: MakeScore) -> None:
    """A hopeless target is tried once in a while, but never for them; the decision says so."""
    router = make_router()
    router.apply(snapshot(*(score(name, share=0.0, cost_s=1e6) if name == "d" else score(name) for name in NAMES)))
    assert _chosen(router, 3000)["d"] > 0
    assert _chosen(router, 3000, Requirements(urgency="high"))["d"] == 0
    assert router.choose(Requirements(urgency="high")).forced == "urgent"


def test_a_class_of_requirements_is_filtered_once_for_each_snapshot(make_router: MakeRouter, snapshot: MakeSnapshot) -> None:
    """Equal requirements share their candidates until a new snapshot comes."""
    router = make_router()
    first = router.choose(Requirements(region=None, max_cost_usd=1.0))
    assert router.choose(Requirements(max_cost_usd=1.0)).source is first.source
    assert router.choose(Requirements(max_cost_usd=2.0)).source is not first.source
    assert router.choose(Requirements(max_cost_usd=1.0), tried=["a"]).source is not first.source
    router.apply(snapshot())
    assert router.choose(Requirements(max_cost_usd=1.0)).source is not first.source


def test_the_candidates_of_a_class_are_kept_but_not_for_ever(make_router: MakeRouter) -> None:
    """Two thousand classes under one snapshot keep at most 512 tables."""
    router = make_router()
    for i in range(2000):
        router.choose(Requirements(max_cost_usd=1.0 + i))
    assert len(router._ways.present.classes) <= 512
