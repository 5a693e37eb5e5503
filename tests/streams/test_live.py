from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from routecast import Config, Emitter, Router
from routecast.models.config import Kafka
from routecast.models.events import Event, Marker, Started, Tripped, decode_events
from routecast.servers.kafka import LocalBroker, free_port
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.reading import reader
from routecast.streams.clock import SystemClock
from routecast.streams.live import Live

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Eventually = Callable[..., None]


def _url(kafka: Kafka) -> str:
    return f"kafka://{kafka.bootstrap}"


async def _on_the_log(kafka: Kafka) -> list[list[Event]]:
    """Per partition, all events in order; none of them bad."""
    found: list[list[Event]] = []
    async with reader(kafka) as read:
        for partition in await read.partitions("events"):
            end = (await read.ends("events", [partition]))[partition]
            records = [decode_events(record.value or b"") async for record in read.stretch("events", partition, 0, end)]
            assert [bad for _, bad in records if bad] == []
            found.append([event for events, _ in records for event in events])
    return found


def _ids(events: list[Event]) -> list[str]:
    return [event.request_id for event in events if isinstance(event, Started)]


def test_what_routers_report_comes_back_in_their_figures(config: Config, config_file: Path, start_worker: Callable[..., Any], eventually: Eventually) -> None:
    """Two connections of two configurations of this process, one worker process between them."""
    start_worker(config_file).wait_for("ready")
    other_config = config.model_copy(update={"adaptive": config.adaptive.model_copy(update={"learning_rate": 0.2})})
    with Router.connect_sync(_url(config.kafka), config, service="chat") as one, Router.connect_sync(_url(config.kafka), other_config, service="chat") as other:
        assert one.snapshot is not None
        for _ in range(20):
            with one.track(one.choose()):
                pass
        with other.track(other.choose()) as call:
            call.finish("error")
        for router in (one, other):
            eventually(lambda router=router: (system := router.system()) is not None and system.requests_total == 21)
            service = router.service("chat")
            assert service is not None
            assert (service.outcomes_total.ok, service.outcomes_total.error) == (20, 1)
        eventually(lambda: one.snapshot is not None and one.snapshot.routers == 2)


def test_a_router_asks_for_its_service_alone(config: Config, config_file: Path, start_worker: Callable[..., Any]) -> None:
    """Two services in one process: each router has its own snapshot, the second one from the start."""
    start_worker(config_file).wait_for("ready")
    with (
        Router.connect_sync(_url(config.kafka), config, service="chat") as chat,
        Router.connect_sync(_url(config.kafka), config, service="mail") as mail,
    ):
        assert [router.snapshot and router.snapshot.service for router in (chat, mail)] == ["chat", "mail"]


