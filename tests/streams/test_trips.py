"""Breakers of routers through a real broker: what one trips, another leaves out; what is no word goes to the dead letters."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

from routecast import Config, Requirements, Router
from routecast.models.requirements import NONE
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.brokers.reading import reader
from routecast.streams.leadership.leading import producer

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def _state(router: Router, target: str) -> str:
    return next(entry.state for entry in router.considered(NONE).view.entries if entry.id == target)


def _trip(router: Router, target: str) -> float:
    """Let calls fail until the next decision leaves the target out; when that was."""
    others = tuple(found for found in router.in_flight if found != target)
    for _ in range(4):
        router.start(router.choose(Requirements(excluded=others))).finish("error")
    assert _state(router, target) == "open"
    return time.monotonic()


def test_a_trip_of_one_router_excludes_the_target_in_another(
    config: Config, config_file: Any, start_worker: Callable[..., Any], eventually: Callable[..., None], run: Run
) -> None:
    """Two connections and a worker process; the word ends after five seconds, as nothing confirms it, and nonsense on the topic harms nobody."""
    worker = start_worker(config_file)
    worker.wait_for("ready")
    url, elsewhere = f"kafka://{config.kafka.bootstrap}", config.model_copy(update={"adaptive": config.adaptive.model_copy(update={"learning_rate": 0.2})})
    with (
        Router.connect_sync(url, config, service="chat", rng=random.Random(1)) as one,
        Router.connect_sync(url, elsewhere, service="chat", rng=random.Random(2)) as other,
    ):
        eventually(lambda: other.snapshot is not None and other.snapshot.routers == 2)
        run(_nonsense(config))
        tripped_s = _trip(one, "a")
        eventually(lambda: _state(other, "a") == "open", within_s=4.0)
        assert time.monotonic() - tripped_s < 4.0
        assert other.choose().target == "b"
        eventually(lambda: _state(other, "a") != "open", within_s=15.0)
        assert time.monotonic() - tripped_s > 4.0
    assert run(_buried(config)) == [b"trips/0/0"]


async def _nonsense(config: Config) -> None:
    async with producer(config) as out:
        await out.send_and_wait(topic_name(config.kafka, "trips"), b"[1, 2", partition=0)


async def _buried(config: Config) -> list[bytes]:
    async with reader(config.kafka) as read:
        end = (await read.ends("deadletter", [0]))[0]
        return [record.key.split(b": ")[0] async for record in read.stretch("deadletter", 0, 0, end)]
