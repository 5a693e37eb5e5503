from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest

from routecast.analytics.capacity.capacity_rows import ArrivalRows, TargetRows, capacity_of_rows
from routecast.analytics.capacity.erlang_c import sustainable_per_s


def rows(seconds: int, per_s: float, seed: int = 1) -> ArrivalRows:
    """Poisson counts of half-seconds."""
    counts = np.random.default_rng(seed).poisson(per_s / 2, 2 * seconds).astype(np.int64)
    return ArrivalRows(np.arange(2 * seconds, dtype=np.int64) * 500, counts)


def target(name: str = "a", capacity: float = 8.0, **more: object) -> TargetRows:
    """Answers of a second, spread about like exponential ones."""
    fields: dict[str, object] = {"elastic": False, "service_s": 1.0, "sigma": 0.83, "n": 500.0}
    return TargetRows(name, capacity, **fields | more)  # type: ignore[arg-type]


@pytest.mark.untraced
def test_rows_alone_give_an_estimate() -> None:
    """One queue under Poisson arrivals: what Erlang-C says, within what the grid of fits leaves open."""
    found = capacity_of_rows([target()], rows(400, 5.0), service="chat", at_ms=1e12, limit_ms=500.0)
    assert found.sustainable_per_min == pytest.approx(sustainable_per_s(8, 1.0, 0.5) * 60, rel=0.12)
    assert found.low_per_min is not None
    assert found.high_per_min is not None
    assert found.low_per_min < sustainable_per_s(8, 1.0, 0.5) * 60 < found.high_per_min
    assert found.now_per_min == pytest.approx(300, rel=0.05)
    assert (found.targets[0].target, found.targets[0].concurrency, found.targets[0].n) == ("a", 8.0, 500)


def test_a_target_without_a_bound_is_said_to_have_none() -> None:
    """What was seen at once is taken for one."""
    found = capacity_of_rows([target(elastic=True)], rows(200, 3.0), service="chat", at_ms=1e12, limit_ms=500.0)
    assert found.targets[0].concurrency is None
    assert found.high_per_min is None
    assert "not known: a was never seen with more than" in found.reason


def test_too_few_requests_are_refused() -> None:
    """In words; so are targets of which nothing is known, by name."""
    found = capacity_of_rows([target()], rows(60, 1.0), service="chat", at_ms=1e12, limit_ms=500.0)
    assert found.sustainable_per_min is None
    assert "are too few, 300 are needed" in found.reason
    assert capacity_of_rows([], ArrivalRows(np.zeros(0, np.int64), np.zeros(0, np.int64)), service="s", at_ms=0, limit_ms=1).now_per_min == 0
    partly = capacity_of_rows([target(), target("b", n=3.0)], rows(150, 3.0), service="chat", at_ms=1e12, limit_ms=500.0)
    assert "b: fewer than 40 answers" in partly.reason


def test_it_can_be_handed_to_another_process() -> None:
    """Arguments and result are plain data."""
    work = partial(capacity_of_rows, [target()], rows(200, 3.0), service="chat", at_ms=1e12, limit_ms=500.0)
    again = pickle.loads(pickle.dumps(work))()
    assert pickle.loads(pickle.dumps(again)) == work()
