"""Topics on the brokers: make those that are missing, list them, say what differs from what they must be like.

Nothing here makes a topic by asking for it: brokers with `auto.create.topics.enable` would, with settings of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidReplicationFactorError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from routecast.models.config import Kafka
from routecast.models.errors import CheckFailed
from routecast.models.topics import Difference, Shape, TopicState
from routecast.streams.brokers.kafka import client_options, reach, topic_name, unreachable
from routecast.streams.brokers.reading import consumer
from routecast.streams.topics import ALL, EVENTS, PANES, SPECS, Topic

ANSWER_MS: Final = 8_000
"""Longest wait for an answer: whoever stands at a terminal should know by then."""
_KNOWN_S = 5.0
_PACE_S = 0.05
_MORE_IS_FINE = frozenset({"retention.ms", "delete.retention.ms", "max.message.bytes", "min.compaction.lag.ms"})
_FOREVER = -1
_UNREADABLE = "?"


class _Cluster(NamedTuple):
    """What the brokers say."""

    described: Mapping[str, Mapping[str, Any]]
    configs: Mapping[str, Mapping[str, str]]


@asynccontextmanager
async def administrator(settings: Kafka) -> AsyncGenerator[AIOKafkaAdminClient]:
    """A client for the administration of topics. Raises Unreachable, ConfigError."""
    await reach(settings)
    client = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=ANSWER_MS)
    try:
        async with asyncio.timeout(ANSWER_MS / 1000):
            await client.start()
        yield client
    except (KafkaError, OSError) as error:
        raise unreachable(settings, error) from error
    finally:
        await client.close()


async def topics(settings: Kafka) -> list[TopicState]:
    """All topics of this prefix, in the order of the data, and what is wrong with them. Raises Unreachable."""
    async with administrator(settings) as client:
        return _states(settings, await _look(client, settings))


async def create_topics(settings: Kafka, *, dry_run: bool = False) -> list[str]:
    """Make the topics that are missing; their names. With `dry_run` the brokers only say whether they would.

    Raises Unreachable, or CheckFailed saying what to make where the brokers refuse. Those that were made stay made.
    """
    async with administrator(settings) as client:
        shapes = missing(settings, _states(settings, await _look(client, settings)))
        if not shapes:
            return []
        asked = [NewTopic(shape.name, shape.partitions, shape.replication, topic_configs=dict(shape.settings)) for shape in shapes]
        answer: Any = await client.create_topics(asked, timeout_ms=ANSWER_MS, validate_only=dry_run)
        refused = {name: (code, message) for name, code, message in answer.topic_errors if code not in {0, TopicAlreadyExistsError.errno}}
        made = [shape.name for shape in shapes if shape.name not in refused]
        if not dry_run:
            await _known(client, made)
    if refused:
        raise CheckFailed(_refusal(settings, [shape for shape in shapes if shape.name in refused], list(refused.values()), made, dry_run=dry_run))
    return made


def missing(settings: Kafka, states: Sequence[TopicState]) -> list[Shape]:
    """What has to be made beside what is there: `events` and `panes` always get the same number of partitions."""
    there = {state.topic: state.partitions for state in states if state.exists}
    partitions = there.get(EVENTS) or there.get(PANES) or settings.partitions
    return [
        Shape(
            topic=topic, name=topic_name(settings, topic), partitions=partitions if SPECS[topic].partitioned else SPECS[topic].partitions,
            replication=settings.replication, settings=SPECS[topic].configs,
        )
        for topic in ALL if topic not in there
    ]  # fmt: skip


async def with_records(settings: Kafka, states: Sequence[TopicState]) -> list[TopicState]:
    """The same, with the number of records in each. Raises Unreachable."""
    there = [TopicPartition(state.name, partition) for state in states for partition in range(state.partitions)]
    async with consumer(settings) as client:
        await client.topics()
        client.assign(there)
        first, end = await asyncio.gather(client.beginning_offsets(there), client.end_offsets(there))
    counts: dict[str, int] = {}
    for place in there:
        counts[place.topic] = counts.get(place.topic, 0) + end[place] - first[place]
    return [state.model_copy(update={"records": counts.get(state.name)}) for state in states]


async def _known(client: AIOKafkaAdminClient, names: Sequence[str]) -> None:
    """Wait until brokers tell of topics that were just made; the one that is asked may learn of them a moment after the controller."""
    async with asyncio.timeout(_KNOWN_S):
        while not {item["topic"] for item in await client.describe_topics() if not item["error_code"]}.issuperset(names):  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(_PACE_S)


async def _look(client: AIOKafkaAdminClient, settings: Kafka) -> _Cluster:
    names = {topic_name(settings, topic) for topic in ALL}
    described = {item["topic"]: item for item in await client.describe_topics() if item["topic"] in names and not item["error_code"]}
    responses: Any = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in described]) if described else ()
    found: list[Any] = [resource for response in responses for resource in response.resources]
    return _Cluster(described, {name: {entry[0]: entry[1] for entry in entries} for code, _, _, name, entries in found if not code})


def _states(settings: Kafka, cluster: _Cluster) -> list[TopicState]:
    counts = {name: len(item["partitions"]) for name, item in cluster.described.items()}
    return [_state(settings, topic, cluster, counts) for topic in ALL]


def _state(settings: Kafka, topic: Topic, cluster: _Cluster, counts: Mapping[str, int]) -> TopicState:
    spec, name = SPECS[topic], topic_name(settings, topic)
    described, configs = cluster.described.get(name), cluster.configs.get(name)
    if described is None:
        absent = Difference(what="does not exist", mend="routecast topics create")
        return TopicState(topic=topic, name=name, partitions=0, replication=0, settings={}, differences=(absent,))
    relevant = {key: _UNREADABLE if configs is None else configs.get(key) or "" for key in spec.configs}
    replication = min((len(partition["replicas"]) for partition in described["partitions"]), default=0)
    found = [
        _wrong_partitions(settings, topic, counts),
        _wrong_replication(settings, replication),
        _wrong_settings(settings, name, relevant, spec.configs),
    ]
    return TopicState(
        topic=topic, name=name, partitions=counts[name], replication=replication, settings=relevant, differences=tuple(item for item in found if item),
    )  # fmt: skip


def _wrong_partitions(settings: Kafka, topic: Topic, counts: Mapping[str, int]) -> Difference | None:
    name = topic_name(settings, topic)
    has = counts[name]
    if not SPECS[topic].partitioned:
        return _not_as_many(settings, name, has, SPECS[topic].partitions)
    events, panes = topic_name(settings, EVENTS), topic_name(settings, PANES)
    if topic == EVENTS or events not in counts or has == counts[events]:
        return None
    fewer, more = (panes, counts[events]) if has < counts[events] else (events, has)
    return Difference(
        what=f"has {has} partitions, {events} has {counts[events]}: they must be equal",
        mend=f"kafka-topics.sh --bootstrap-server {settings.bootstrap} --alter --topic {fewer} --partitions {more}",
    )


def _not_as_many(settings: Kafka, name: str, has: int, wanted: int) -> Difference | None:
    if has == wanted:
        return None
    tool = f"kafka-topics.sh --bootstrap-server {settings.bootstrap}"
    if has < wanted:
        return Difference(what=f"has {has} partitions, not {wanted}", mend=f"{tool} --alter --topic {name} --partitions {wanted}")
    read = "only the first is" if wanted == 1 else f"only the first {wanted} are"
    delete = f"{tool} --delete --topic {name} && routecast topics create  # what it holds is lost"
    return Difference(what=f"has {has} partitions, not {wanted}: {read} read", mend=delete)


def _wrong_replication(settings: Kafka, replication: int) -> Difference | None:
    if replication >= settings.replication:
        return None
    return Difference(
        what=f"has replication {replication}, kafka.replication is {settings.replication}",
        mend="raise it with kafka-reassign-partitions.sh, or lower kafka.replication",
    )


def _wrong_settings(settings: Kafka, name: str, relevant: Mapping[str, str], wanted: Mapping[str, str]) -> Difference | None:
    if _UNREADABLE in relevant.values():
        return Difference(what="its settings may not be read", mend=f"allow this login DescribeConfigs on topic {name}")
    wrong = {key: value for key, value in wanted.items() if not _fits(key, relevant[key], value)}
    if not wrong:
        return None
    added = ",".join(f"{key}={value}" for key, value in wrong.items())
    return Difference(
        what="; ".join(f"{key} is {relevant[key] or 'not set'}, not {value}" for key, value in wrong.items()),
        mend=f"kafka-configs.sh --bootstrap-server {settings.bootstrap} --alter --entity-type topics --entity-name {name} --add-config {added}",
    )


def _fits(key: str, value: str, wanted: str) -> bool:
    if key not in _MORE_IS_FINE or not value.removeprefix("-").isdigit():
        return value == wanted
    return int(value) >= int(wanted) or (key == "retention.ms" and int(value) == _FOREVER)


def _refusal(settings: Kafka, shapes: Sequence[Shape], reasons: Sequence[tuple[int, str]], made: Sequence[str], *, dry_run: bool) -> str:
    codes = {code for code, _ in reasons}
    said = "; ".join(sorted({f"{for_code(code).__name__.removesuffix('Error')}{f': {message}' if message else ''}" for code, message in reasons}))
    if codes <= {TopicAuthorizationFailedError.errno, ClusterAuthorizationFailedError.errno}:
        advice = "this login may not create topics. Have somebody run this who may"
    elif codes == {InvalidReplicationFactorError.errno}:
        advice = f"kafka.replication is {settings.replication}: lower it or start more brokers, or make them otherwise"
    else:
        advice = "mend that, or make them otherwise"
    commands = "\n".join(f"  {_command(settings, shape)}" for shape in shapes)
    also = f" ({len(made)} others {'would be' if dry_run else 'were'} made)" if made else ""
    return f"{len(shapes)} topics cannot be created{also}: {said}; {advice}:\n{commands}"


def _command(settings: Kafka, shape: Shape) -> str:
    configs = " ".join(f"--config {key}={value}" for key, value in shape.settings.items())
    return (
        f"kafka-topics.sh --bootstrap-server {settings.bootstrap} --create --topic {shape.name} "
        f"--partitions {shape.partitions} --replication-factor {shape.replication} {configs}"
    )
