from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from routecast.models.config import Config
from routecast.models.errors import RoutecastError
from routecast.streams.brokers.admin import create_topics
from routecast.streams.operators.sending import RawRecord, append
from routecast.streams.operators.tailing import Start, tail

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.mark.parametrize(
    ("text", "first", "end", "offset"),
    [
        ("beginning", 5, 9, 5), ("end", 5, 9, 9), ("2-back", 5, 9, 7), ("100-back", 5, 9, 5), ("0-back", 5, 9, 9), ("7", 5, 9, 7), ("0", 5, 9, 5),
        ("70", 5, 9, 9),
    ],
)  # fmt: skip
def test_a_place_is_an_offset_that_is_kept(text: str, first: int, end: int, offset: int) -> None:
    """What is older than the oldest begins there, what is newer than the newest waits for the next."""
    assert Start.parse(text).within(first, end) == offset


@pytest.mark.parametrize("text", ["", "middle", "-3", "3.5", "-back", "x-back", "٣"])
def test_anything_else_is_no_place(text: str) -> None:
    """The error lists what is."""
    with pytest.raises(ValueError, match="give beginning, end, N-back such as 100-back, or an offset"):
        Start.parse(text)


def test_records_of_all_partitions_come_in_the_order_of_their_appends(config: Config, run: Run) -> None:
    """Or those of one partition alone."""

    async def read(partition: int | None) -> list[tuple[int, bytes | None]]:
        found: list[tuple[int, bytes | None]] = []
        async with aclosing(tail(config.kafka, "events", partition, Start.parse("beginning"))) as batches:
            async for batch in batches:
                found += [(item.partition, item.record.value) for item in batch]
                if len(found) == (4 if partition is None else 2):
                    break
        return found

    async def work() -> tuple[list[tuple[int, bytes | None]], list[tuple[int, bytes | None]]]:
        await create_topics(config.kafka)
        for i in range(4):
            await append(config, [RawRecord("events", b"", str(i).encode())], i % 2)
        return sorted(await read(None)), await read(1)

    everything, one = run(work())
    assert everything == [(0, b"0"), (0, b"2"), (1, b"1"), (1, b"3")]
    assert one == [(1, b"1"), (1, b"3")]


@pytest.mark.parametrize(
    ("made", "said"), [(False, "does not exist: `routecast topics create` makes it"), (True, "has no partition 4: its partitions are 0 to 3")]
)
def test_what_is_not_there_is_named(config: Config, run: Run, made: bool, said: str) -> None:
    """Instead of waiting for it for ever."""

    async def work() -> None:
        if made:
            await create_topics(config.kafka)
        async for _ in tail(config.kafka, "events", 4, Start()):
            pass

    with pytest.raises(RoutecastError, match=said):
        run(work())
