"""Consumer groups as the brokers see them: who is in them, and how far they have come."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from routecast.models.config import Kafka
from routecast.streams.brokers.admin import administrator

_PACE_S: Final = 0.1


class GroupState(NamedTuple):
    """A group at one moment; one that never was has neither members nor positions."""

    state: str
    members: int
    positions: Mapping[TopicPartition, int]
    """Where each partition goes on."""


async def group_state(settings: Kafka, name: str) -> GroupState:
    """The group of this name, without the prefix. Raises Unreachable, also where this login may not describe it."""
    group = settings.prefix + name
    async with administrator(settings) as client:
        coordinator = await coordinator_of(client, group)
        answer: Any = (await client.describe_consumer_groups([group], coordinator))[0]
        committed = await client.list_consumer_group_offsets(group, coordinator)
    _, _, state, _, _, members = answer.groups[0][:6]
    return GroupState(state, len(members), {place: at.offset for place, at in committed.items() if at.offset >= 0})


async def coordinator_of(client: AIOKafkaAdminClient, group: str) -> int:
    """The broker that keeps a group. Waits while a new cluster makes the topic for it."""
    while True:
        try:
            return int(await client.find_coordinator(group))
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(_PACE_S)
