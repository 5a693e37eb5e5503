from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions

from routecast.analytics.fold import PartitionFold
from routecast.models.config import Config, Kafka
from routecast.models.details import Details
from routecast.models.events import Completed, Control, encode_events
from routecast.models.snapshot import RoutingSnapshot, decode_snapshot
from routecast.models.tick import Claim, TickRecord, decode_tick
from routecast.servers.kafka import LocalBroker
from routecast.streams.brokers.admin import administrator, create_topics
from routecast.streams.brokers.kafka import client_options, topic_name
from routecast.streams.brokers.reading import reader
from routecast.streams.clock import Clock, SystemClock
from routecast.streams.leadership.checkpoint import Checkpoint
from routecast.streams.leadership.leader import Leader
from routecast.streams.leadership.leading import Leading, producer
from routecast.streams.memory import Record
from routecast.streams.topics import Topic

Run = Callable[..., Any]


async def _all(kafka: Kafka, topic: Topic) -> list[Record]:
    async with reader(kafka) as read:
        return [record async for record in read.stretch(topic, 0, 0, (await read.ends(topic, [0]))[0])]


async def _snapshots(kafka: Kafka) -> list[RoutingSnapshot]:
    return [decode_snapshot(record.value or b"") for record in await _all(kafka, "scores") if record.key == b"chat"]


async def _until(true: Callable[[], Any]) -> None:
    """Wait until it is so on the log."""
    while not await true():  # noqa: ASYNC110 - the log tells nobody
        await asyncio.sleep(0.05)


@asynccontextmanager
async def _writer(kafka: Kafka) -> AsyncGenerator[Callable[..., Any]]:
    await create_topics(kafka)
    async with AIOKafkaProducer(**client_options(kafka)) as client:

        async def write(topic: Topic, value: bytes | None, key: bytes = b"") -> int:
            return int((await client.send_and_wait(topic_name(kafka, topic), value, key=key, partition=0)).offset)

        yield write


@asynccontextmanager
async def _leading(config: Config, name: str = "w", clock: Clock | None = None) -> AsyncGenerator[Leading]:
    leading = Leading(config, clock or SystemClock(), name, lambda: None)
    leading.begin()
    yield leading
    await leading.end()


async def _published(kafka: Kafka, n: int = 1, after: int = 0) -> None:
    async def enough() -> bool:
        return len(await _snapshots(kafka)) >= after + n

    await _until(enough)


def _folded(partition: int) -> PartitionFold:
    """One request of now, answered by target a."""
    fold, at_ms = PartitionFold(partition), SystemClock().now_ms()
    fold.apply(0, at_ms, [Completed(at_ms=at_ms, request_id="r", target="a", started_at_ms=at_ms - 5, duration_ms=5.0, outcome="ok", service="chat")])
    return fold


class _Shifted(SystemClock):
    """A clock that is ahead."""

    shift_ms = 3_600_000.0

    def now_ms(self) -> float:
        return super().now_ms() + self.shift_ms


def test_a_second_leader_continues_where_the_first_one_was(config: Config, kafka: Kafka, run: Run) -> None:
    """A higher term, the newest checkpoint and what has happened since; every tick was logged before its snapshot."""

    async def main() -> None:
        async with _writer(kafka) as write:
            fold = _folded(0)
            async with _leading(config, "first") as first:
                await _published(kafka)
                for key, value in fold.flush():
                    await write("panes", value, key)
                await _published(kafka, 3)
                first_term = first.term
            before = len(await _snapshots(kafka))
            async with _leading(config, "second") as second:
                await _published(kafka, 2, after=before)
                second_term = second.term
        claims = [tick for record in await _all(kafka, "ticks") if isinstance(tick := decode_tick(record.value or b""), Claim)]
        ticks = [tick for record in await _all(kafka, "ticks") if isinstance(tick := decode_tick(record.value or b""), TickRecord)]
        assert [claim.worker for claim in claims] == ["first", "second"]
        assert [(tick.term, tick.seq) for tick in ticks] == sorted({(tick.term, tick.seq) for tick in ticks})
        (begun,) = [tick for tick in ticks if tick.term == second_term and tick.seq == 1]
        assert second_term > first_term
        assert begun.began is not None
        assert begun.began.resumed == (first_term, 1)
        versions = [snapshot.version for snapshot in await _snapshots(kafka)]
        assert versions == sorted(versions)
        assert set(versions) <= {(tick.term, tick.seq) for tick in ticks}
        newest = (await _snapshots(kafka))[-1]
        assert {target.id: target.n > 0.9 for target in newest.targets} == {"a": True, "b": False}

    run(main())


@pytest.mark.usefixtures("broker_tools")
def test_a_leader_gives_up_while_no_broker_answers(config: Config, tmp_path: Path, run: Run) -> None:
    """What it was about to publish is not waited for."""
    with LocalBroker(tmp_path / "kafka") as broker:
        config = config.model_copy(update={"kafka": config.kafka.model_copy(update={"bootstrap": broker.bootstrap})})

        async def main() -> None:
            async with _writer(config.kafka), _leading(config) as leading:
                await _published(config.kafka)
                broker.kill()
                await asyncio.sleep(2 * config.intervals.snapshot_ms / 1000)  # a tick is on its way
                async with asyncio.timeout(15):
                    await leading.end()

        run(main())


