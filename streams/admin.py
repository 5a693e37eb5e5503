"""Topics on the brokers: make those that are missing, list them, say what differs from what they must be like."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from routecast.models.config import Kafka
from routecast.models.errors import CheckFailed
from routecast.streams.kafka import client_options, topic_name, unreachable
from routecast.streams.topics import ALL, SPECS, Topic


class TopicState(NamedTuple):
    """One topic as it is on the brokers."""

    topic: Topic
    name: str
    partitions: int
    """0 where it does not exist."""
    replication: int
    configs: Mapping[str, str]
    """Its settings among those that matter."""
    wrong: tuple[str, ...]
    """What differs from what it must be like; empty where all is well."""


@asynccontextmanager
async def administrator(settings: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for the administration of topics. Raises Unreachable, ConfigError."""
    client = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=15_000)
    try:
        await client.start()
    except (KafkaError, OSError) as error:
        await client.close()
        raise unreachable(settings, error) from error
    try:
        yield client
    finally:
        await client.close()


async def topics(settings: Kafka) -> list[TopicState]:
    """All topics of this prefix and what is wrong with them. Raises Unreachable."""
    async with administrator(settings) as client:
        return await _states(client, settings)


async def create_topics(settings: Kafka) -> list[str]:
    """Make the topics that are missing; their names. Raises Unreachable, or CheckFailed saying what to make where that is not allowed."""
    async with administrator(settings) as client:
        missing = [state for state in await _states(client, settings) if not state.partitions]
        for state in missing:
            await _create(client, settings, state.topic)
    return [state.name for state in missing]


async def _create(client: AIOKafkaAdminClient, settings: Kafka, topic: Topic) -> None:
    spec, name = SPECS[topic], topic_name(settings, topic)
    partitions = settings.partitions if spec.partitioned else 1
    wanted = NewTopic(name=name, num_partitions=partitions, replication_factor=settings.replication, topic_configs=dict(spec.configs))
    try:
        response = await client.create_topics([wanted])
        code, message = response.topic_errors[0][1], response.topic_errors[0][2]
    except KafkaError as error:
        code, message = error.errno, str(error)
    if code not in {0, TopicAlreadyExistsError.errno}:
        settings_text = " ".join(f"--config {key}={value}" for key, value in spec.configs.items())
        raise CheckFailed(
            f"topic {name!r} cannot be made here ({for_code(code).__name__}: {message}); have it made: "
            f"--topic {name} --partitions {partitions} --replication-factor {settings.replication} {settings_text}"
        )


async def _states(client: AIOKafkaAdminClient, settings: Kafka) -> list[TopicState]:
    names = {topic: topic_name(settings, topic) for topic in ALL}
    described = {item["topic"]: item for item in await client.describe_topics(list(names.values())) if not item["error_code"]}
    present = [name for name in names.values() if name in described]
    configs = await _configs(client, present)
    return [_state(topic, name, described.get(name), configs.get(name, {})) for topic, name in names.items()]


async def _configs(client: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    responses = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    found: dict[str, dict[str, str]] = {}
    for response in responses:
        for _, _, _, name, entries in response.resources:
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _state(topic: Topic, name: str, described: Mapping[str, Any] | None, configs: Mapping[str, str]) -> TopicState:
    spec = SPECS[topic]
    if described is None:
        return TopicState(topic, name, 0, 0, {}, ("does not exist: `routecast topics create` makes it",))
    partitions = described["partitions"]
    relevant = {key: configs.get(key, "") for key in spec.configs}
    wrong = [f"{key} is {relevant[key]}, not {value}" for key, value in spec.configs.items() if relevant[key] != value]
    if not spec.partitioned and len(partitions) != 1:
        wrong.append(f"has {len(partitions)} partitions, not 1")
    return TopicState(topic, name, len(partitions), len(partitions[0]["replicas"]), relevant, tuple(wrong))
