"""A month of what a fleet without routers says, in order of time: requests with day and night, failures, slow days, late feedback, operators' words."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator
from itertools import count

from routecast.models.events import Completed, Control, Event, Feedback, Outcome, RouterStats, Started

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
START_MS = 1_700_006_400_000
"""A midnight."""
COMES, VANISHES = 4, 14
"""Days, from 0, on which one target more comes and the first goes."""
_JUDGED, _LOST = 0.05, 0.001


class Traffic:
    """Events of a service with its troubles, in order of time."""

    def __init__(self, targets: int, per_min: float, begin_ms: int) -> None:
        self._names = [f"target-{i:04}" for i in range(targets + 1)]
        self._gap_ms, self._rng, self._numbers = MINUTE_MS / per_min / targets, random.Random(1), count()
        self._next_ms = float(begin_ms)
        self._waiting: list[tuple[float, int, Event]] = []

    def until(self, now_ms: float) -> list[Event]:
        """Everything that is new by this time."""
        while self._next_ms < now_ms:
            self._request(self._next_ms)
            self._next_ms += self._rng.expovariate(1.0 / self._gap_ms) / (1.0 + 0.8 * math.sin(2.0 * math.pi * self._next_ms / DAY_MS))
        found: list[Event] = [RouterStats(at_ms=now_ms, emitter=f"host-{day_of(now_ms)}-{i}", services=("chat",)) for i in range(4)]
        while self._waiting and self._waiting[0][0] < now_ms:
            found.append(heapq.heappop(self._waiting)[2])
        return found

    def _request(self, at_ms: float) -> None:
        rng, day = self._rng, day_of(at_ms)
        names = self._names if COMES <= day < VANISHES else self._names[:-1] if day < COMES else self._names[1:]
        number, target = next(self._numbers), rng.choice(names)
        request, fails = f"request-{number}", target == failing(at_ms)
        duration_ms = rng.lognormvariate(7.0, 0.6) * (1.5 if int(target[-2:]) == day // 2 % len(names) else 1.0)
        outcome: Outcome = "error" if rng.random() < (0.9 if fails else 0.002) else "ok"
        self._at(Started(at_ms=at_ms, request_id=request, target=target, provider=f"provider-{int(target[-1]) % 8}", model="model-2", service="chat"))
        if rng.random() < _LOST:
            return
        ended_ms = at_ms + duration_ms
        self._at(Completed(
            at_ms=ended_ms, request_id=request, target=target, service="chat", started_at_ms=at_ms, duration_ms=duration_ms, outcome=outcome,
            ttft_ms=duration_ms / 5, input_tokens=550, output_tokens=150, cost_usd=0.002,
        ))  # fmt: skip
        if rng.random() < _JUDGED:
            told_ms = ended_ms + rng.choice((30, 30, 30, 900)) * 1000
            self._at(Feedback(at_ms=told_ms, request_id=request, target=target, completed_at_ms=ended_ms, quality=rng.uniform(0.7, 1.0)))

    def _at(self, event: Event) -> None:
        heapq.heappush(self._waiting, (event.at_ms, next(self._numbers), event))


def day_of(at_ms: float) -> int:
    """Days that are over."""
    return int(at_ms - START_MS) // DAY_MS


def failing(at_ms: float) -> str:
    """Which target is failing: one for twenty minutes every other day; empty: none."""
    minute = (at_ms - START_MS) % DAY_MS / MINUTE_MS
    return f"target-{1 + day_of(at_ms) // 2 % 3:04}" if day_of(at_ms) % 2 == 0 and 300 <= minute < 320 else ""


def words(from_ms: float, until_ms: float) -> Iterator[Control]:
    """What operators say in [from_ms, until_ms), about another target each day."""
    day = day_of(from_ms)
    midnight_ms, target = START_MS + day * DAY_MS, f"target-{1 + day % 3:04}"
    for at_ms, word in (
        (midnight_ms + 3 * HOUR_MS, Control(at_ms=from_ms, action="drain", target=target)),
        (midnight_ms + 4 * HOUR_MS, Control(at_ms=from_ms, action="resume", target=target)),
        (midnight_ms + 5 * HOUR_MS, Control(at_ms=from_ms, action="set_weight", target=target, weight=0.5 + day % 2)),
        (midnight_ms + 9 * HOUR_MS, Control(at_ms=from_ms, action="silence", subject=target, until_ms=midnight_ms + 12 * HOUR_MS)),
        (midnight_ms + 20 * HOUR_MS, Control(at_ms=from_ms, action="silence", alert="error_rate", until_ms=midnight_ms + 30 * HOUR_MS)),
        (midnight_ms + 21 * HOUR_MS, Control(at_ms=from_ms, action="unsilence", alert="error_rate")),
    ):
        if from_ms <= at_ms < until_ms:
            yield word
