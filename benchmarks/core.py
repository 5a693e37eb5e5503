"""Costs of the hot paths: decision, emitter, fold, merge, snapshot, memory, import. Each row names its target where there is one."""

from __future__ import annotations

import gc
import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import msgspec

from routecast import Config, Requirements, Router
from routecast.analytics.fold import PartitionFold
from routecast.analytics.merge import Merge
from routecast.analytics.snapshot import ServiceAnalyst, Tick
from routecast.analytics.windows.details import DetailsBuilder
from routecast.models.config import TargetConfig
from routecast.models.events import Completed, DecisionRef, Event, Started, decode_events, encode_events
from routecast.models.snapshot import encode_snapshot
from routecast.streams.clock import SystemClock
from routecast.streams.emitter import Emitter
from routecast.testing import Fleet

START_MS = 1_700_000_000_000.0


class Row(NamedTuple):
    """One measured figure beside its target."""

    measure: str
    value: str
    target: str = ""


def configuration(n: int) -> Config:
    """`n` targets of one service."""
    return Config(target=tuple(TargetConfig(id=f"target-{i:04}", provider=f"provider-{i % 8}", model=f"model-{i % 5}", service="chat") for i in range(n)))


def _warm_router(n: int) -> Router:
    """A router on the real clock with the snapshot of a fleet that has seen traffic to `n` targets."""
    fleet = Fleet(configuration(n), routers=4, seed=1)
    luck = random.Random(2)
    for i in range(max(2000, 4 * n)):
        router = fleet.router(i % 4)
        call = router.start(router.choose())
        fleet.queue.after(luck.lognormvariate(6, 0.5), call.finish)
        fleet.advance_to(fleet.now_ms + 5)
    fleet.advance_to(fleet.now_ms + 5000)
    snapshot = fleet.snapshot()
    if snapshot is None:
        raise RuntimeError("the fleet published nothing")
    clock = SystemClock()
    router = Router(configuration(n), "chat", Emitter(clock, luck), clock, luck)
    router.apply(msgspec.structs.replace(snapshot, at_ms=clock.now_ms(), period_ms=3_600_000.0))
    return router


def _each_us(act: Callable[[], object], n: int) -> list[float]:
    """Microseconds of each of `n` calls, the clock's own cost taken away."""
    clock = time.perf_counter_ns
    empty = statistics.median([-(clock() - clock()) for _ in range(2000)])
    times: list[float] = []
    for _ in range(n):
        began = clock()
        act()
        times.append(max(0.0, clock() - began - empty) / 1000)
    return times


def _quantiles(times: list[float]) -> str:
    ordered = sorted(times)
    return f"p50 {ordered[len(ordered) // 2]:.1f} µs, p99 {ordered[int(len(ordered) * 0.99)]:.1f} µs"


def _choose_next(router: Router, asked: Iterator[Requirements]) -> None:
    router.choose(next(asked))


def decisions() -> list[Row]:
    """`choose` with propensity, class of requirements seen and unseen, `start` apart."""
    rows: list[Row] = []
    asked = Requirements(max_response_time_ms=20_000, quality_threshold=0.5, urgency="low")
    for n, count in ((20, 50_000), (100, 20_000), (1000, 3_000)):
        router = _warm_router(n)
        goal = "p50 ≤ 5 µs, p99 ≤ 20 µs" if n == 20 else ""
        for _ in range(500):
            router.choose(asked)
        gc.collect()
        rows.append(Row(f"decision, {n} targets, no requirements", _quantiles(_each_us(router.choose, count)), goal))
        rows.append(Row(f"decision, {n} targets, requirements seen", _quantiles(_each_us(partial(router.choose, asked), count)), goal))
        fresh = iter([Requirements(max_response_time_ms=1000, max_cost_usd=1 + i) for i in range(200)])
        rows.append(Row(f"decision, {n} targets, requirements unseen", _quantiles(_each_us(partial(_choose_next, router, fresh), 200))))
    router = _warm_router(20)
    began = time.perf_counter()
    for _ in range(200_000):
        router.choose()
    rows.append(Row("decisions per second, 20 targets, one core", f"{200_000 / (time.perf_counter() - began):,.0f}", "≥ 100,000"))
    return rows


def reporting() -> list[Row]:
    """What reporting a request costs the caller's thread."""
    router = _warm_router(20)
    decision = router.choose()

    def report() -> None:
        router.start(decision).finish("ok")

    times: list[float] = []
    for _ in range(20):
        times += _each_us(report, 2000)
        while router.emitter.take() is not None:
            pass
    full = Emitter(SystemClock(), random.Random(1), capacity=1000)
    event = Started(at_ms=START_MS, request_id="r", target="t")
    return [
        Row("router: start and finish of a request", _quantiles(times), "≤ 10 µs"),
        Row("emitter: one event, buffer full (oldest dropped)", _quantiles(_each_us(lambda: full.emit(event), 20_000))),
    ]


