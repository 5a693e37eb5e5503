"""Scenes of a public trace at the ten recorded providers of the demonstration, each behind its slots and with its trouble.

What is recorded: arrivals, tokens, and the providers' times, tails and refusals. What is ours, and labelled so: the slots, the compression of time
that makes the load, and the injected troubles.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.backtest.described import spell_rows, target_row
from routecast.analytics.backtest.scene import Requests, Scene, SceneTarget
from routecast.analytics.backtest.spells import Spell
from routecast.analytics.capacity.service_law import Law
from routecast.analytics.simulation.recorded import Answer
from routecast.backtest.input import Input, digest
from routecast.backtest.traces import Trace, TraceName
from routecast.demo.demonstration import INCIDENTS, LOAD, ROUTERS, SERVICE, SLOTS, STORM, THRESHOLDS, Injected
from routecast.models.backtest import Quality, Source
from routecast.models.config import Config, TargetConfig
from routecast.recordings import Run, llmperf

Floats = NDArray[np.float64]

_START_MS = 1_700_000_000_000.0


def trace_played(name: TraceName, trace: Trace, seeds: Sequence[int], load: float = LOAD) -> Input:
    """The trace, compressed in time until it asks for `load` of what the providers' slots can do, laid out for every seed."""
    runs = llmperf()
    per_ms = sum(slots / _mean_ms(run, trace.output_tokens) for slots, run in zip(SLOTS, runs, strict=True))
    span_ms = (len(trace.offsets_s) - 1) / (load * per_ms)
    compression = float(trace.offsets_s[-1]) * 1000.0 / span_ms
    scenes = tuple(_scene(trace, runs, compression, seed) for seed in seeds)
    requests, targets = scenes[0].requests, tuple(TargetConfig(id=run.name, provider=run.provider, model=run.model, service=SERVICE) for run in runs)
    source = Source(
        kind="trace", name=name, digest=_digest(trace), service=SERVICE, from_ms=requests.start_ms, until_ms=requests.end_ms, requests=len(requests),
        routers=ROUTERS,
    )  # fmt: skip
    rows = tuple(target_row(target, scenes[0], answers=len(_served(run)), streamed=True) for run, target in zip(runs, scenes[0].targets, strict=True))
    ours = (
        Quality(what="providers behind slots of ours", count=len(runs), meaning="how many calls each serves at once is not recorded"),
        Quality(
            what="injected troubles", count=len(INCIDENTS) - 1, meaning="outage, slow-down and partial failure are ours, the storm of refusals is recorded"
        ),
        Quality(what="times faster than recorded", count=round(compression), meaning=f"{compression:.2f}, until the load is {load:.0%}"),
    )
    return Input(source, Config(target=targets, thresholds=THRESHOLDS), scenes, rows, spell_rows(scenes[0]), ours, None)


def _served(run: Run) -> list[Answer]:
    return [answer for answer in run.answers if not answer.rate_limited]


def _mean_ms(run: Run, output_tokens: Floats) -> float:
    tokens = float(output_tokens.mean())
    return float(np.mean([answer.service_ms(tokens) for answer in _served(run)]))


def _scene(trace: Trace, runs: Sequence[Run], compression: float, seed: int) -> Scene:
    rng, n = np.random.default_rng([seed, 11]), len(trace.offsets_s)
    at_ms = trace.offsets_s * 1000.0 / compression
    requests = Requests(_START_MS, at_ms, rng.integers(0, ROUTERS, n), trace.input_tokens, trace.output_tokens, {})
    span_ms = float(at_ms[-1])
    return Scene(SERVICE, requests, tuple(_target(run, slots, trace, span_ms, rng) for run, slots in zip(runs, SLOTS, strict=True)), seed)


def _target(run: Run, slots: int, trace: Trace, span_ms: float, rng: np.random.Generator) -> SceneTarget:
    """Every request meets one of the recorded answers, at its own length."""
    served, n = _served(run), len(trace.offsets_s)
    ttft_ms, tpot_ms = np.array([(answer.ttft_ms, answer.tpot_ms) for answer in served])[rng.integers(0, len(served), n)].T
    alone_ms = np.maximum(1.0, ttft_ms + tpot_ms * (trace.output_tokens - 1.0))
    return SceneTarget(
        id=run.name, law=Law(float(slots), 1.0, 0.0), alone_ms=alone_ms, ttft_share=np.minimum(1.0, ttft_ms / alone_ms), luck=rng.random(n),
        usd=np.full(n, np.nan), quality=None, spells=tuple(_spell(it, run, span_ms) for it in INCIDENTS if it.run == run.name),
        retry_after_ms=1_000.0,
    )  # fmt: skip


def _spell(it: Injected, run: Run, span_ms: float) -> Spell:
    from_ms, until_ms = it.begins * span_ms, it.ends * span_ms
    if it is STORM:
        return Spell("refusing", from_ms, until_ms, 1.0 - len(_served(run)) / len(run.answers), 0)
    if it.condition.slowdown > 1:
        return Spell("slow", from_ms, until_ms, it.condition.slowdown, 0)
    return Spell("failing", from_ms, until_ms, it.condition.fail_ratio, 0)


def _digest(trace: Trace) -> str:
    if trace.files:
        return sha256("".join(digest(path) for path in trace.files).encode()).hexdigest()[:12]
    return sha256(trace.offsets_s.tobytes() + trace.output_tokens.tobytes()).hexdigest()[:12]
