"""When a worker takes itself for one that stood still."""

from __future__ import annotations

import asyncio
import os

import pytest

from routecast.models.config import Config
from routecast.streams.agents import STALLED, Worker


class Clock:
    """Both clocks of a process, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now_ms(self) -> float:
        """Epoch milliseconds."""
        return self.seconds * 1000.0

    def monotonic_s(self) -> float:
        """The same in seconds."""
        return self.seconds


def test_joining_a_group_for_longer_than_its_sessions_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time counts from the first partitions on: none can be lost before. A stall after that ends the process."""
    config, clock, codes = Config.model_validate({"target": [{"id": "a", "provider": "p", "model": "m", "service": "chat"}]}), Clock(), list[int]()
    monkeypatch.setattr(os, "_exit", codes.append)
    session_s = config.kafka.session_timeout_ms / 1000.0

    async def main() -> None:
        worker = Worker(config, clock, lambda _: None)
        clock.seconds += 2.0 * session_s
        worker.begin_watch()
        worker.still_alive()
        await asyncio.sleep(0)
        assert codes == []
        clock.seconds += 2.0 * session_s
        worker.begin_watch()
        worker.still_alive()
        assert codes == [STALLED]
        watch = asyncio.all_tasks() - {asyncio.current_task()}
        for task in watch:
            task.cancel()
        await asyncio.gather(*watch, return_exceptions=True)

    asyncio.run(main())
