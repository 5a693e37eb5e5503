"""What the terminal view costs while it is looked at: a thousand targets published every second, their details every ten."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import core
from msgspec.structs import replace

from routecast.dashboards.terminal.app import Top
from routecast.dashboards.terminal.source import Frame, Heard
from routecast.models.config import Config
from routecast.models.details import Details, SubjectDetails, WindowDetails
from routecast.models.events import Control
from routecast.models.snapshot import RoutingSnapshot, TargetScore, encode_snapshot
from routecast.streams.memory import Record

_SECONDS = 20


def rows() -> list[core.Row]:
    """CPU of the whole application while nobody presses a key, at 20 and 1,000 targets."""
    return [core.Row(f"top, {n} targets, a snapshot a second", f"{100.0 * asyncio.run(_watch(n)):.1f} % of a core", "< 10 %") for n in (20, 1000)]


async def _watch(n: int) -> float:
    app = Top(_Fleet(n), "bench@here")
    async with app.run_test(size=(160, 50)) as pilot:
        while app.board is None or len(app.board.targets) < n:
            await pilot.pause()
        began, since = time.process_time(), time.monotonic()
        await asyncio.sleep(_SECONDS)
        return (time.process_time() - began) / (time.monotonic() - since)


class _Fleet:
    """So many targets of one service, live."""

    name = "a benchmark"

    def __init__(self, n: int) -> None:
        targets = [{"id": f"target-{i:04}", "provider": f"p{i % 7}", "model": "m", "service": "chat"} for i in range(n)]
        self.config = Config.model_validate({"target": targets})
        times = tuple(float(i) for i in range(16))
        entries = [
            TargetScore(
                id=target.id, state="ok", time_s=1.0, service_s=1.0, capacity=8.0, share=1.0 / n, in_flight=2.0, in_flight_mean=2.0, cost_s=1.0,
                success=0.99, fail_s=0.1, quality=0.8, score=0.7, n=500.0, ttft_ms=times, tpot_ms=times,
            ) for target in self.config.target
        ]  # fmt: skip
        self._snapshot = RoutingSnapshot(
            service="chat", term=1, seq=1, at_ms=self.now_ms(), period_ms=1000.0, rate_per_s=50.0, routers=9, t_ref_s=1.0, targets=tuple(entries)
        )

    def now_ms(self) -> float:
        """By the clock of this machine."""
        return time.time() * 1000.0

    async def frames(self) -> AsyncGenerator[Frame]:
        """A snapshot a second; details every ten."""
        for seq in range(10_000):
            now_ms = self.now_ms()
            records = [Heard("scores", Record(seq, now_ms, b"chat", encode_snapshot(replace(self._snapshot, seq=seq, at_ms=now_ms))))]
            if seq % 10 == 0:
                records.append(Heard("details", Record(seq, now_ms, b"chat", self._details(now_ms))))
            yield Frame(now_ms, records)
            await asyncio.sleep(1.0)

    def _details(self, now_ms: float) -> bytes:
        window = WindowDetails(start_ms=now_ms - 60_000.0, end_ms=now_ms, requests=60, requests_per_min=60.0, judged=60, success_ratio=1.0, error_ratio=0.0)
        subjects = tuple(SubjectDetails(id=t.id, windows=dict.fromkeys(("10s", "1m", "5m", "1h", "24h"), window)) for t in self.config.target)
        return Details(service="chat", term=1, seq=1, at_ms=now_ms, targets=subjects, system=SubjectDetails(id="system")).encode()

    async def say(self, word: Control) -> str:
        """Nobody asks."""
        raise NotImplementedError(word)
