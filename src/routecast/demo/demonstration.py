"""The demonstration: recorded traffic, recorded providers, injected troubles, several policies on the same requests.

What is recorded: arrival times and output tokens (Azure), latencies, tails and refusals of ten provider runs (llmperf). What is ours, and
labelled so: the slot queue behind each provider, the time compression that makes the load, and the troubles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.simulation.arrivals import Requests
from routecast.analytics.simulation.recorded import RecordedTarget, Storm
from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.trial import virtual_target
from routecast.analytics.simulation.virtual_target import WELL, Condition
from routecast.analytics.simulation.worlds import MEAN_TO_MEDIAN, Change, TargetSpec, Trouble, World
from routecast.models.config import Config, Limits, Objective, Routing, TargetConfig, Thresholds
from routecast.models.report import DemoTarget
from routecast.recordings import Recording, Run, azure, llmperf
from routecast.streams.configuration_file import as_toml

ROUTERS = 16
LOAD = 0.7
SERVICE = "chat"
SLOTS = (16, 10, 10, 8, 5, 6, 14, 8, 10, 8)


@dataclass(frozen=True)
class Injected:
    """A trouble added to a recorded provider; times are shares of the run."""

    run: str
    label: str
    condition: Condition
    begins: float
    ends: float


OUTAGE = Injected("groq_70b", "outage: every call fails at once", Condition(fail_ratio=1.0), 0.25, 0.40)
SLOWDOWN = Injected("anyscale_7b", "slow-down: four times slower", Condition(slowdown=4.0), 0.50, 0.65)
PARTIAL = Injected("together_70b", "partial failure: 30 % of the calls fail", Condition(fail_ratio=0.3), 0.72, 0.87)
STORM = Injected("lepton_7b", "the recorded 429 storm", WELL, 0.10, 0.20)
"""Not injected but recorded; only its time is ours."""
INCIDENTS = (STORM, OUTAGE, SLOWDOWN, PARTIAL)
"""All troubles, in the order in which they begin."""
THRESHOLDS = Thresholds(response_time_ms=Limits(warning=20_000, critical=60_000))
"""The recorded answers take 1 to 10 s on average: what is usual must not be an alert."""
OBJECTIVE = Objective(within_ms=40_000)
"""Of the slowest provider 5 % of the recorded answers take longer than 20 s, and none longer than 40 s but for a queue."""


@dataclass(frozen=True, eq=False)
class Scene:
    """The world of the demonstration and what it was made from."""

    world: World
    runs: tuple[Run, ...]
    tokens: float
    """Mean output tokens of a request."""
    compression: float
    """How much faster than recorded the requests arrive."""
    duration_s: float

    def make(self, queue: EventQueue, world: World, number: int, random: Random) -> RecordedTarget:
        """Target `number`: its recorded answers behind its slots."""
        recorded, duration_ms = self.runs[number], self.duration_s * 1000.0
        storm = None
        if recorded.name == STORM.run:
            storm = Storm(queue.now_ms + STORM.begins * duration_ms, queue.now_ms + STORM.ends * duration_ms)
        tokens_per_work_ms = self.tokens / (world.targets[number].mean_s * 1000.0)
        return RecordedTarget(queue, virtual_target(queue, world, number, random), recorded.answers, tokens_per_work_ms, storm)

    def config(self) -> Config:
        """The targets as a user would configure them."""
        targets = tuple(TargetConfig(id=run.name, provider=run.provider, model=run.model, service=SERVICE) for run in self.runs)
        return Config(target=targets, thresholds=THRESHOLDS, routing=Routing(objective=OBJECTIVE))

    def described(self) -> tuple[DemoTarget, ...]:
        """The targets for the report."""
        return tuple(
            DemoTarget(
                target=run.name, provider=run.provider, model=run.model, slots=spec.slots, mean_service_s=spec.mean_s, recorded=len(run.answers),
                recorded_rate_limited=sum(answer.rate_limited for answer in run.answers), injected=_injected(run.name, self.duration_s),
            )
            for run, spec in zip(self.runs, self.world.targets, strict=True)
        )  # fmt: skip


def scene(seed: int, duration_s: float, traffic: int = 1) -> Scene:
    """The recorded requests that fill `duration_s` (virtual seconds) at 70 % load, each arriving at a random router.

    `traffic` is how many times as many there are, at so many times the slots.
    """
    recording, runs = azure(), llmperf()
    tokens = float(np.mean(recording.output_tokens))
    specs = tuple(TargetSpec("queueing", traffic * slots, _mean_s(run, tokens) / MEAN_TO_MEDIAN) for run, slots in zip(runs, SLOTS, strict=True))
    n = round(LOAD * sum(spec.nominal_per_s for spec in specs) * duration_s)
    recorded_s, output_tokens = _first(recording, n + 1)
    compression = float(recorded_s[n]) / duration_s
    requests = Requests(
        at_ms=recorded_s[:n] / compression * 1000.0,
        router=np.random.default_rng(seed).integers(0, ROUTERS, n),
        demand=output_tokens[:n] / tokens,
    )
    names = [run.name for run in runs]
    changes = [
        Change(share * duration_s * 1000.0, names.index(it.run), condition)
        for it in (OUTAGE, SLOWDOWN, PARTIAL)
        for share, condition in ((it.begins, it.condition), (it.ends, WELL))
    ]
    dead = Trouble(names.index(OUTAGE.run), OUTAGE.begins * duration_s * 1000.0, OUTAGE.ends * duration_s * 1000.0)
    world = World(name="demo", load=LOAD, targets=specs, requests=requests, changes=tuple(changes), trouble=dead, routers=ROUTERS, warmup_ms=0.0)
    return Scene(world, runs, tokens, compression, duration_s)


def written_config() -> str:
    """The demonstration's targets as a configuration file for workers."""
    head = "# The ten targets of `routecast demo`, for workers that run beside it: `routecast demo --kafka kafka://host:9092 --workers 0`."
    return f"{head}\n# Written by `routecast demo --write-config FILE`.\n\n{as_toml(scene(0, 60.0).config())}"


def _first(recording: Recording, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets in seconds and output tokens of the first `n` requests; the recording repeats when it is too short."""
    offsets_s = np.array(recording.offsets_ms, float) / 1000.0
    span_s = float(offsets_s[-1]) * len(offsets_s) / (len(offsets_s) - 1)
    rounds = math.ceil(n / len(offsets_s))
    repeated = np.concatenate([offsets_s + k * span_s for k in range(rounds)])
    return repeated[:n], np.tile(np.array(recording.output_tokens, float), rounds)[:n]


def _mean_s(run: Run, tokens: float) -> float:
    return float(np.mean([answer.service_ms(tokens) for answer in run.answers if not answer.rate_limited])) / 1000.0


def _injected(run: str, duration_s: float) -> str:
    found = [it for it in INCIDENTS if it.run == run]
    return "; ".join(f"{it.label}, {it.begins * duration_s:.0f}–{it.ends * duration_s:.0f} s" for it in found)
