from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from routecast.analytics.capacity.capacity import LEAST_REQUESTS, capacity_of, evidence_of
from routecast.analytics.capacity.daily_limit import Used
from routecast.analytics.capacity.erlang_c import sustainable_per_s
from routecast.analytics.capacity.replayed import Arrivals
from routecast.analytics.capacity.service_law import Law, TargetFit, Work
from routecast.analytics.capacity.sustainable import Search, found, full_load
from routecast.analytics.simulation.servers import Queueing
from routecast.models.capacity import Capacity
from routecast.models.config import TargetConfig
from routecast.models.insights import decode_insight, encode_insight

Floats = NDArray[np.float64]
Traffic = Callable[..., tuple[Floats, Floats]]
EXPONENTIAL = -np.log(1.0 - (np.arange(2000) + 0.5) / 2000)


def queue_fit(slots: float, target: str = "a") -> TargetFit:
    """A queue with exponential answers of a second."""
    law = Law(slots, 1.0, 0.0)
    return TargetFit(target, law, Work(1000.0, 0.0, 0.0), EXPONENTIAL, 1000, int(2 * slots), np.array([law]), np.ones(1))


def poisson(n: int, per_s: float, seed: int = 1) -> Arrivals:
    """Arrivals without bursts."""
    rng = np.random.default_rng(seed)
    at_ms = np.cumsum(rng.exponential(1000.0 / per_s, n))
    return Arrivals(at_ms - at_ms[0], np.zeros(n), np.zeros(n), rng.random(n))


@pytest.mark.parametrize(("slots", "limit_ms"), [(4, 500.0), (10, 200.0)])
@pytest.mark.untraced
def test_where_the_textbook_is_right_it_is_confirmed(slots: int, limit_ms: float) -> None:
    """Poisson arrivals and exponential answers at one queue: what Erlang-C says, within 5 %."""
    loads = [Search(poisson(12_000, 0.7 * slots, seed), limit_ms).find([queue_fit(slots)], seed) * 0.7 * slots for seed in range(2)]
    assert np.mean(loads) == pytest.approx(sustainable_per_s(slots, 1.0, limit_ms / 1000.0), rel=0.05)


@pytest.mark.untraced
def test_bursts_cost_capacity_that_the_textbook_does_not_know_of(traffic: Traffic) -> None:
    """The same rate in bursts: less can be sustained."""
    gaps_ms, _ = traffic(3.0, 2000, bursts=0.8)
    at_ms = np.cumsum(gaps_ms)
    bursty = Arrivals(at_ms - at_ms[0], np.zeros(2000), np.zeros(2000), np.random.default_rng(1).random(2000))
    load = Search(bursty, 500.0).find([queue_fit(4)], 0)
    assert load * bursty.per_min / 60.0 < 0.85 * sustainable_per_s(4, 1.0, 0.5)


def test_more_slots_never_lower_the_capacity() -> None:
    """Nor does another target; and more patience allows more."""
    requests = poisson(1500, 2.0)
    few, more, two = (Search(requests, 300.0).find(fits, 0) for fits in ([queue_fit(3)], [queue_fit(4)], [queue_fit(3), queue_fit(3, "b")]))
    assert few < more < two
    assert Search(requests, 1000.0).find([queue_fit(3)], 0) > few


def test_a_search_from_nearby_finds_the_same() -> None:
    """Wherever it begins, within the two percent that both are given."""
    search, fits = Search(poisson(1500, 2.0), 300.0), [queue_fit(3)]
    whole = search.find(fits, 0)
    assert [search.near(fits, 0, whole * factor) for factor in (0.7, 1.0, 1.3)] == pytest.approx([whole] * 3, rel=0.02)
    assert 0 < whole < full_load(fits, search.arrivals)


