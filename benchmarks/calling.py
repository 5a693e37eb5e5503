"""`Router.call` under overload, and what it costs."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc

from core import Row, _warm_router

from routecast import Config, Decision
from routecast.analytics.simulation.simulator import EventQueue
from routecast.overload import MIX, Overload
from routecast.streams.calls.call import Call
from routecast.testing import Fleet
from routecast.virtual_time import run


def overflow() -> list[Row]:
    """Overload at 150 %, few and many routers; what a call costs."""
    return [*_overload(4), *_overload(16), *_costs()]


def _overload(routers: int) -> list[Row]:
    overload = Overload(routers=routers)
    seen = overload.run()
    title = f"overload 150 %, {routers} routers"
    return [
        Row(f"{title}: throughput ÷ capacity of the slots", f"{overload.throughput:.1%}", "≥ 98 %"),
        Row(f"{title}: p95 of urgent requests", f"{seen.p95_ms('high') / 1000:.1f} s", "≤ 10 s, their deadline"),
        Row(f"{title}: answered, high / medium / low", " / ".join(f"{seen.answered_ratio(urgency):.1%}" for urgency, _, _ in MIX), "low is shed first"),
        Row(f"{title}: attempts per answer", f"{seen.attempts / seen.answered.total():.3f}", "≤ 1.1"),
        Row(f"{title}: longest queue", f"{seen.longest_queue}", f"≤ {routers} × 200"),
        Row(f"{title}: queue empty after the end", f"{seen.emptied_s:.1f} s"),
    ]


def _costs() -> list[Row]:
    """What a request costs that nothing keeps waiting, and one that waits."""
    router = _warm_router(20)

    async def send(_: Decision, __: Call) -> None:
        return None

    async def many(n: int) -> float:
        began = time.process_time()
        for _ in range(n):
            await router.call(send)
            if router.emitter.waiting > 500:
                while router.emitter.take() is not None:
                    pass
        return (time.process_time() - began) / n * 1e6

    asyncio.run(many(500))
    took_us = asyncio.run(many(5000))
    return [
        Row("router.call, 20 targets, nothing to wait for", f"{took_us:.0f} µs, with choose, start, finish"),
        Row("a waiting request", f"{_waiting_bytes():.0f} bytes"),
    ]


def _waiting_bytes() -> float:
    queue = EventQueue(1_700_000_000_000.0)
    fleet = Fleet(Config.model_validate({"target": [{"id": "t", "provider": "p", "model": "m", "service": "chat", "capacity": 1}]}), routers=1, queue=queue)
    router = fleet.router(0)

    async def send(_: Decision, __: Call) -> None:
        await asyncio.sleep(5)

    async def main() -> float:
        first = asyncio.create_task(router.call(send))
        await asyncio.sleep(0)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tasks = [asyncio.create_task(router.call(send)) for _ in range(1000)]
        await asyncio.sleep(0.001)
        used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        for task in [first, *tasks]:
            task.cancel()
        await asyncio.gather(first, *tasks, return_exceptions=True)
        return used / 1000

    return run(queue, main())
