from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from routecast.analytics.capacity.attempts import FAILED, OK, OTHER, REFUSED, TIMEOUT, Attempts
from routecast.analytics.capacity.service_law import Law, TargetFit, Work
from routecast.analytics.capacity.target_fit import LEAST_ANSWERS, agreed, drawn, fit_target
from routecast.analytics.simulation.servers import Queueing
from routecast.models.config import TargetConfig

Floats = NDArray[np.float64]


def config(**more: Any) -> TargetConfig:
    """A configured target."""
    return TargetConfig(id="a", provider="p", model="m", service="chat", **more)


def attempts(duration_ms: Floats, end: int | NDArray[np.int64] = OK, output_tokens: float = math.nan, every_ms: float = 100.0) -> Attempts:
    """Attempts to one target at even times."""
    n = len(duration_ms)
    ends = np.full(n, end) if isinstance(end, int) else end
    tokens = np.full(n, output_tokens)
    return Attempts(("a",), np.zeros(n, np.int64), np.arange(n, dtype=np.float64) * every_ms, duration_ms, ends, np.ones(n, np.bool_), tokens, tokens, tokens)


@pytest.mark.untraced
def test_work_follows_the_tokens_where_they_are_reported(serve: Callable[..., Any], traffic: Callable[..., tuple[Floats, Floats]]) -> None:
    """A fixed part and a part per output token are found within a tenth, and what is left of the spread is that of neither."""
    gaps_ms, noise_ms = traffic(3.0, 2000, sigma=0.3)
    tokens = np.random.default_rng(2).integers(10, 400, 2000).astype(float)
    served = serve(lambda queue: Queueing(queue, 6), gaps_ms, (200.0 + 5.0 * tokens) * noise_ms / 1000.0)
    fit = fit_target(served.attempts(tokens), 0)
    assert fit is not None
    assert (fit.work.fixed_ms, fit.work.per_output_ms) == pytest.approx((200.0, 5.0), rel=0.1)
    assert np.log(fit.spread).std() == pytest.approx(0.3, rel=0.1)
    assert fit.alone_ms(tokens, tokens) == pytest.approx(served.work_ms.mean(), rel=0.05)


def test_too_few_answers_are_no_fit() -> None:
    """One less than are needed: None."""
    assert fit_target(attempts(np.full(LEAST_ANSWERS - 1, 50.0)), 0) is None
    assert fit_target(attempts(np.full(LEAST_ANSWERS, 50.0)), 0) is not None


def test_failures_are_counted_and_take_no_part_in_the_law() -> None:
    """Every fourth fails after 5 ms; refusals, cancelled calls and the caller's faults are neither."""
    ends = np.array([OK, TIMEOUT, OK, FAILED, REFUSED, OTHER] * 50)
    fit = fit_target(attempts(np.where(ends == FAILED, 5.0, 40.0), ends), 0)
    assert fit is not None
    assert (fit.fail_ratio, fit.fail_ms, fit.n) == (0.25, 5.0, 150)
    assert fit.alone_ms(np.zeros(1), np.zeros(1)) == pytest.approx(40.0)


def test_limits_come_from_the_configuration() -> None:
    """The tighter one of requests and tokens; capacity bounds the law."""
    seen = attempts(np.full(200, 350.0), output_tokens=250.0)
    fit = fit_target(seen, 0, config(requests_per_min=600.0, tokens_per_min=60_000.0, capacity=2))
    assert fit is not None
    assert fit.requests_per_s == pytest.approx(60_000 / 500 / 60)
    assert fit.law.slots == 2
    assert fit.bounded
    assert fit_target(seen, 0).requests_per_s is None  # type: ignore[union-attr]


def test_where_no_bound_was_seen_one_is_assumed_and_said_so() -> None:
    """Four at once that never waited: a bound between that and twice that, in the fit and in what is drawn from it."""
    fit = fit_target(attempts(np.full(300, 399.0)), 0)
    assert fit is not None
    assert (fit.seen, fit.bounded) == (4, False)
    rng = np.random.default_rng(1)
    most = [drawn(fit, rng).law.most for _ in range(50)]
    assert min(most) > 3
    assert max(most) <= 8
    assert 4 <= agreed([fit])[0].law.most <= 5


def test_targets_of_a_service_learn_from_each_other_how_they_slow_down() -> None:
    """A target that leaves it open is taken for what the others surely are; those that are sure stay what they are."""
    queue, sharing = Law(5.0, 1.0, 0.0), Law(math.inf, 5.0, 0.2)

    def known(name: str, slowing: float) -> TargetFit:
        weights = np.array([1.0 - slowing, slowing])
        return TargetFit(name, queue, Work(1.0, 0.0, 0.0), np.ones(1), 100, 9, np.array([queue, sharing]), weights)

    fits = agreed([known("a", 1.0), known("b", 0.99), known("c", 0.98), known("d", 0.4), known("e", 0.01)])
    assert [fit.law for fit in fits] == [sharing, sharing, sharing, sharing, queue]
    assert [float(fit.weights.sum()) for fit in fits] == pytest.approx([1.0] * 5)
    assert agreed([known("a", 0.4)])[0].law == queue


def test_a_law_comes_with_the_work_that_goes_with_it() -> None:
    """One that slows down earlier leaves less of the calls' time to their work; and back again."""
    laws, work = np.array([Law(8.0, 1.0, 0.0), Law(math.inf, 4.0, 0.25)]), Work(100.0, 1.0, 2.0)
    fit = TargetFit("a", Law(*laws[0].tolist()), work, np.ones(1), 100, 9, laws, np.array([0.5, 0.5]), scales=np.array([1.0, 0.8]))
    other = fit.under(1)
    assert other.law == Law(math.inf, 4.0, 0.25)
    assert tuple(other.work) == pytest.approx((80.0, 0.8, 1.6))
    assert tuple(other.under(0).work) == pytest.approx(tuple(work))


def test_a_target_that_answered_seldom_may_have_room_that_nobody_saw() -> None:
    """Four at once in sixty answers tell less of its bound than in six hundred; what others of its service can do tells more of it then."""
    few, many = fit_target(attempts(np.full(60, 399.0)), 0), fit_target(attempts(np.full(600, 399.0)), 0)
    assert few is not None
    assert many is not None
    large = Law(30.0, 1.0, 0.0)
    others = [TargetFit(name, large, Work(1.0, 0.0, 0.0), np.ones(1), 1000, 40, np.array([large]), np.ones(1)) for name in "bcd"]
    assert agreed([many, *others])[0].law.most < 6
    assert agreed([few, *others])[0].law.most > 8
