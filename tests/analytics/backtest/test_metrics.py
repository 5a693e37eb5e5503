from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.backtest.metrics import estimate, figures, figures_of, ratio_estimate, shares_of
from routecast.analytics.backtest.play import Played
from routecast.analytics.backtest.scene import Scene
from routecast.analytics.backtest.series import series, track
from routecast.models.backtest import METRICS


def played_of(scene: Scene, **columns: Any) -> Played:
    """Every request once at the first target for its number in ms, unless said otherwise."""
    n = len(scene.requests)
    plain: dict[str, Any] = {
        "request": np.arange(n), "target": np.zeros(n, np.int64), "begun_ms": scene.requests.at_ms, "ended_ms": scene.requests.at_ms + np.arange(n),
        "outcome": np.zeros(n, np.int64), "probe": np.zeros(n, np.bool_), "time_ms": np.arange(n, dtype=float), "failed": np.zeros(n, np.bool_),
        "served": np.zeros(n, np.int64),
    }  # fmt: skip
    return Played(scene, **(plain | columns))


def test_figures_are_those_of_the_requests_after_the_warm_up(make_scene: Callable[..., Scene]) -> None:
    """Of 200 requests the first ten count for nothing; percentiles are of those that succeeded."""
    failed = np.arange(200) >= 190
    served = np.where(failed, -1, np.where(np.arange(200) < 100, 0, 1))
    found = figures_of(played_of(make_scene(), failed=failed, served=served))
    assert found["mean_ms"] == pytest.approx(np.arange(10, 190).mean())
    assert found["p50_ms"] == pytest.approx(np.quantile(np.arange(10, 190), 0.5))
    assert found["failed_ratio"] == pytest.approx(10 / 190)
    assert found["time_to_success_ms"] == pytest.approx((np.arange(10, 200).sum() + 10 * 30_000) / 190)
    assert found["usd_per_request"] == pytest.approx(0.015)
    assert found["quality"] == pytest.approx(0.75)
    assert found["largest_share"] == 1.0


def test_refusals_and_shares_are_of_the_attempts(make_scene: Callable[..., Scene]) -> None:
    """A quarter at the second target, half of all refused."""
    scene = make_scene(n=200)
    played = played_of(scene, target=(np.arange(200) % 4 == 0).astype(int), outcome=np.where(np.arange(200) % 2 == 0, 3, 0))
    assert figures_of(played)["rate_limited_ratio"] == 0.5
    assert shares_of(played) == {"a": pytest.approx(0.75, abs=0.01), "b": pytest.approx(0.25, abs=0.01)}


def test_what_nobody_knows_is_no_figure() -> None:
    """Metrics without a value in any seed are None, never 0."""
    found = figures([{"mean_ms": 5.0, "quality": math.nan}])
    assert found.mean_ms is not None
    assert {name for name in METRICS if getattr(found, name) is not None} == {"mean_ms"}


@given(st.lists(st.floats(0.01, 1e5), min_size=2, max_size=8))
def test_an_interval_holds_its_estimate(values: list[float]) -> None:
    """Low ≤ value ≤ high, for means and for paired ratios; a policy beside itself is 1."""
    for found in (estimate(values), ratio_estimate(values, values[::-1])):
        assert found is not None
        assert found.low <= found.value * (1 + 1e-12)
        assert found.value <= found.high * (1 + 1e-12)
    same = ratio_estimate(values, values)
    assert same is not None
    assert (same.low, same.value, same.high) == (1.0, 1.0, 1.0)


def test_intervals_keep_within_what_a_metric_can_be() -> None:
    """Two seeds far apart do not make a share of −40 %; regret may be below 0."""
    found = figures([{"failed_ratio": 0.0, "regret_ms": -5.0}, {"failed_ratio": 0.2, "regret_ms": 5.0}])
    assert found.failed_ratio is not None
    assert (found.failed_ratio.low, found.failed_ratio.high) == (0.0, 1.0)
    assert found.regret_ms is not None
    assert found.regret_ms.low < 0


def test_over_time_nothing_is_a_gap(make_scene: Callable[..., Scene]) -> None:
    """Stretches without arrivals have no percentile; shares of a stretch sum to 1 or 0."""
    scene = make_scene(n=40)
    found = series([track(played_of(scene)), track(played_of(scene, time_ms=np.full(40, 900.0)))])
    assert None in found.p95_ms
    assert all(high == 900.0 for high, value in zip(found.p95_high_ms, found.p95_ms, strict=True) if value is not None)
    assert {round(sum(column), 6) for column in zip(*found.shares.values(), strict=True)} == {0.0, 1.0}
