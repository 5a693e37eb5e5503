"""A router, a snapshot and a clock for tests of routing."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from routecast.models.config import Config
from routecast.models.snapshot import RoutingSnapshot, TargetScore
from routecast.streams.clock import FixedClock
from routecast.streams.emitter import Emitter
from routecast.streams.router import Router

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def clock() -> FixedClock:
    """Stands at a moment of 2023."""
    return FixedClock(1_700_000_000_000.0)


@pytest.fixture
def make_router(clock: FixedClock) -> Callable[..., Router]:
    """Makes routers of one service with targets a, b, c, d of providers p-a, p-b, p-c, p-d; keywords go into the configuration."""

    def make(policy: str | None = None, rng: random.Random | None = None, at: FixedClock = clock, **more: object) -> Router:
        targets = [{"id": name, "provider": f"p-{name}", "model": "m", "service": "chat"} for name in NAMES]
        config = Config.model_validate({"target": targets} | more)
        return Router(config, "chat", Emitter(at, random.Random(1)), at, rng or random.Random(2), policy=policy)

    return make


@pytest.fixture
def score() -> Callable[..., TargetScore]:
    """Makes an average target of a snapshot; keywords change its figures."""

    def make(name: str, **figures: Any) -> TargetScore:
        plain: dict[str, Any] = {
            "id": name, "state": "ok", "time_s": 1.0, "service_s": 1.0, "capacity": 8.0, "share": 0.25, "in_flight": 4.0, "in_flight_mean": 4.0,
            "cost_s": 1.0, "success": 0.95, "fail_s": 1.0, "quality": 0.8, "quality_n": 10.0, "score": 0.7, "history": 0.6, "real_time": 0.5, "n": 100.0,
            "ttft_ms": tuple(100.0 * i for i in range(1, 17)),
        }  # fmt: skip
        return TargetScore(**(plain | figures))

    return make


@pytest.fixture
def snapshot(clock: FixedClock, score: Callable[..., TargetScore]) -> Callable[..., RoutingSnapshot]:
    """Makes snapshots of four average targets, or of those given; a period is a second."""
    begin_ms = clock.at_ms

    def make(*targets: TargetScore, seq: int = 1, term: int = 1, at_ms: float = begin_ms, service: str = "chat") -> RoutingSnapshot:
        return RoutingSnapshot(
            service=service, term=term, seq=seq, at_ms=at_ms, period_ms=1000.0, rate_per_s=10.0, routers=4, t_ref_s=1.0, output_tokens=100.0,
            targets=targets or tuple(score(name) for name in NAMES),
        )  # fmt: skip

    return make
