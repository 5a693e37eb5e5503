"""What was recorded beside what the simulation makes of the same policy: how far the simulation can be believed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from routecast.analytics.backtest.request_log import RecordedTraffic
from routecast.analytics.backtest.scene import Scene
from routecast.analytics.capacity.attempts import OK, REFUSED
from routecast.analytics.simulation.trial import FAILURE_COST_S
from routecast.models.backtest import Fidelity, PolicyAnswer


def fidelity(traffic: RecordedTraffic, scene: Scene, answers: Sequence[PolicyAnswer], configuration: str) -> Fidelity:
    """The recorded requests that count in the scene, and the simulated policy that decided them, under the configuration of the recording."""
    same = next((it for it in answers if it.policy == traffic.policy and it.configuration == configuration), None)
    recorded = _recorded(traffic, scene)
    simulated = same and {name: value for name in recorded if (value := getattr(same.figures, name)) is not None}
    return Fidelity(policy=traffic.policy or "unknown", recorded=recorded, simulated=simulated or None)


def _recorded(traffic: RecordedTraffic, scene: Scene) -> dict[str, float]:
    """Metrics of the recorded requests, each from its first start to the end of its last attempt."""
    from_ms = scene.requests.start_ms + float(scene.requests.at_ms[scene.first])
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}
    answered: dict[str, float] = {}
    for row in traffic.rows:
        if row.start_ms >= from_ms and (row.first or row.request in begun):
            begun.setdefault(row.request, row.start_ms)
            end_ms = row.start_ms + row.duration_ms
            ended[row.request] = max(end_ms, ended.get(row.request, 0.0))
            if row.end == OK:
                answered[row.request] = min(end_ms, answered.get(row.request, end_ms))
    times = np.array([answered[name] - begun[name] for name in answered])
    lost = np.array([ended[name] - begun[name] + 1000.0 * FAILURE_COST_S for name in begun if name not in answered])
    if not len(times):
        return {}
    ends = np.array([row.end for row in traffic.rows if row.start_ms >= from_ms])
    p50, p95, p99 = np.quantile(times, [0.5, 0.95, 0.99]).tolist()
    return {
        "mean_ms": float(times.mean()), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99,
        "time_to_success_ms": float(np.concatenate([times, lost]).mean()), "failed_ratio": len(lost) / len(begun),
        "rate_limited_ratio": float((ends == REFUSED).mean()),
    }  # fmt: skip
