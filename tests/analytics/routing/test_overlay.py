from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from routecast.analytics.routing.candidates import View
from routecast.analytics.routing.overlay import Overlay, Own
from routecast.models.config import TargetConfig
from routecast.models.snapshot import State, TargetScore


@pytest.fixture
def view() -> Callable[..., View]:
    """A view of targets a, b, c in these states, the others ok."""

    def make(**states: State) -> View:
        names = ("a", "b", "c")
        targets = [TargetConfig(id=name, provider="p", model="m", service="chat") for name in names]
        entries = [
            TargetScore(
                id=name, state=states.get(name, "ok"), time_s=1.0, service_s=1.0, capacity=4.0, share=0.3, in_flight=0.0, in_flight_mean=0.0, cost_s=1.0,
                success=0.9, fail_s=1.0, quality=0.8, headroom=0.5,
            )
            for name in names
        ]  # fmt: skip
        return View(None, targets, entries, range(3))

    return make


def test_with_nothing_to_say_the_view_stays_the_same(view: Callable[..., View]) -> None:
    """It is not even copied."""
    published = view()
    assert Overlay().laid_over(published) is published


def test_a_refusal_holds_until_its_time_and_then_lapses(view: Callable[..., View]) -> None:
    """The state is rate_limited; at its time the published state is back."""
    overlay = Overlay()
    overlay.limited(1, 5_000.0, now_ms=1_000.0)
    assert [entry.state for entry in overlay.laid_over(view()).entries] == ["ok", "rate_limited", "ok"]
    assert (overlay.next_ms, overlay.dirty) == (5_000.0, False)
    overlay.expire(4_999.0)
    assert not overlay.dirty
    overlay.expire(5_000.0)
    assert overlay.dirty
    assert overlay.laid_over(view()).entries[1].state == "ok"
    assert overlay.next_ms == math.inf


def test_no_refusal_is_believed_for_longer_than_five_minutes() -> None:
    """Whatever a header says."""
    overlay = Overlay()
    overlay.limited(0, 1e12, now_ms=1_000.0)
    assert overlay.next_ms == 301_000.0


def test_the_less_of_own_and_published_headroom_counts(view: Callable[..., View]) -> None:
    """The fleet may know of less, this router of less than the fleet; the same again changes nothing."""
    overlay = Overlay()
    overlay.headroom(0, 0.1)
    overlay.headroom(1, 0.9)
    assert [entry.headroom for entry in overlay.laid_over(view()).entries] == [0.1, 0.5, 0.5]
    overlay.headroom(1, 0.9)
    assert not overlay.dirty


@pytest.mark.parametrize(("published", "expected"), [("ok", "open"), ("recovering", "open"), ("drained", "drained"), ("rate_limited", "open")])
def test_the_own_breaker_is_overruled_by_operators_alone(view: Callable[..., View], published: State, expected: State) -> None:
    """Whatever the fleet thinks of the target, this router's calls fail there."""
    overlay = Overlay()
    overlay.breaker(0, Own("open", 0.0))
    assert overlay.laid_over(view(a=published)).entries[0].state == expected


def test_what_the_fleet_opened_stays_open(view: Callable[..., View]) -> None:
    """A router that ramps up by itself follows the fleet's word."""
    overlay = Overlay()
    overlay.breaker(0, Own(None, 0.5))
    laid = [overlay.laid_over(view(a=state)).entries[0] for state in ("open", "ok")]
    assert [(entry.state, entry.ramp) for entry in laid] == [("open", 1.0), ("ok", 0.5)]