@pytest.mark.untraced
def test_the_interval_holds_the_estimate_and_narrows_with_evidence() -> None:
    """Its width is that of what the events leave open."""
    sure, open_ = queue_fit(5), queue_fit(5)
    vague = replace(open_, laws=np.array([Law(c, 1.0, 0.0) for c in (3.0, 4.0, 5.0, 6.0, 7.0)]), weights=np.full(5, 0.2))
    widths: list[float] = []
    for fit in (sure, vague):
        told: list[float] = []
        result = found(Search(poisson(400, 3.0), 500.0), [fit], 0, told.append)
        assert result.low < result.load < result.high
        assert told == sorted(told)
        assert told[-1] == 1.0
        widths.append(math.log(result.high / result.low))
    assert widths[1] > 2 * widths[0]


def estimate(served: Any, **more: Any) -> Capacity:
    """The capacity of a service whose one target answered these calls."""
    return capacity_of(served.attempts(), service="chat", at_ms=1e12, limit_ms=500.0, **more)


@pytest.mark.untraced
def test_the_record_holds_what_was_found(serve: Callable[..., Any], traffic: Traffic) -> None:
    """Rates, interval, fit, comparison; the same again for the same seed; and it travels."""
    gaps_ms, work_ms = traffic(2.2, 800)
    served = serve(lambda queue: Queueing(queue, 4), gaps_ms, work_ms)
    said = estimate(served)
    assert said.sustainable_per_min is not None
    assert said.low_per_min is not None
    assert said.high_per_min is not None
    assert said.low_per_min < said.sustainable_per_min < said.high_per_min
    then = serve(lambda queue: Queueing(queue, 4), gaps_ms * said.now_per_min / said.sustainable_per_min, work_ms)
    assert np.quantile(then.end_ms - then.start_ms - then.work_ms, 0.95) == pytest.approx(500.0, rel=0.4)
    assert said.now_per_min == pytest.approx(2.2 * 60, rel=0.05)
    assert said.wait_p95_ms == pytest.approx(np.quantile(served.end_ms - served.start_ms - work_ms, 0.95), rel=0.05)
    (target,) = said.targets
    assert target.concurrency == pytest.approx(4.0, rel=0.1)
    assert target.service_ms == pytest.approx(served.work_ms.mean(), rel=0.05)
    assert (target.n, said.reason) == (800, "")
    assert estimate(served) == said
    assert decode_insight(encode_insight(said)) == said


def test_too_little_evidence_is_refused_in_words(serve: Callable[..., Any], traffic: Traffic) -> None:
    """How much there is, how much is needed, what to do; no figure that looks like one."""
    said = estimate(serve(lambda queue: Queueing(queue, 4), *traffic(2.2, LEAST_REQUESTS - 1)))
    assert said.sustainable_per_min is None
    assert said.reason == "299 answered requests are too few, 300 are needed: record for longer"
    assert said.scale.action == "none"


def test_limits_of_a_day_and_a_minute_are_reckoned_with(serve: Callable[..., Any], traffic: Traffic) -> None:
    """No more than the rate limit is sustainable, and the daily limit is used up in hours."""
    served = serve(lambda queue: Queueing(queue, 8), *traffic(2.0, 400))
    config = TargetConfig(id="a", provider="p", model="m", service="chat", requests_per_min=150, requests_per_day=2000)
    said = estimate(served, configs={"a": config}, used={"a": Used(1000, 0)})
    assert said.sustainable_per_min is not None
    assert said.sustainable_per_min < 170
    assert said.targets[0].limit_per_min == 150
    assert said.targets[0].limit_in_hours == pytest.approx(1000 / said.now_per_min / 60, rel=0.02)


def test_targets_without_evidence_are_named(serve: Callable[..., Any], traffic: Traffic) -> None:
    """They count for nothing, and the reason says so."""
    seen = serve(lambda queue: Queueing(queue, 4), *traffic(2.2, 400)).attempts()
    numbers = np.where(np.arange(400) < 390, 0, 1)
    found_ = evidence_of(seen._replace(names=("a", "b"), target=numbers), {})
    assert not isinstance(found_, str)
    assert found_.unknown == ("b",)
    assert [fit.target for fit in found_.fits] == ["a"]
