"""What plans (capacity and recommendations) cost: the process that makes them, the leader that asks, and the fold beside it."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from core import Row, configuration, traffic

from routecast.analytics.fold import PartitionFold
from routecast.analytics.insights.planning import plan
from routecast.models.errors import Unreachable
from routecast.models.events import Event
from routecast.models.planning import PlannedTarget, PlanningInput, encode_planning
from routecast.streams.leadership.planning import Child
from routecast.testing import Fleet

_ROUNDS = 30
_PER_ROUND = 2_000


def rows() -> list[Row]:
    """CPU of plans of 20 and 100 targets, of their input, and what a flush takes while one is made."""
    return [*(_made(n) for n in (20, 100)), *(_asked(n) for n in (20, 100)), *_beside()]


def _troubled(n: int) -> PlanningInput:
    """Ten minutes of a busy service under round robin: a third of its targets is slow, fails, refuses, is dear or badly judged."""
    luck = random.Random(1)
    troubles: list[dict[str, float]] = [
        {"mean_s": 3.0, "service_s": 2.5}, {"fail_ratio": 0.08, "fail_s": 4.0}, {"limit_per_s": 1.0, "headroom": 0.0, "refused_ratio": 0.05},
        {"usd": 0.03}, {"quality": 0.6}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {},
    ]  # fmt: skip
    plain: dict[str, Any] = {
        "state": "ok", "model": "m", "sigma": 0.7, "n": 800.0, "attempts": 1000, "share": 1 / n, "score": 0.8, "quality": 0.93, "quality_n": 200,
        "service_s": 1.0, "mean_s": 1.2, "usd": 0.01,
    }  # fmt: skip
    targets = [
        msgspec.convert({"id": f"target-{i:03}", **plain, "capacity": float(luck.randint(4, 20)), **troubles[i % 15]}, PlannedTarget)
        for i in range(n)
    ]  # fmt: skip
    slot_ms = tuple(range(0, 600_000, 500))
    arrived = tuple(max(0, round(luck.gauss(2.5 * n, 1.6 * n**0.5))) for _ in slot_ms)
    return PlanningInput(
        service="chat", at_ms=600_000.0, policy="round_robin", limit_ms=500.0, quality_minimum=0.7, quality_target=0.9, targets=tuple(targets),
        slot_ms=slot_ms, arrived=arrived,
    )  # fmt: skip


def _made(n: int) -> Row:
    planning = _troubled(n)
    began_s = time.process_time()
    found = plan(planning).recommendations.recommendations
    return Row(f"a plan of {n} targets, CPU of its own process", f"{time.process_time() - began_s:.1f} s, {len(found)} recommendations", "≤ 60 s")


def _asked(n: int) -> Row:
    """What the leader's loop pays for it."""
    fleet, luck = Fleet(configuration(n), routers=4, seed=1), random.Random(2)
    for i in range(20 * n):
        router = fleet.router(i % 4)
        fleet.queue.after(luck.lognormvariate(6, 0.5), partial(router.start(router.choose()).finish, "ok"))
        fleet.advance_to(fleet.now_ms + 60_000.0 / (20 * n))
    times_ms, size = list[float](), 0
    for _ in range(9):
        began_s = time.process_time()
        planning = fleet.pipeline.leader.planning_input("chat")
        size = len(encode_planning(planning)) if planning else 0
        times_ms.append((time.process_time() - began_s) * 1000.0)
    return Row(f"its input, {n} targets, on the leader's loop", f"{statistics.median(times_ms):.1f} ms, {size / 1000:.0f} kB", "≤ 25 ms")


def _beside() -> list[Row]:
    """A flush every 100 ms, in turns of three seconds, with and without a plan that is being made."""
    events = traffic(20, _ROUNDS * _PER_ROUND, 20_000.0)
    alone, beside = list[float](), list[float]()
    for _ in range(2):
        alone += _flushed(events, planning=False)
        beside += _flushed(events, planning=True)
    return [
        Row("fold and flush 2,000 events, nothing beside it", f"p50 {statistics.median(alone):.1f} ms, p95 {_p95(alone):.1f} ms"),
        Row("the same while a plan is made", f"p50 {statistics.median(beside):.1f} ms, p95 {_p95(beside):.1f} ms", "p50 ≤ 1.25 × alone"),
    ]


def _flushed(events: Sequence[Event], *, planning: bool) -> list[float]:
    fold, child, times_ms = PartitionFold(0), Child(), list[float]()
    thread = threading.Thread(target=_wait, args=(child,))
    if planning:
        thread.start()
    for number in range(_ROUNDS):
        part = events[number * _PER_ROUND : (number + 1) * _PER_ROUND]
        began_s = time.perf_counter()
        fold.apply(number, 1_700_000_000_000.0 + number * 100.0, part)
        fold.flush()
        times_ms.append((time.perf_counter() - began_s) * 1000.0)
        time.sleep(max(0.0, 0.1 - times_ms[-1] / 1000.0))
    child.stop()
    if planning:
        thread.join()
    return times_ms


def _wait(child: Child) -> None:
    try:
        child.plan(_troubled(100))
    except Unreachable:
        return  # it was stopped: the measurement is over


def _p95(times_ms: list[float]) -> float:
    return sorted(times_ms)[int(0.95 * len(times_ms))]


if __name__ == "__main__":
    for row in rows():
        print(f"  {row.measure:<60} {row.value:<40} {row.target}", flush=True)
