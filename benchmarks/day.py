"""A virtual day of traffic with everything on: whether a router's decisions become slower with its age, and what it holds.

Traffic is thinned to a fifth of each hour so that the day fits two minutes of processor time; trips, refusals, hangs, probes, ramps, classes of
requests that nobody has seen and more than a hundred snapshots happen in every hour all the same.
"""

from __future__ import annotations

import gc
import os
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import NamedTuple

import msgspec
from core import Row, _each_us, _warm_router
from pydantic import BaseModel

from routecast import Config, Requirements, Router
from routecast.models.events import Outcome
from routecast.models.requirements import NONE
from routecast.streams.calls.call import Call
from routecast.streams.clock import Clock, SystemClock
from routecast.streams.emitter import Emitter
from routecast.streams.topics import TRIPS
from routecast.testing import Fleet

N_TARGETS, PER_SECOND, HOURS = 20, 2.2, 24
ASKED = Requirements(max_response_time_ms=20_000, quality_threshold=0.5, caller_region="eu", urgency="low")
CLASSES = (
    None,
    ASKED,
    Requirements(urgency="high"),
    Requirements(complexity=0.4),
    Requirements(preferred=("provider-1",), excluded=("provider-2",)),
    Requirements(region="us", max_cost_usd=0.1, caller_region="us"),
)
_TROUBLE_S, _BUSY_S, _QUIET_S, _AGAIN_S = 200.0, 400.0, 2900.0, 100.0
"""Parts of an hour; samples are taken at its end, when all have recovered, so that they see the same fleet."""
_OUTCOMES: tuple[Outcome, ...] = ("error", "rate_limited", "timeout")
_ROUNDS, _BLOCK = 30, 200
_T_22 = 2.074
"""Student's t for 95 % and a line through 24 hours."""


def configuration() -> Config:
    """Twenty targets with prices, qualities, regions; every second one has rate limits, which the leader plans with."""
    targets = [
        {
            "id": f"target-{i:02}", "provider": f"provider-{i % 8}", "model": f"model-{i % 5}", "service": "chat", "region": ("eu", "us")[i % 2],
            "input_usd_per_mtok": 1.0 + i % 5, "output_usd_per_mtok": 4.0 + i % 5, "quality": 0.75 + 0.05 * (i % 4),
        } | ({"requests_per_min": 60.0, "tokens_per_min": 60_000.0} if i % 2 else {})
        for i in range(N_TARGETS)
    ]  # fmt: skip
    return Config.model_validate(
        {"target": targets, "routing": {"usd_per_second": 0.01}, "intervals": {"snapshot_ms": 40_000, "metrics_ms": 60_000, "health_check_ms": 10_000}}
    )


