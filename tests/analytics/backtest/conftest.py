"""A small recording: two targets that serve, fail for a while, and are asked at random; and scenes by hand."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from routecast.analytics.backtest.request_log import RequestLog
from routecast.analytics.backtest.scene import Requests, Scene, SceneTarget
from routecast.analytics.backtest.spells import Spell
from routecast.analytics.capacity.service_law import Law
from routecast.analytics.simulation.servers import Queueing
from routecast.analytics.simulation.simulator import EventQueue
from routecast.models.events import Completed, DecisionRef, Started

START_MS = 1_700_000_000_000.0
OUTAGE_MS = (20_000.0, 35_000.0)


def recorded_events(n: int = 900, seed: int = 1, *, outage: bool = True) -> list[Started | Completed]:
    """Requests at 10 a second to `a` (2 slots, 150 ms) and `b` (3 slots, 250 ms), drawn at random; in the outage every call to `b` fails at once."""
    luck, queue = random.Random(seed), EventQueue(START_MS)
    servers, times, events = {"a": Queueing(queue, 2), "b": Queueing(queue, 3)}, {"a": 150.0, "b": 250.0}, list[Started | Completed]()

    def begin(number: int, target: str, attempt: int) -> None:
        ref = DecisionRef(policy="random", snapshot=(0, 0), propensity=0.5 if attempt == 1 else 1.0, candidates="3" if attempt == 1 else "1")
        common = {"request_id": f"r{number}", "target": target, "service": "chat", "emitter": f"e{number % 2}", "attempt": attempt, "decision": ref}
        events.append(Started(at_ms=queue.now_ms, input_tokens=100, **common))  # type: ignore[arg-type]
        end = partial(done, number, target, attempt, queue.now_ms)
        if outage and target == "b" and OUTAGE_MS[0] <= queue.now_ms - START_MS < OUTAGE_MS[1]:
            queue.after(5.0, end, "error")
        else:
            servers[target].submit(luck.lognormvariate(0, 0.3) * times[target], end)

    def done(number: int, target: str, attempt: int, at_ms: float, outcome: str) -> None:
        ref = DecisionRef(policy="random", snapshot=(0, 0), propensity=0.5 if attempt == 1 else 1.0, candidates="3" if attempt == 1 else "1")
        events.append(
            Completed(
                at_ms=queue.now_ms, started_at_ms=at_ms, duration_ms=queue.now_ms - at_ms, outcome=outcome, request_id=f"r{number}", target=target,  # type: ignore[arg-type]
                service="chat", emitter=f"e{number % 2}", attempt=attempt, input_tokens=100, output_tokens=50, ttft_ms=40.0 if outcome == "ok" else None,
                cost_usd=0.01 if outcome == "ok" else None, quality=0.9 if target == "a" else 0.6, decision=ref,
            )
        )  # fmt: skip
        if outcome != "ok" and attempt == 1:
            begin(number, "a" if target == "b" else "b", 2)

    for number in range(n):
        queue.advance_to(queue.now_ms + luck.expovariate(1 / 100.0))
        begin(number, luck.choice("ab"), 1)
    queue.advance_to(queue.now_ms + 60_000.0)
    return events


@pytest.fixture(scope="session")
def log() -> RequestLog:
    """The small recording, read."""
    log = RequestLog()
    for event in recorded_events():
        log.add(event)
    return log


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    """Scenes of equal targets: so many requests, one every `gap_ms`, each taking 100 ms alone; `spells` by target."""

    def make(n: int = 200, targets: int = 2, gap_ms: float = 100.0, slots: float = 4.0, spells: dict[int, tuple[Spell, ...]] | None = None) -> Scene:
        rng = np.random.default_rng(5)
        requests = Requests(START_MS, np.linspace(0.0, (n - 1) * gap_ms, n, dtype=np.float64), np.zeros(n, np.int64), np.full(n, 10.0), np.full(n, 20.0), {})
        return Scene(
            "chat", requests,
            tuple(
                SceneTarget(
                    id="ab"[i] if targets <= 2 else f"t{i}", law=Law(slots, 1.0, 0.0), alone_ms=np.full(n, 100.0), ttft_share=np.full(n, 0.4),
                    luck=rng.random(n), usd=np.full(n, 0.01 * (i + 1)), quality=0.9 - 0.3 * i, spells=(spells or {}).get(i, ()),
                )
                for i in range(targets)
            ),
            seed=1,
        )  # fmt: skip

    return make
