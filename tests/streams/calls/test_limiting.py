"""Rate limits in the router: what a header, a refusal or a budget changes is followed by the next decision."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from routecast.models.config import Config
from routecast.models.events import Completed, Limits, decode_events
from routecast.models.snapshot import RoutingSnapshot, TargetScore
from routecast.streams.calls.call import Call
from routecast.streams.clock import FixedClock
from routecast.streams.emitter import Emitter
from routecast.streams.router import Router

MakeRouter = Callable[..., Router]
EMPTY = {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "60s"}


def start(router: Router, target: str, **told: Any) -> Call:
    """A call to this target."""
    while (decision := router.choose()).target != target:
        pass
    return router.start(decision, **told)


def chosen(router: Router) -> set[str]:
    """Targets of a few hundred decisions."""
    return {router.choose().target for _ in range(400)}


def ends(router: Router) -> list[Completed]:
    """Completions reported so far."""
    events: list[Any] = []
    while (record := router.emitter.take()) is not None:
        events += decode_events(record)[0]
    return [event for event in events if isinstance(event, Completed)]


@pytest.fixture
def router(make_router: MakeRouter, snapshot: Callable[..., RoutingSnapshot]) -> Router:
    """Knows four average targets."""
    made = make_router()
    made.apply(snapshot())
    return made


def test_a_refusal_takes_its_target_out_at_the_next_decision(router: Router, clock: FixedClock) -> None:
    """Before the call has even ended, until Retry-After, without any word from the fleet."""
    call = start(router, "a")
    call.headers({"Retry-After": "7"}, status=429)
    assert chosen(router) == {"b", "c", "d"}
    call.finish("rate_limited")
    clock.at_ms += 6999
    assert chosen(router) == {"b", "c", "d"}
    clock.at_ms += 1
    assert chosen(router) == {"a", "b", "c", "d"}
    (end,) = ends(router)
    assert (end.outcome, end.http_status, end.retry_after_ms) == ("rate_limited", 429, 7000.0)


def test_a_refusal_without_headers_counts_too(router: Router, clock: FixedClock) -> None:
    """For a second, or for what the application noted."""
    start(router, "a").finish("rate_limited")
    call = start(router, "b")
    call.retry_after_ms = 5000.0
    call.finish("rate_limited")
    assert chosen(router) == {"c", "d"}
    clock.at_ms += 1000
    assert chosen(router) == {"a", "c", "d"}


def test_an_empty_limit_is_no_candidate_until_it_holds_a_request(router: Router, clock: FixedClock, snapshot: Callable[..., RoutingSnapshot]) -> None:
    """All routers share it: with a quarter of the traffic, one waits until there are four."""
    call = start(router, "a")
    call.headers(EMPTY, status=200)
    call.finish()
    assert chosen(router) == {"b", "c", "d"}
    assert router.choose().explain().alternatives
    clock.at_ms += 60_000 * 4 // 100 - 100
    router.apply(snapshot(seq=2, at_ms=clock.at_ms))
    assert "a" not in chosen(router)
    clock.at_ms += 60_000
    router.apply(snapshot(seq=3, at_ms=clock.at_ms))
    assert "a" in chosen(router)
    (end,) = ends(router)
    assert end.limits == Limits(remaining_requests=0, reset_ms=60_000, requests_per_min=100)


def test_a_configured_limit_is_kept_without_any_header(clock: FixedClock) -> None:
    """Ten seconds of it at once, then its rate."""
    targets = [{"id": name, "provider": "p", "model": "m", "service": "chat"} for name in ("a", "b")]
    targets[0]["requests_per_min"] = 30  # type: ignore[assignment]
    router = Router(Config.model_validate({"target": targets}), "chat", Emitter(clock, random.Random(1)), clock, random.Random(2))
    taken = 0
    for _ in range(200):
        decision = router.choose()
        taken += decision.target == "a"
        router.start(decision).finish()
    assert taken == 5
    clock.at_ms += 2000
    assert "a" in chosen(router)


def test_tokens_count_as_well_as_requests(clock: FixedClock) -> None:
    """Those the caller announces are taken at the start, and given back when fewer were used."""
    targets: list[dict[str, Any]] = [{"id": name, "provider": "p", "model": "m", "service": "chat"} for name in ("a", "b")]
    targets[0]["tokens_per_min"] = 6000
    router = Router(Config.model_validate({"target": targets}), "chat", Emitter(clock, random.Random(1)), clock, random.Random(2))
    call = start(router, "a", input_tokens=600, max_output_tokens=900)
    assert chosen(router) == {"b"}
    call.tokens(input=100, output=100)
    call.finish()
    assert chosen(router) == {"a", "b"}


def test_a_published_headroom_makes_a_target_dearer(router: Router, snapshot: Callable[..., RoutingSnapshot], score: Callable[..., TargetScore]) -> None:
    """Below a fifth, in proportion."""
    router.apply(snapshot(score("a", headroom=0.05), *(score(name) for name in "bcd"), seq=2))
    while (decision := router.choose()).target == "a":
        pass
    costs = {alternative.target: alternative.cost_s for alternative in decision.explain().alternatives}
    assert costs["a"] == pytest.approx(4.0 * decision.explain().cost_s)


def test_leaving_a_block_after_a_refusal_reports_the_refusal(router: Router) -> None:
    """Whether the client raised an exception for it or not."""
    for error in (None, OSError()):
        try:
            with router.track(router.choose()) as call:
                call.headers({}, status=429)
                if error is not None:
                    raise error
        except OSError:
            pass
    assert [end.outcome for end in ends(router)] == ["rate_limited", "rate_limited"]


def test_wrong_headers_and_numbers_change_nothing(router: Router) -> None:
    """Whatever they are."""
    call = start(router, "a", input_tokens="many", max_output_tokens=object())
    for headers in (None, 5, "text", {"retry-after": "soon"}, [(1, 2, 3)], {5: object()}):
        call.headers(headers, status=200)
    call.tokens(input=-1)
    call.retry_after_ms = "later"  # type: ignore[assignment]
    call.finish()
    call.headers(EMPTY, status=429)
    assert chosen(router) == {"a", "b", "c", "d"}