def traffic(n_targets: int, n_requests: int, per_second: float, start_ms: float = START_MS) -> list[Event]:
    """Starts and completions as routers emit them, in order of time."""
    luck = random.Random(3)
    reference = DecisionRef(policy="performance", snapshot=(1, 17), propensity=0.0731, candidates="fffff")
    events: list[Event] = []
    for i in range(n_requests):
        at_ms = start_ms + i * 1000.0 / per_second
        target, duration_ms = f"target-{luck.randrange(n_targets):04}", luck.lognormvariate(7, 0.6)
        name = f"host-4711-9f3a2b1c-{i}"
        events.append(
            Started(
                at_ms=at_ms,
                request_id=name,
                target=target,
                provider="provider-1",
                model="model-2",
                service="chat",
                emitter="host-4711-9f3a2b1c",
                decision=reference,
            )
        )
        events.append(Completed(
            at_ms=at_ms + duration_ms, request_id=name, target=target, service="chat", emitter="host-4711-9f3a2b1c", started_at_ms=at_ms,
            duration_ms=duration_ms, outcome="ok", ttft_ms=duration_ms / 5, input_tokens=550, output_tokens=150, decision=reference,
        ))  # fmt: skip
    return sorted(events, key=lambda event: event.at_ms)


def folding() -> list[Row]:
    """Decode and fold, by events per record and number of targets; then a flush, its merge and a snapshot."""
    rows: list[Row] = []
    for n_targets in (20, 200, 1000):
        events = traffic(n_targets, 20_000, 1000.0)
        for batch in (1, 10, 100):
            records = [encode_events(events[i : i + batch]) for i in range(0, len(events), batch)]
            fold = PartitionFold(0)
            began = time.perf_counter()
            for offset, record in enumerate(records):
                good, _ = decode_events(record)
                fold.apply(offset, good[-1].at_ms, good)
            spent = time.perf_counter() - began
            rows.append(Row(f"fold with decoding, {n_targets} targets, {batch} events a record", f"{spent / len(events) * 1e6:.2f} µs an event"))
        rows += _cycle(n_targets, fold)
    return rows


def _cycle(n_targets: int, fold: PartitionFold) -> list[Row]:
    config = configuration(n_targets)
    began = time.perf_counter()
    records = fold.flush()
    flushed = time.perf_counter()
    merge = Merge()
    for key, value in records:
        merge.add(key, value)
    merged = time.perf_counter()
    analyst = ServiceAnalyst("chat", config)
    analyst.observe(START_MS + 20_000, merge.take_news())
    tick_ms: list[float] = []
    size = 0
    for seq in range(5):
        at = time.perf_counter()
        snapshot = analyst.tick(Tick(1, seq + 1, START_MS + 20_000 + 1000 * seq, 16), merge.target_totals(), {})
        size = len(encode_snapshot(snapshot))
        tick_ms.append((time.perf_counter() - at) * 1000)
    builder = DetailsBuilder(config)
    at = time.perf_counter()
    builder.update(START_MS + 30_000, merge)
    builder.record("chat", 1, 1)
    detailed_ms = (time.perf_counter() - at) * 1000
    return [
        Row(
            f"flush of 3 panes, {n_targets} targets",
            f"{(flushed - began) * 1000:.1f} ms, {sum(len(v or b'') for _, v in records) / n_targets / 3:.0f} bytes a target and pane",
        ),
        Row(f"merge of that flush, {n_targets} targets", f"{(merged - flushed) * 1000:.1f} ms"),
        Row(
            f"tick with snapshot, {n_targets} targets",
            f"{statistics.median(tick_ms):.1f} ms, {size:,} bytes",
            "< 100 ms at 1,000 targets" if n_targets == 1000 else "",
        ),
        Row(f"details of all windows, {n_targets} targets", f"{detailed_ms:.1f} ms"),
    ]


def memory() -> list[Row]:
    """Bytes a target and an open request cost."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    routers = [_warm_router(n) for n in (20, 220)]
    gc.collect()
    sizes = []
    for router in routers:
        snapshot = tracemalloc.get_traced_memory()[0]
        calls = [router.start(router.choose()) for _ in range(5000)]
        while router.emitter.take() is not None:
            pass
        sizes.append((tracemalloc.get_traced_memory()[0] - snapshot) / len(calls))
        del calls
    both = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return [
        Row("router: memory of an open request", f"{sizes[0]:.0f} bytes at 20 targets, {sizes[1]:.0f} at 220"),
        Row("router: memory a target", f"{both / 240 / 1024:.1f} kB"),
    ]


def fleet() -> list[Row]:
    """How fast virtual time passes."""
    box, luck = Fleet(configuration(20), routers=16, seed=1), random.Random(2)
    began, n = time.perf_counter(), 30_000
    for _ in range(n):
        box.advance_to(box.now_ms + luck.expovariate(0.15))
        router = box.router(luck.randrange(16))
        box.queue.after(luck.lognormvariate(7, 0.6), router.start(router.choose()).finish)
    spent = time.perf_counter() - began
    return [Row("fleet in a box: requests per second of wall time, 150/s virtual", f"{n / spent:,.0f}", "≥ 5,000")]


def importing() -> list[Row]:
    """Time of `import routecast` beside that of its base dependencies."""

    def best(statement: str) -> float:
        times: list[float] = []
        for _ in range(9):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    empty, base, ours = best("pass"), best("import aiokafka, msgspec, numpy, pydantic"), best("from routecast import Router")
    return [
        Row(
            "import routecast ÷ its base dependencies",
            f"{(ours - empty) / (base - empty):.2f} ({(ours - empty) * 1000:.0f} ms ÷ {(base - empty) * 1000:.0f} ms)",
            "≤ 1.3",
        )
    ]
