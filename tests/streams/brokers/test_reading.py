from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from aiokafka import TopicPartition

from routecast.models.config import Kafka
from routecast.streams.brokers.admin import create_topics
from routecast.streams.brokers.kafka import topic_name
from routecast.streams.brokers.reading import consumer
from routecast.streams.topics import DETAILS, SCORES


def test_a_consumer_can_be_left_right_after_it_was_given_other_partitions(kafka: Kafka, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """However many turns of the loop later: routers that join exchange it at any moment."""

    async def main() -> None:
        await create_topics(kafka)
        places = [TopicPartition(topic_name(kafka, topic), 0) for topic in (SCORES, DETAILS)]
        for i in range(16):
            async with asyncio.timeout(10) as limit, consumer(kafka, fetch_max_wait_ms=500) as client:
                client.assign(places)
                for place in places:
                    client.seek(place, 0)
                await client.getmany(timeout_ms=100)
                client.assign(places[:1])
                for _ in range(i % 2):
                    await asyncio.sleep(0)
            assert not limit.expired()

    run(main())