class Day:
    """Traffic to a fleet of two routers; each hour the busiest target fails, the next refuses, the third hangs."""

    def __init__(self, seed: int) -> None:
        self.fleet = Fleet(configuration(), routers=2, seed=seed)
        self.fleet.pipeline.kept = 20  # else the embedded log takes most of the day to fill, and hides what else might grow
        self.requests = self.refusals = 0
        self._luck = random.Random(seed)
        self._troubles: dict[str, Outcome] = {}

    @property
    def trips(self) -> int:
        """What the routers have said of their breakers."""
        return self.fleet.pipeline.log.end(TRIPS, 0)

    def hour(self) -> None:
        """An hour of virtual time."""
        snapshot = self.fleet.snapshot()
        busiest = sorted(snapshot.targets, key=lambda entry: -entry.share) if snapshot else []
        self._troubles = {entry.id: outcome for entry, outcome in zip(busiest, _OUTCOMES, strict=False)}
        self._traffic(_TROUBLE_S)
        self._troubles = {}
        self._traffic(_BUSY_S)
        self.fleet.advance_to(self.fleet.now_ms + _QUIET_S * 1000)
        self._traffic(_AGAIN_S)

    def _traffic(self, seconds: float) -> None:
        end_ms = self.fleet.now_ms + seconds * 1000
        while True:
            self.fleet.advance_to(min(end_ms, self.fleet.now_ms + self._luck.expovariate(PER_SECOND) * 1000))
            if self.fleet.now_ms >= end_ms:
                return
            self._request()

    def _request(self) -> None:
        self.requests += 1
        router = self.fleet.router(self._luck.randrange(2))
        unseen = self._luck.random() < 0.02
        asked = Requirements(max_cost_usd=1 + self._luck.random()) if unseen else self._luck.choice(CLASSES)
        call = router.start(router.choose(asked), input_tokens=550)
        outcome = self._troubles.get(call.decision.target, "ok")
        after_s = {"timeout": 30.0, "ok": self._luck.lognormvariate(-0.5, 0.5)}.get(outcome, 0.01)
        self.fleet.queue.after(after_s * 1000, self._end, call, outcome, after_s)

    def _end(self, call: Call, outcome: Outcome, after_s: float) -> None:
        if outcome == "rate_limited":
            self.refusals += 1
            call.headers({"retry-after": "20", "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}, status=429)
        elif outcome == "ok":
            call.headers({"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "550", "x-ratelimit-reset-requests": "5s"}, status=200)
            call.first_chunk(after_s * 300)
            call.tokens(input=550, output=150)
            call.cost(0.002)
            call.quality(0.9)
        call.finish(outcome)


def newborn(fleet: Fleet, clock: Clock) -> Router:
    """A router that starts now, with the fleet's newest snapshot and nothing of its own."""
    snapshot = fleet.snapshot()
    if snapshot is None:
        raise RuntimeError("the fleet published nothing")
    luck = random.Random(1)
    router = Router(fleet.config, fleet.service, Emitter(clock, luck), clock, luck)
    router.apply(msgspec.structs.replace(snapshot, at_ms=clock.now_ms(), period_ms=3_600_000.0))
    return router


def seasoned(hours: int = 1) -> Router:
    """A router on the real clock among targets with all there is to know: limits, prices, qualities, regions, quantiles."""
    day = Day(5)
    for _ in range(hours):
        day.hour()
    return newborn(day.fleet, SystemClock())


class Sample(NamedTuple):
    """Decision times at the end of an hour."""

    p50_us: float
    asked_us: float
    """The same with requirements."""
    p99_us: float
    to_newborn: float
    """p50 ÷ that of a router of the same clock and snapshot that has just started, in turns with it."""
    asked_to_newborn: float
    candidates: int
    held_bytes: int
    process_mb: float


def sample(day: Day) -> Sample:
    """Measure the first router of the fleet, in blocks in turn with one that has just started."""
    aged = day.fleet.router(0)
    young = newborn(day.fleet, aged.clock)
    acts: list[Callable[[], object]] = [aged.choose, young.choose, partial(aged.choose, ASKED), partial(young.choose, ASKED)]
    blocks = _in_turns(acts, _ROUNDS, _BLOCK)
    plain, young_plain, asked, young_asked = ([statistics.median(block) for block in found] for found in blocks)
    times = sorted(time for block in blocks[0] for time in block)
    return Sample(
        statistics.median(plain), statistics.median(asked), times[int(len(times) * 0.99)],
        _ratio(plain, young_plain), _ratio(asked, young_asked),
        len(aged.considered(NONE).table.index), held_bytes(aged), _process_mb(),
    )  # fmt: skip


def _in_turns(acts: Sequence[Callable[[], object]], rounds: int, size: int) -> list[list[list[float]]]:
    """For each act its blocks of times, µs; who is first changes, for the first pays for what others left in the caches."""
    for act in acts:
        _each_us(act, size)
    gc.collect()
    blocks: list[list[list[float]]] = [[] for _ in acts]
    for turn in range(rounds):
        for i in range(len(acts)):
            at = (i + turn) % len(acts)
            blocks[at].append(_each_us(acts[at], size))
    return blocks


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def held_bytes(router: Router) -> int:
    """Bytes of all that can be reached from a router, without its clock, its configuration, what wakes its driver, and code."""
    found, todo, total = {id(router.clock), id(router.emitter._wake)}, list[object]([router]), 0
    while todo:
        thing = todo.pop()
        if id(thing) in found or isinstance(thing, type | ModuleType | FunctionType | BuiltinFunctionType | BaseModel):
            continue
        found.add(id(thing))
        total += sys.getsizeof(thing)
        todo += gc.get_referents(thing)
    return total


def _process_mb() -> float:
    """Resident memory of this process: routers, log, fold, leader."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def slope(values: Sequence[float]) -> str:
    """Per cent of the mean per hour, with the 95 % interval of the regression line."""
    hours, mean = range(len(values)), statistics.fmean(values)
    line = statistics.linear_regression(hours, values)
    rest = sum((value - line.intercept - line.slope * hour) ** 2 for hour, value in zip(hours, values, strict=True))
    spread = sum((hour - statistics.fmean(hours)) ** 2 for hour in hours)
    error = (rest / (len(values) - 2) / spread) ** 0.5
    return f"{line.slope / mean:+.3%} ± {_T_22 * error / mean:.3%} an hour"


def decisions() -> list[Row]:
    """`choose` where there is everything to know, on the real clock with its refreshes, in turns with a router of the plainest targets."""
    router, plain = seasoned(), _warm_router(N_TARGETS)
    times = _in_turns([plain.choose, router.choose, partial(router.choose, ASKED)], 20, 2500)
    medians = [[statistics.median(block) for block in found] for found in times]
    rows = list[Row]()
    for i, label in ((1, "no requirements"), (2, "requirements")):
        every = sorted(time for block in times[i] for time in block)
        value = f"p50 {statistics.median(medians[i]):.1f} µs, p99 {every[int(len(every) * 0.99)]:.1f} µs, {_ratio(medians[i], medians[0]):.2f} × plain targets"
        rows.append(Row(f"decision, 20 targets, everything on, {label}", value, "p50 ≤ 5 µs, p99 ≤ 20 µs"))
    return rows


def rows() -> list[Row]:
    """Twenty-four hours, a sample at the end of each; two minutes of processor time."""
    day, samples = Day(1), list[Sample]()
    for _ in range(HOURS):
        day.hour()
        samples.append(sample(day))
    found = [_happened(day, samples)]
    for name, label in (("p50_us", "no requirements"), ("asked_us", "requirements")):
        each = [float(getattr(it, name)) for it in samples]
        found.append(Row(f"decision over a virtual day, {label}, p50", f"{min(each):.1f} to {max(each):.1f} µs, {slope(each)}", "0 within the interval"))
    for name, label in (("to_newborn", "no requirements"), ("asked_to_newborn", "requirements")):
        each = [float(getattr(it, name)) for it in samples]
        found.append(Row(f"  ÷ a router that has just started, {label}", f"{statistics.median(each):.3f}, {slope(each)}", "1, 0 within the interval"))
    found.append(Row("  p99, median of the hours", f"{statistics.median([it.p99_us for it in samples]):.1f} µs", "≤ 20 µs"))
    return [*found, *_memory(samples)]


def _happened(day: Day, samples: Sequence[Sample]) -> Row:
    snapshot = day.fleet.snapshot()
    counts = f"{day.requests:,} requests, {snapshot.version[1] if snapshot else 0:,} snapshots, {day.trips} changes of breakers, {day.refusals} refusals"
    candidates = [it.candidates for it in samples]
    return Row("virtual day, two routers, 20 targets", f"{counts}; {min(candidates)} to {max(candidates)} candidates at the samples")


def _memory(samples: Sequence[Sample]) -> list[Row]:
    held, process = [it.held_bytes / 1024 for it in samples], [it.process_mb for it in samples]
    return [
        Row("memory of a router over that day", f"{held[0]:.0f} kB after 1 h, {held[-1]:.0f} after 24, {slope(held)}", "0 within the interval"),
        Row(
            "memory of its process, with log, fold, leader",
            f"{process[0]:.1f} MB after 1 h, {process[HOURS // 2 - 1]:.1f} after 12, {process[-1]:.1f} after 24, {slope(process)}",
        ),
    ]
