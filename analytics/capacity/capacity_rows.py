"""Capacity from what a leader keeps anyway: counts of half-seconds and its own fits, no events.

Cheaper and coarser than `capacity_of`: a target is a queue with the fitted slots whatever its law, its answers are lognormal around one mean, tokens
play no part, arrivals are even within their half-second, and there are at most the ten minutes of kept panes. It errs where answers slow down together
(processor sharing, batches): what it calls a wait is then late to be seen. For a decision that costs money, run `routecast capacity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.capacity.capacity import LEAST_REQUESTS, REQUESTS, Evidence, estimate_of, refusal
from routecast.analytics.capacity.replayed import Arrivals
from routecast.analytics.capacity.scale import load_trend
from routecast.analytics.capacity.service_law import Law, TargetFit, Work
from routecast.analytics.capacity.sustainable import Told
from routecast.analytics.capacity.target_fit import LEAST_ANSWERS
from routecast.models.capacity import Capacity
from routecast.models.rows import SLOT_MS

Ints = NDArray[np.int64]

_MOST_POINTS = 1000
"""Quantiles that stand for a lognormal: as many as there are answers, so that resampling them is as uncertain as the answers are."""
_BEYOND = 1.6
"""An elastic target has a bound anywhere, in the logarithm, from what was seen at once to so many times that."""
_NEIGHBOURS = np.array([[1 / 1.15, 1.0, 1.15], [0.25, 0.5, 0.25]])
"""The fitted capacity comes from a grid in steps of a fifth: it and what is nearer to it than to its neighbours, with how likely they are."""


class TargetRows(NamedTuple):
    """What the leader's fits say of one target. Plain data."""

    target: str
    capacity: float
    """Fitted or configured concurrent requests."""
    elastic: bool
    """Whether no bound was seen: `capacity` then is what was seen at once."""
    service_s: float
    """Mean time of an answer that meets no queue."""
    sigma: float
    """Standard deviation of its logarithm."""
    n: float
    """Answers behind it."""
    fail_ratio: float = 0.0
    fail_s: float = 0.0
    requests_per_s: float | None = None
    """Rate limit; None: none."""


class ArrivalRows(NamedTuple):
    """First attempts of a service by half-second, times rising. Plain data."""

    slot_ms: Ints
    arrived: Ints


def capacity_of_rows(
    targets: Sequence[TargetRows], rows: ArrivalRows, *, service: str, at_ms: float, limit_ms: float, seed: int = 0, requests: int = REQUESTS,
    tell: Told | None = None,
) -> Capacity:  # fmt: skip
    """The capacity of a service from rows; without enough of them a record that says what is missing. To be run in a process of its own."""
    evidence = evidence_of_rows(targets, rows, seed=seed, requests=requests)
    if isinstance(evidence, str):
        minutes = _minutes(rows)
        return refusal(service, at_ms, limit_ms, int(rows.arrived.sum()) / minutes if minutes else 0.0, evidence)
    return estimate_of(evidence, service=service, at_ms=at_ms, limit_ms=limit_ms, seed=seed, tell=tell)


def evidence_of_rows(targets: Sequence[TargetRows], rows: ArrivalRows, *, seed: int = 0, requests: int = REQUESTS) -> Evidence | str:
    """Fits and arrivals, for `estimate_of` and `what_if`; or, in words, what is missing."""
    total, known = int(rows.arrived.sum()), [target for target in targets if target.n >= LEAST_ANSWERS]
    if not known:
        return f"no target has the {LEAST_ANSWERS} answers that its fit needs"
    if total < LEAST_REQUESTS:
        return f"{total} requests in the last {_minutes(rows):.0f} minutes are too few, {LEAST_REQUESTS} are needed"
    unknown = tuple(target.target for target in targets if target.n < LEAST_ANSWERS)
    arrivals = _arrivals(rows, seed)
    return Evidence(tuple(_fit(target) for target in known), arrivals.newest(requests), load_trend(arrivals.at_ms), unknown)


def _minutes(rows: ArrivalRows) -> float:
    return (float(rows.slot_ms[-1] - rows.slot_ms[0]) + SLOT_MS) / 60_000.0 if len(rows.slot_ms) else 0.0


def _fit(target: TargetRows) -> TargetFit:
    capacity, points = max(1.0, target.capacity), int(min(_MOST_POINTS, target.n))
    spread = np.exp(target.sigma * np.array([NormalDist().inv_cdf((i + 0.5) / points) for i in range(points)]))
    slots, weights = (np.geomspace(capacity, _BEYOND * capacity, 5), np.ones(5)) if target.elastic else (capacity * _NEIGHBOURS[0], _NEIGHBOURS[1])
    slots = np.maximum(1.0, np.round(slots))
    return TargetFit(
        target=target.target, law=Law(float(slots[len(slots) // 2]), 1.0, 0.0), work=Work(target.service_s * 1000.0, 0.0, 0.0), spread=spread / spread.mean(),
        n=int(target.n), seen=max(1, int(capacity)), shown=0.0 if target.elastic else 1.0, laws=np.array([(c, 1.0, 0.0) for c in slots.tolist()]),
        weights=weights / weights.sum(), fail_ratio=target.fail_ratio, fail_ms=target.fail_s * 1000.0, requests_per_s=target.requests_per_s,
    )  # fmt: skip


def _arrivals(rows: ArrivalRows, seed: int) -> Arrivals:
    rng = np.random.default_rng([seed, 4])
    at_ms = np.repeat(rows.slot_ms.astype(float), rows.arrived)
    at_ms = np.sort(at_ms + SLOT_MS * rng.random(len(at_ms)))
    none = np.zeros(len(at_ms))
    return Arrivals(at_ms - at_ms[0], none, none, rng.random(len(at_ms)))
