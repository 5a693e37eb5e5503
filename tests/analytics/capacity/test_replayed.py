from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routecast.analytics.capacity.attempts import OK, Attempts
from routecast.analytics.capacity.replayed import Arrivals, arrivals_of, replay
from routecast.analytics.capacity.service_law import Law, TargetFit, Work

EXPONENTIAL = -np.log(1.0 - (np.arange(2000) + 0.5) / 2000)


def fit(target: str = "a", slots: float = 4.0, mean_ms: float = 1000.0, **more: object) -> TargetFit:
    """A queue with exponential answers."""
    law = Law(slots, 1.0, 0.0)
    made = TargetFit(target, law, Work(mean_ms, 0.0, 0.0), EXPONENTIAL, 1000, 50, np.array([law]), np.ones(1))
    return replace(made, **more)  # type: ignore[arg-type]


def arrivals(n: int, per_s: float, seed: int = 1) -> Arrivals:
    """Poisson, without tokens."""
    rng = np.random.default_rng(seed)
    at_ms = np.cumsum(rng.exponential(1000.0 / per_s, n))
    return Arrivals(at_ms - at_ms[0], np.zeros(n), np.zeros(n), rng.random(n))


@given(st.integers(1, 5), st.floats(0.3, 1.5), st.floats(1.0, 2.0), st.integers(0, 100))
@settings(max_examples=25)
def test_more_load_never_means_less_wait(slots: int, load: float, more: float, seed: int) -> None:
    """In a queue, every single request waits at least as long when all come faster."""
    requests = arrivals(150, 0.7 * slots, seed)
    one, other = (replay([fit(slots=slots)], requests, factor).wait_ms for factor in (load, load * more))
    assert (other >= one - 1e-6).all()


@given(st.integers(1, 5), st.integers(0, 100))
@settings(max_examples=25)
def test_more_slots_never_mean_more_wait(slots: int, seed: int) -> None:
    """For no request."""
    requests = arrivals(150, 0.9 * slots, seed)
    one, other = (replay([fit(slots=n)], requests).wait_ms for n in (slots, slots + 1))
    assert (other <= one + 1e-6).all()


def test_the_same_seed_is_the_same_run() -> None:
    """Draws of routing and failures follow from the seed, and from nothing else."""
    targets, requests = [fit("a", fail_ratio=0.1), fit("b", slots=2.0)], arrivals(500, 4.0)
    one, again, other = (replay(targets, requests, seed=seed) for seed in (1, 1, 2))
    assert one.wait_ms.tolist() == again.wait_ms.tolist()
    assert one.attempts == again.attempts
    assert one.wait_ms.tolist() != other.wait_ms.tolist()


def test_the_better_target_gets_more() -> None:
    """By capacity and speed, as routing plans it."""
    run = replay([fit("a", slots=8.0, mean_ms=500.0), fit("b", slots=2.0, mean_ms=2000.0)], arrivals(1000, 8.0))
    assert run.attempts[0] > 5 * run.attempts[1]
    assert sum(run.attempts) == 1000


def test_failures_are_tried_elsewhere() -> None:
    """One of two targets always fails: nobody fails, and the second attempts are counted."""
    run = replay([fit("a", fail_ratio=1.0), fit("b", slots=50.0)], arrivals(400, 2.0))
    assert run.failed_ratio == 0
    assert run.attempts[1] == 400
    alone = replay([fit("a", fail_ratio=1.0)], arrivals(400, 2.0))
    assert alone.failed_ratio == 1
    assert alone.wait_quantile_ms(0.95) == math.inf


def test_nobody_is_sent_again_to_whom_failed_it() -> None:
    """The other target never fails, so that no request does, though half of the calls to the first one do."""
    run = replay([fit("a", slots=50.0, fail_ratio=0.5), fit("b", slots=50.0, mean_ms=4000.0)], arrivals(400, 4.0))
    assert run.attempts[0] > 100
    assert run.failed_ratio == 0


def test_a_failure_takes_its_time() -> None:
    """Half a second until the other target is asked; where nobody has to queue, nothing else is waited for."""
    targets = [fit(name, slots=50.0, fail_ratio=0.3, fail_ms=500.0) for name in ("a", "b")]
    waits = replay(targets, arrivals(400, 4.0)).wait_ms
    assert {round(wait_ms) for wait_ms in waits[np.isfinite(waits)].tolist()} == {0, 500}
    assert 0.2 < (waits > 1.0).mean() < 0.4


def test_at_a_rate_limit_requests_wait_for_room() -> None:
    """Nobody is refused; what exceeds the limit waits, and all are served in the end."""
    limited = fit(slots=100.0, requests_per_s=1.0)
    run = replay([limited], arrivals(300, 2.0))
    assert run.failed_ratio == 0
    assert run.attempts == (300,)
    assert run.wait_quantile_ms(0.95) > 60_000
    assert replay([limited], arrivals(300, 2.0), 0.4).wait_quantile_ms(0.5) == pytest.approx(0.0, abs=1e-6)


def test_cost_follows_the_tokens_of_whom_served() -> None:
    """The price of the target that answered."""
    requests = arrivals(100, 1.0)._replace(input_tokens=np.full(100, 10.0), output_tokens=np.full(100, 5.0))
    assert replay([fit()], requests, usd=[(0.1, 1.0)]).usd == pytest.approx(6.0)


def test_requests_keep_their_rank_not_their_wait() -> None:
    """Ten at once at one slot: the last waits longest, yet its rank is that of its work."""
    work_ms, n = np.array([50.0, 20.0, 90.0, 10.0, 40.0, 80.0, 30.0, 70.0, 60.0, 100.0]), 10
    end_ms = np.cumsum(work_ms)
    unknown = np.full(n, math.nan)
    seen = Attempts(
        ("a",), np.zeros(n, np.int64), np.arange(n, dtype=np.float64) / 1e3, end_ms, np.full(n, OK), np.ones(n, np.bool_), unknown, unknown, unknown
    )
    found = arrivals_of(seen, [fit(slots=1.0)])
    assert found.rank.tolist() == pytest.approx(((np.argsort(np.argsort(work_ms)) + 0.5) / n).tolist())


def test_tokens_that_nobody_reported_are_those_of_another_request() -> None:
    """Never a mean, which no request has."""
    n = 20
    tokens, unknown = np.where(np.arange(n) % 2, 7.0, math.nan), np.full(n, math.nan)
    seen = Attempts(
        ("a",), np.zeros(n, np.int64), np.arange(n, dtype=np.float64) * 1e3, np.full(n, 5.0), np.full(n, OK), np.ones(n, np.bool_), unknown, tokens, unknown
    )
    found = arrivals_of(seen, [fit()])
    assert set(found.output_tokens.tolist()) == {7.0}
    assert set(found.input_tokens.tolist()) == {0.0}
    assert found.newest(5).at_ms.tolist() == [0.0, 1000.0, 2000.0, 3000.0, 4000.0]
    assert found.per_min == 60.0
