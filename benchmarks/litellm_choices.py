"""Times how LiteLLM's Router chooses. `peers.py` runs this in an environment of its own, one request for a block of decisions a line.

Reads `[strategy, way, words, checks, count]` as JSON, answers with the microseconds of each decision. Only the choice is timed: callbacks that it
leaves for later run between two decisions and are not counted. Whatever wants to connect to anything is refused.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

N_TARGETS = 20
_WARM = 200


def refuse(event: str, _: tuple[object, ...]) -> None:
    """An audit hook: a benchmark of choices must not depend on a network."""
    if event in {"socket.connect", "socket.getaddrinfo"}:
        raise ConnectionRefusedError("the benchmark times choices only: nothing may be connected to")


def new_router(strategy: str, *, checks: bool) -> Any:
    """Twenty deployments of one group, with limits that are never reached."""
    deployments = [
        {
            "model_name": "chat",
            "litellm_params": {
                "model": "openai/gpt-4o-mini", "api_key": "none", "api_base": f"http://127.0.0.1:9/{i}", "rpm": 10_000_000, "tpm": 10_000_000_000,
            },
            "model_info": {"id": f"target-{i:02}"},
        }
        for i in range(N_TARGETS)
    ]  # fmt: skip
    return importlib.import_module("litellm").Router(model_list=deployments, routing_strategy=strategy, enable_pre_call_checks=checks)


async def warm(router: Any) -> None:
    """Answers without a provider, so that the strategy has figures of every deployment."""
    for _ in range(_WARM):
        await router.acompletion(model="chat", messages=[{"role": "user", "content": "hello"}], mock_response="fine")
    worker = importlib.import_module("litellm.litellm_core_utils.logging_worker").GLOBAL_LOGGING_WORKER
    await worker.flush()


def prompt(words: int) -> list[dict[str, str]]:
    """Messages of so many words."""
    return [{"role": "user", "content": " ".join(f"word{i % 997}" for i in range(words))}]


async def block(router: Any, way: str, messages: list[dict[str, str]], count: int) -> list[float]:
    """Microseconds of each of so many decisions."""

    async def asynchronous() -> None:
        await router.async_get_available_deployment(model="chat", request_kwargs={}, messages=messages)

    def synchronous() -> None:
        router.get_available_deployment(model="chat", request_kwargs={}, messages=messages)

    gc.collect()
    return await _each_async_us(asynchronous, count) if way == "async" else _each_us(synchronous, count)


def _empty_ns() -> float:
    clock = time.perf_counter_ns
    return statistics.median([-(clock() - clock()) for _ in range(2000)])


async def _each_async_us(act: Callable[[], Coroutine[Any, Any, None]], count: int) -> list[float]:
    empty, times = _empty_ns(), list[float]()
    for _ in range(count):
        began = time.perf_counter_ns()
        await act()
        times.append((time.perf_counter_ns() - began - empty) / 1000)
        await asyncio.sleep(0)  # what it left for later
    return times


def _each_us(act: Callable[[], None], count: int) -> list[float]:
    empty, times = _empty_ns(), list[float]()
    for _ in range(count):
        began = time.perf_counter_ns()
        act()
        times.append((time.perf_counter_ns() - began - empty) / 1000)
    return times


async def serve() -> None:
    """Answer until the input ends."""
    routers: dict[tuple[str, bool], Any] = {}
    for line in sys.stdin:
        strategy, way, words, checks, count = json.loads(line)
        if (strategy, checks) not in routers:
            routers[strategy, checks] = new_router(strategy, checks=checks)
            await warm(routers[strategy, checks])
        print(json.dumps(await block(routers[strategy, checks], way, prompt(words), count)), flush=True)


if __name__ == "__main__":
    sys.addaudithook(refuse)
    asyncio.run(serve())
