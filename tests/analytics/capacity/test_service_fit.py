"""The fit against servers whose law is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from routecast.analytics.capacity.law_grid import ln_full
from routecast.analytics.capacity.service_fit import Calls, LawFit
from routecast.analytics.capacity.service_law import Law
from routecast.analytics.simulation.contended import Contended, processor_sharing
from routecast.analytics.simulation.servers import Queueing, Server
from routecast.analytics.simulation.simulator import EventQueue

Floats = NDArray[np.float64]
BATCH = Law(16.0, 1.0, 0.1)


def fit_of(served: Any) -> LawFit:
    """The fit of calls whose sizes nobody knows."""
    start_ms, end_ms = served.start_ms, served.end_ms
    return LawFit(Calls(start_ms, end_ms, np.ones(len(start_ms)), np.ones(len(start_ms), np.bool_)))


@pytest.mark.parametrize(
    ("server_of", "most"),
    [
        (lambda queue: Queueing(queue, 5), 5.0),
        (lambda queue: processor_sharing(queue, 5), 5.0),
        (lambda queue: Contended(queue, BATCH.slots, BATCH.slowness), BATCH.most),
    ],
    ids=["queue", "sharing", "batch"],
)
@pytest.mark.untraced
def test_throughput_and_work_are_found_whatever_the_law(
    serve: Callable[..., Any], traffic: Callable[..., tuple[Floats, Floats]], server_of: Callable[[EventQueue], Server], most: float
) -> None:
    """From the ends at two thirds of what it can do: what it can do within 10 %, the work of its answers within 5 %."""
    served = serve(server_of, *traffic(0.66 * most, 2500))
    fit = fit_of(served)
    best = fit.fit().best
    work_ms = fit.work_ms(best)
    assert best.most / work_ms.mean() == pytest.approx(most / served.work_ms.mean(), rel=0.1)
    assert work_ms.mean() == pytest.approx(served.work_ms.mean(), rel=0.05)


@pytest.mark.untraced
def test_a_queue_and_sharing_are_told_apart(serve: Callable[..., Any], traffic: Callable[..., tuple[Floats, Floats]]) -> None:
    """Five slots with a line and a processor for five are as fast, and different."""
    queue = fit_of(serve(lambda queue: Queueing(queue, 5), *traffic(3.3, 1500))).fit().best
    sharing = fit_of(serve(lambda queue: processor_sharing(queue, 5), *traffic(3.3, 1500))).fit().best
    assert queue.slots == 5
    assert queue.slope < 0.05
    assert sharing.slots > 10
    assert sharing.slope == pytest.approx(1 / sharing.knee, rel=0.3)


def test_an_elastic_target_has_no_bound(serve: Callable[..., Any], traffic: Callable[..., tuple[Floats, Floats]]) -> None:
    """Where nothing slows anything down, more calls than were open at once are likelier to be needed to fill it than all that were seen."""
    beyond: list[float] = []
    for seed in range(4):
        fit = fit_of(serve(lambda queue: Queueing(queue, math.inf), *traffic(5.0, 600, seed)))
        likely = fit.fit()
        weights = np.exp(likely.ln - likely.ln.max())
        beyond.append(float(weights[ln_full(likely.laws) >= math.log(fit.seen)].sum() / weights.sum()))
    assert np.mean(beyond) > 0.5


def test_few_calls_leave_more_laws_possible(serve: Callable[..., Any], traffic: Callable[..., tuple[Floats, Floats]]) -> None:
    """The spread of what the target could do shrinks with the evidence."""
    spread: list[float] = []
    for n in (150, 2400):
        likely = fit_of(serve(lambda queue: processor_sharing(queue, 6), *traffic(4.0, n))).fit()
        weights = np.exp(likely.ln - likely.ln.max())
        most = np.log([min(Law(*law).most, 100.0) for law in likely.laws.tolist()])
        mean = float(np.average(most, weights=weights))
        spread.append(math.sqrt(float(np.average((most - mean) ** 2, weights=weights))))
    assert spread[1] < 0.5 * spread[0]


def test_clocks_that_err_cost_a_law_little(serve: Callable[..., Any], traffic: Callable[..., tuple[Floats, Floats]]) -> None:
    """Ends that no order of arrival explains, one in a hundred, do not hide the slots."""
    served = serve(lambda queue: Queueing(queue, 5), *traffic(3.5, 1500))
    rng = np.random.default_rng(1)
    early = rng.random(1500) < 0.01
    end_ms = np.where(early, served.start_ms + 1.0, served.end_ms)
    fit = LawFit(Calls(served.start_ms, end_ms, np.ones(1500), np.ones(1500, np.bool_)))
    assert fit.fit().best.most == pytest.approx(5.0, rel=0.1)