def test_an_operators_word_is_published_at_once_and_known_to_the_next_leader(config: Config, kafka: Kafka, run: Run) -> None:
    """Long before the period is over; a new leader's first snapshot has it."""
    slow = config.model_copy(update={"intervals": config.intervals.model_copy(update={"snapshot_ms": 60_000.0})})

    async def main() -> None:
        async with _writer(kafka) as write:
            async with _leading(slow):
                await _published(kafka)
                await write("control", encode_events([Control(at_ms=1.0, target="a", action="drain")]), b"a")
                await _published(kafka, 2)
            assert [target.state for target in (await _snapshots(kafka))[1].targets] == ["drained", "unknown"]
            async with _leading(slow):
                await _published(kafka, 3)
            assert [target.state for target in (await _snapshots(kafka))[2].targets] == ["drained", "unknown"]

    run(main())


def test_a_clock_that_was_an_hour_ahead_and_is_set_right_costs_nothing(config: Config, kafka: Kafka, run: Run) -> None:
    """Requests of now count, details and checkpoints come as before: not in an hour."""
    clock = _Shifted()

    async def main() -> None:
        async with _writer(kafka) as write, _leading(config, clock=clock):
            await _published(kafka, 3)
            clock.shift_ms = 0.0
            for key, value in _folded(0).flush():
                await write("panes", value, key)

            async def counted() -> bool:
                snapshot, details = (await _snapshots(kafka))[-1], [record.value for record in await _all(kafka, "details") if record.key == b"chat"]
                latest_ms = Details.decode(details[-1] or b"").at_ms if details else math.inf
                return snapshot.targets[0].n > 0.9 and max(snapshot.at_ms, latest_ms) < clock.now_ms() + 1_000

            await _until(counted)
            states = [record.value or b"" for record in await _all(kafka, "state") if record.key == b"checkpoint"]
            assert Checkpoint.decode(states[-1]).at_ms < clock.now_ms() + 1_000

    run(main())


def test_partitions_that_are_added_count(config: Config, kafka: Kafka, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as clients learn of them; the leader begins anew for that."""
    monkeypatch.setattr("routecast.streams.brokers.reading.METADATA_MS", 200)

    async def main() -> None:
        async with _writer(kafka), _leading(config):
            await _published(kafka)
            async with administrator(kafka) as admin:
                await admin.create_partitions({topic_name(kafka, "panes"): NewPartitions(5)})
            async with producer(config) as out:
                for key, value in _folded(4).flush():
                    await out.send_and_wait(topic_name(kafka, "panes"), value, key=key, partition=4)

            async def counted() -> bool:
                return (await _snapshots(kafka))[-1].targets[0].n > 0.9

            await _until(counted)

    run(main())


@pytest.mark.parametrize(
    ("topic", "key", "value", "reason"),
    [
        ("panes", b"totals/0/0", b"garbage", "panes/0/0: "),
        ("panes", b"nonsense", b"\xc0", "panes/0/0: "),
        ("control", b"a", b"garbage", "control/0/0: JSON is malformed"),
        ("control", b"a", b"[]", "control/0/0: 0 words about targets, not one"),
        ("control", b"a", encode_events([Control(at_ms=1.0, target="a", action="drain")] * 2), "control/0/0: 2 words about targets, not one"),
    ],
)
def test_what_cannot_be_read_goes_to_the_dead_letters(config: Config, kafka: Kafka, run: Run, topic: Topic, key: bytes, value: bytes, reason: str) -> None:
    """With its place and the reason; the leader goes on."""

    async def main() -> list[Record]:
        async with _writer(kafka) as write:
            await write(topic, value, key)
            async with _leading(config):
                await _published(kafka, 2)
        return await _all(kafka, "deadletter")

    (dead,) = run(main())
    assert dead.key.decode().startswith(reason)
    assert dead.value == value


def test_a_leader_follows_its_predecessors_where_ticks_were_made_anew(config: Config, kafka: Kafka, run: Run) -> None:
    """Its claim is the first there; routers that have seen the snapshots of before take its own."""

    async def main() -> list[RoutingSnapshot]:
        async with _writer(kafka) as write:
            earlier = Leader(config, 700, SystemClock().now_ms())
            earlier.tick(SystemClock().now_ms())
            await write("state", earlier.checkpoint().value, b"checkpoint")
            for _ in range(2):
                published = len(await _snapshots(kafka))
                async with _leading(config):
                    await _published(kafka, after=published)
        return await _snapshots(kafka)

    terms = [snapshot.term for snapshot in run(main())]
    assert terms[0] == 701
    assert terms == sorted(terms)
    assert terms[-1] > terms[0]


def test_words_count_where_control_was_made_anew(config: Config, kafka: Kafka, run: Run) -> None:
    """A checkpoint that has heard later offsets would take them for old ones."""

    async def main() -> list[RoutingSnapshot]:
        async with _writer(kafka) as write:
            earlier = Leader(config, 1, SystemClock().now_ms())
            earlier.hear(700, Control(at_ms=1.0, target="b", action="drain"))
            earlier.tick(SystemClock().now_ms())
            await write("state", earlier.checkpoint().value, b"checkpoint")
            await write("control", encode_events([Control(at_ms=1.0, target="a", action="drain")]), b"a")
            async with _leading(config):
                await _published(kafka)
        return await _snapshots(kafka)

    (snapshot, *_) = run(main())
    assert [target.state for target in snapshot.targets] == ["drained", "unknown"]


def test_the_configuration_is_logged_with_every_leader(config: Config, kafka: Kafka, run: Run) -> None:
    """Snapshots can be computed again only with it."""

    async def main() -> dict[bytes, bytes | None]:
        async with _writer(kafka), _leading(config):
            await _published(kafka)
        return {record.key: record.value for record in await _all(kafka, "state")}

    state = run(main())
    assert state.keys() == {b"checkpoint", f"config/{config.version}".encode()}
    assert Config.model_validate(json.loads(state[f"config/{config.version}".encode()] or b"")) == config