def test_without_brokers_a_router_starts_from_its_configuration(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    """It chooses, reports are kept, and the log says once what is wrong; closing says that something was not delivered."""
    nowhere = Kafka(bootstrap=f"127.0.0.1:{free_port()}", prefix="x.")
    config = config.model_copy(update={"kafka": nowhere})
    with caplog.at_level(logging.WARNING, "routecast"), Router.connect_sync(_url(nowhere), config, service="chat") as router:
        assert router.snapshot is None
        with router.track(router.choose()):
            pass
        emitter = Emitter.connect(_url(nowhere), config)
        emitter.completed("r", "a", "ok", 5.0)
        assert emitter.close(0.2) is False
        assert router.emitter.dropped == 0
    complaints = [record.message for record in caplog.records if record.name == "routecast.streams.live"]
    assert len(complaints) == 1
    assert "cannot be reached" in complaints[0]


def test_what_cannot_be_delivered_holds_up_the_end_once(config: Config) -> None:
    """However many topics it is for: events and trips of a router wait together."""
    nowhere = Kafka(bootstrap=f"127.0.0.1:{free_port()}", prefix="x.")
    live = Live(config.model_copy(update={"kafka": nowhere}), SystemClock())
    router = live.router("chat", random.Random(1))
    router.emitter.announce(Tripped(at_ms=1.0, target="a"))
    began_s = time.monotonic()
    assert live.release(router.emitter, router, 1.0) is False
    assert time.monotonic() - began_s < 1.8
    assert live.close(10.0)


@pytest.mark.usefixtures("broker_tools")
def test_closing_while_the_broker_is_away_keeps_to_its_time(tmp_path: Path, config: Config, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """And leaves no task behind; a connection that is given up while it waits does not hold up the application."""
    with LocalBroker(tmp_path / "kafka") as broker:
        kafka = config.kafka.model_copy(update={"bootstrap": broker.bootstrap})
        config = config.model_copy(update={"kafka": kafka})
        run(create_topics(kafka))
        emitter = Emitter.connect(_url(kafka), config)
        emitter.started("before", "a")
        run(_until_there_is_one(kafka))
        broker.kill()
    emitter.started("after", "a")
    began_s = time.monotonic()
    assert emitter.close(4.0) is False
    assert time.monotonic() - began_s < 5.5

    async def give_up() -> float:
        loop = asyncio.get_running_loop()
        began_s, beats = loop.time(), list[float]()

        async def beat() -> None:
            while True:
                beats.append(loop.time())
                await asyncio.sleep(0.01)

        beating = asyncio.create_task(beat())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), Router.connect(_url(kafka), config, service="chat"):
                pass
        beating.cancel()
        assert loop.time() - began_s < 2.5
        return max(later - earlier for earlier, later in pairwise(beats))

    assert run(give_up()) < 2.0
    for thread in [thread for thread in threading.enumerate() if thread.name == "routecast-kafka"]:
        thread.join(20.0)
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def _until_there_is_one(kafka: Kafka) -> None:
    while not any(await _on_the_log(kafka)):
        pass


def test_nothing_is_lost_while_the_broker_is_away(tmp_path: Path, config: Config, run: Run) -> None:
    """Events of before, during and after 20 s without a broker are on the log once each, in order; the emitter takes them all at once."""
    with LocalBroker(tmp_path / "kafka") as broker:
        kafka = config.kafka.model_copy(update={"bootstrap": broker.bootstrap})
        config = config.model_copy(update={"kafka": kafka})
        run(create_topics(kafka))
        emitters = [Emitter.connect(_url(kafka), config, rng=random.Random(i)) for i in range(3)]
        longest_s, given = 0.0, 0

        def emit(seconds: float) -> None:
            nonlocal longest_s, given
            until_s = time.monotonic() + seconds
            while (began := time.monotonic()) < until_s:
                for i, emitter in enumerate(emitters):
                    emitter.started(f"{i}-{given}", "a", service="chat")
                longest_s = max(longest_s, time.monotonic() - began)
                given += 1
                time.sleep(0.002)  # the pace of a live application

        emit(1.0)
        broker.stop()
        emit(20.0)
        broker.start()
        emit(1.0)
        assert all(emitter.close(60.0) for emitter in emitters)
        partitions = run(_on_the_log(kafka))
    by_emitter = {i: [name for events in partitions for name in _ids(events) if name.startswith(f"{i}-")] for i in range(3)}
    assert by_emitter == {i: [f"{i}-{n}" for n in range(given)] for i in range(3)}
    assert sum(emitter.dropped for emitter in emitters) == 0
    assert longest_s < 5.0  # waiting for the broker would have taken twenty


def test_an_emitter_keeps_one_partition(kafka: Kafka, config: Config, run: Run) -> None:
    """Whatever it sends; emitters spread over all of them."""
    run(create_topics(kafka))
    emitters = [Emitter.connect(_url(kafka), config, rng=random.Random(i)) for i in range(16)]
    for round_ in range(3):
        for i, emitter in enumerate(emitters):
            emitter.started(f"{i}/{round_}", "a")
    assert all(emitter.close(30.0) for emitter in emitters)
    seen = [{name.split("/")[0] for name in _ids(events)} for events in run(_on_the_log(kafka))]
    assert sum(map(len, seen)) == len(emitters)
    assert all(seen)


def test_a_batch_larger_than_the_log_takes_is_split(kafka: Kafka, config: Config, run: Run) -> None:
    """All events arrive, in order."""
    run(create_topics(kafka))
    with Emitter.connect(_url(kafka), config) as emitter:
        for i in range(400):
            emitter.emit(Marker(at_ms=1.0, title=str(i), text="x" * 9_000))
    events = [event for partition in run(_on_the_log(kafka)) for event in partition]
    assert [event.title for event in events if isinstance(event, Marker)] == [str(i) for i in range(400)]


def test_a_forked_child_leaves_the_connection_to_its_parent(kafka: Kafka, config: Config, run: Run) -> None:
    """What the child reports stays in the child; the parent goes on."""
    run(create_topics(kafka))
    with Emitter.connect(_url(kafka), config) as emitter:
        emitter.started("before", "a")
        child = os.fork()
        if child == 0:
            emitter.started("in the child", "a")
            emitter.completed("in the child", "a", "error", 5.0)
            os._exit(0 if emitter.close(0.5) is False else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        emitter.started("after", "a")
    assert [name for events in run(_on_the_log(kafka)) for name in _ids(events)] == ["before", "after"]


def test_a_router_connects_asynchronously(config: Config, config_file: Path, start_worker: Callable[..., Any]) -> None:
    """The application's loop goes on while it waits for the first snapshot."""
    start_worker(config_file).wait_for("ready")

    async def main() -> None:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        turning = asyncio.create_task(turn())
        async with Router.connect(_url(config.kafka), config, service="chat") as router:
            assert turns > 0
            async with router.track(router.choose()):
                pass
        turning.cancel()

    asyncio.run(main())
