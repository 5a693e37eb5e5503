"""When requests arrive, at which router, and how much work each one is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SERVICE_SIGMA = 0.84
"""Standard deviation of ln(service time) over the requests of one target."""
FIXED_SHARE = 0.35
"""Share of a recorded request's service time that does not depend on its output tokens."""
FIXED_SIGMA = 0.69
PER_TOKEN_SIGMA = 0.35


@dataclass(frozen=True, eq=False)
class Requests:
    """Every first attempt of a run, in order of arrival."""

    at_ms: Floats
    router: Ints
    demand: Floats
    """Service time in units of the mean at the target; mean 1 over all requests."""

    def __len__(self) -> int:
        return len(self.at_ms)


@dataclass(frozen=True, eq=False)
class Traffic:
    """A recorded stretch of traffic."""

    offsets_s: Floats
    """Arrival times since the first one, in rising order."""
    output_tokens: Floats
    compression: float = 1.0
    """By how much time runs faster than it was recorded."""

    @property
    def span_s(self) -> float:
        """How long the stretch lasts after compression, the pause before it would repeat included."""
        n = len(self.offsets_s)
        return float(self.offsets_s[-1]) * n / (n - 1) / self.compression


def poisson(rng: np.random.Generator, pieces: Sequence[tuple[float, float, float]]) -> Floats:
    """Arrival times in ms of a Poisson process whose rate is constant on each piece `(from_s, until_s, rate_per_s)`."""
    arrivals = [np.sort(rng.uniform(from_s, until_s, rng.poisson(rate_per_s * (until_s - from_s)))) for from_s, until_s, rate_per_s in pieces]
    return np.concatenate(arrivals) * 1000.0


def lognormal_demand(rng: np.random.Generator, n: int, sigma: float = SERVICE_SIGMA) -> Floats:
    """`n` lognormal draws of mean 1."""
    return np.exp(rng.normal(-sigma * sigma / 2, sigma, n))


def superposed(rng: np.random.Generator, traffic: Traffic, rate_per_s: float, duration_s: float) -> tuple[Floats, Floats]:
    """Arrival times in ms and demands of recorded traffic, brought to a rate by laying shifted copies over each other.

    A copy begins at a random point of the recording and repeats it until the end. What is missing to the rate after the last full copy
    is a copy of which each request is kept with the probability that is left.
    """
    copies = rate_per_s * traffic.span_s / len(traffic.offsets_s)
    kept = [1.0] * int(copies) + [copies % 1.0]
    parts = [_shifted(rng, traffic, keep, duration_s) for keep in kept]
    at_s = np.concatenate([part[0] for part in parts])
    order = np.argsort(at_s, kind="stable")
    tokens = np.concatenate([part[1] for part in parts])[order]
    return at_s[order] * 1000.0, _token_demand(rng, tokens / traffic.output_tokens.mean())


def _shifted(rng: np.random.Generator, traffic: Traffic, keep: float, duration_s: float) -> tuple[Floats, Floats]:
    span_s = traffic.span_s
    start_s = rng.uniform(0.0, span_s)
    rounds = math.ceil((duration_s + start_s) / span_s)
    offsets_s = traffic.offsets_s / traffic.compression
    at_s = np.concatenate([offsets_s + k * span_s for k in range(rounds)]) - start_s
    tokens = np.tile(traffic.output_tokens, rounds)
    inside = (at_s >= 0.0) & (at_s < duration_s) & (rng.random(len(at_s)) < keep)
    return at_s[inside], tokens[inside]


def _token_demand(rng: np.random.Generator, relative_tokens: Floats) -> Floats:
    n = len(relative_tokens)
    fixed = lognormal_demand(rng, n, FIXED_SIGMA)
    per_token = lognormal_demand(rng, n, PER_TOKEN_SIGMA)
    return FIXED_SHARE * fixed + (1.0 - FIXED_SHARE) * relative_tokens * per_token
