"""Traffic of which the law is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from routecast.analytics.capacity.attempts import OK, Attempts
from routecast.analytics.simulation.servers import Server
from routecast.analytics.simulation.simulator import EventQueue
from routecast.models.events import Outcome
from routecast.models.planning import PlannedTarget, PlanningInput

Floats = NDArray[np.float64]


class Served(NamedTuple):
    """Calls that one server has answered."""

    start_ms: Floats
    end_ms: Floats
    work_ms: Floats

    def attempts(self, output_tokens: Floats | None = None) -> Attempts:
        """What events tell of them."""
        n, unknown = len(self.start_ms), np.full(len(self.start_ms), math.nan)
        tokens = unknown if output_tokens is None else output_tokens
        zeros = np.zeros(n, np.int64)
        return Attempts(("a",), zeros, self.start_ms, self.end_ms - self.start_ms, np.full(n, OK), np.ones(n, np.bool_), unknown, tokens, unknown)


Serve = Callable[[Callable[[EventQueue], Server], Floats, Floats], Served]


@pytest.fixture
def serve() -> Serve:
    """Has a server answer calls that come after given pauses."""

    def answered(server_of: Callable[[EventQueue], Server], gaps_ms: Floats, work_ms: Floats) -> Served:
        queue, end_ms, start_ms = EventQueue(), np.zeros(len(gaps_ms)), np.cumsum(gaps_ms)
        server = server_of(queue)

        def done(i: int, _: Outcome) -> None:
            end_ms[i] = queue.now_ms

        for i, (at_ms, work) in enumerate(zip(start_ms.tolist(), work_ms.tolist(), strict=True)):
            queue.advance_to(at_ms)
            server.submit(work, partial(done, i))
        queue.advance_to(queue.now_ms + float(work_ms.sum()) + 1.0)
        return Served(start_ms, end_ms, work_ms)

    return answered


@pytest.fixture
def traffic() -> Callable[..., tuple[Floats, Floats]]:
    """Pauses in bursts and lognormal works of mean 1 s: `per_s` calls a second, `n` of them."""

    def drawn(per_s: float, n: int, seed: int = 1, *, bursts: float = 0.5, sigma: float = 0.8) -> tuple[Floats, Floats]:
        rng = np.random.default_rng(seed)
        pace = np.repeat(np.exp(rng.normal(0.0, bursts, n // 50 + 1)), 50)[:n]
        gaps_ms = rng.exponential(1000.0, n) / pace
        return gaps_ms * (1000.0 / per_s / gaps_ms.mean()), 1000.0 * np.exp(rng.normal(-sigma * sigma / 2, sigma, n))

    return drawn


@pytest.fixture
def planning() -> Callable[..., PlanningInput]:
    """What a leader knows of three equal targets of eight slots and a second, over two minutes; `targets` differ as they say."""

    def known(per_s: float = 6.0, targets: Mapping[str, Mapping[str, object]] | None = None, **more: object) -> PlanningInput:
        start_ms, slots = 1_700_000_000_000, 240
        arrived = np.random.default_rng(1).poisson(per_s / 2, slots).tolist()
        plain: dict[str, Any] = {
            "state": "ok", "model": "m", "capacity": 8.0, "service_s": 1.0, "mean_s": 1.0, "sigma": 0.6, "n": 1000.0, "attempts": 500, "share": 1 / 3,
            "score": 0.8, "quality": 0.93, "quality_n": 200, "usd": 0.01,
        }  # fmt: skip
        rows = tuple(msgspec.convert({"id": name, "provider": f"p-{name}", **plain, **(targets or {}).get(name, {})}, PlannedTarget) for name in "abc")
        figures: dict[str, Any] = {"limit_ms": 500.0, "quality_minimum": 0.7, "quality_target": 0.9, **more}
        slot_ms = tuple(range(start_ms, start_ms + slots * 500, 500))
        return PlanningInput(service="chat", at_ms=start_ms + 500.0 * slots, targets=rows, slot_ms=slot_ms, arrived=tuple(arrived), **figures)

    return known
