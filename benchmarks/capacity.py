"""What an estimate of capacity costs: twenty targets, half an hour of a busy service."""

from __future__ import annotations

import time

import numpy as np
from core import Row
from study_capacity import noted

from routecast.analytics.capacity.attempts import Attempts
from routecast.analytics.capacity.capacity import REQUESTS, capacity_of
from routecast.analytics.capacity.capacity_rows import ArrivalRows, TargetRows, capacity_of_rows
from routecast.analytics.simulation.arrivals import lognormal_demand
from routecast.analytics.simulation.references import orc
from routecast.analytics.simulation.trial import run
from routecast.analytics.simulation.worlds import build

_AIM_S = 20.0
_LIMIT_MS = 1000.0


def rows() -> list[Row]:
    """CPU time of both estimates."""
    world = build("fifo", seed=1, load=0.65)
    calls = noted(lambda make: run(world, orc, seed=1, make=make))
    names = tuple(f"target-{i:02}" for i in range(len(world.targets)))
    unknown = np.full(len(calls), np.nan)
    tokens = np.round(200.0 * lognormal_demand(np.random.default_rng(1), len(calls)))
    seen = Attempts(
        names, calls[:, 0].astype(np.int64), calls[:, 1], calls[:, 2] - calls[:, 1], np.zeros(len(calls), np.int64), np.ones(len(calls), np.bool_), unknown,
        tokens, unknown,
    )  # fmt: skip
    began_s = time.process_time()
    found = capacity_of(seen, service="chat", at_ms=0.0, limit_ms=_LIMIT_MS)
    of_events_s = time.process_time() - began_s
    slots = np.unique(calls[:, 1] // 500 * 500, return_counts=True)
    targets = [
        TargetRows(name, float(spec.slots), elastic=False, service_s=spec.mean_s, sigma=0.84, n=1000.0) for name, spec in zip(names, world.targets, strict=True)
    ]
    began_s = time.process_time()
    capacity_of_rows(targets, ArrivalRows(slots[0].astype(np.int64), slots[1].astype(np.int64)), service="chat", at_ms=0.0, limit_ms=_LIMIT_MS)
    of_rows_s = time.process_time() - began_s
    what = f"20 targets, {len(calls):,} attempts, {REQUESTS:,} played"
    return [
        Row(f"capacity from events, CPU, {what}", f"{of_events_s:.1f} s, {found.sustainable_per_min or 0:,.0f} requests/min", f"≤ {_AIM_S:.0f} s"),
        Row("capacity from the leader's rows, CPU", f"{of_rows_s:.1f} s", f"≤ {_AIM_S:.0f} s"),
    ]
