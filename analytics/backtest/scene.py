"""What every policy meets alike: the requests, and how long each of them would take at each target, whoever chooses.

Times alone, luck and spells are drawn once per seed, so that policies differ by their choices and by nothing else (common random numbers).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.backtest.fitted import Fits, Fitted
from routecast.analytics.backtest.request_log import Asked, RecordedTraffic, Row
from routecast.analytics.backtest.spells import Spell
from routecast.analytics.capacity.replayed import Arrivals, arrivals_of
from routecast.analytics.capacity.service_law import Law
from routecast.analytics.capacity.target_fit import drawn
from routecast.analytics.fleet.price import list_usd
from routecast.models.config import TargetConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_ROUTERS = 64
WARM_UP = 0.05
"""Share of the requests, the first, that count for nothing: routers know nothing and the targets are empty when they come."""


@dataclass(frozen=True, eq=False)
class Requests:
    """The requests in the order in which they come."""

    start_ms: float
    """When the first one comes, epoch ms."""
    at_ms: Floats
    """Since the first."""
    router: Ints
    input_tokens: Floats
    output_tokens: Floats
    asked: Mapping[int, Asked]
    """What requests asked for, by number; those that asked for nothing are left out."""

    def __len__(self) -> int:
        return len(self.at_ms)

    @property
    def routers(self) -> int:
        """How many routers there are."""
        return int(self.router.max()) + 1

    @property
    def end_ms(self) -> float:
        """When the last one comes, epoch ms."""
        return self.start_ms + float(self.at_ms[-1])


@dataclass(frozen=True, eq=False)
class SceneTarget:
    """One target in one seed; arrays have an entry for each request."""

    id: str
    law: Law
    alone_ms: Floats
    """What the answer takes alone."""
    ttft_share: Floats
    """Share of that until the first chunk."""
    luck: Floats
    """0..1: whether the request fails where some do, and which failure it meets."""
    usd: Floats
    """What an answer costs; not a number where nobody knows."""
    quality: float | None
    spells: tuple[Spell, ...] = ()
    fail_ratio: float = 0.0
    """Outside spells."""
    fail_ms: Floats | None = None
    """How long failures take, as seen; None: no time."""
    timeouts: float = 0.0
    """Share of the failures that are timeouts."""
    retry_after_ms: float = 1_000.0
    requests_per_s: float | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """Requests and targets of one seed."""

    service: str
    requests: Requests
    targets: tuple[SceneTarget, ...]
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        """Ids of the targets."""
        return tuple(target.id for target in self.targets)

    @property
    def first(self) -> int:
        """Number of the first request that counts."""
        return int(WARM_UP * len(self.requests))

    def of(self, names: Sequence[str]) -> Scene:
        """The same with these targets alone, in this order."""
        by_name = {target.id: target for target in self.targets}
        return Scene(self.service, self.requests, tuple(by_name[name] for name in names), self.seed)


def recorded_requests(traffic: RecordedTraffic, most: int) -> tuple[Requests, Ints]:
    """The newest arrivals, at most so many, with tokens as recorded; and which of all arrivals they are."""
    arrived = np.flatnonzero(traffic.attempts.first)
    kept = arrived[-most:]
    rows = [traffic.rows[i] for i in kept.tolist()]
    start_ms = rows[0].start_ms
    asked = {number: traffic.asked(row) for number, row in enumerate(rows)}
    tokens = (traffic.attempts.input_tokens[kept], traffic.attempts.output_tokens[kept])
    at_ms = np.array([row.start_ms - start_ms for row in rows])
    requests = Requests(start_ms, at_ms, _routers(rows), *tokens, {number: it for number, it in asked.items() if it != Asked()})
    return requests, np.arange(len(arrived) - len(kept), len(arrived))


def _routers(rows: Sequence[Row]) -> Ints:
    """A router for each emitter, in the order of their names."""
    number = {name: i % MOST_ROUTERS for i, name in enumerate(sorted({row.emitter for row in rows}))}
    return np.array([number[row.emitter] for row in rows], np.int64)


def recorded_scene(service: str, traffic: RecordedTraffic, fits: Fits, configs: Mapping[str, TargetConfig], most: int, seed: int) -> Scene:
    """A scene that the recording leaves possible: laws, spreads and failures are drawn by how likely they are."""
    requests, kept = recorded_requests(traffic, most)
    arrivals = arrivals_of(fits.attempts, [one.fit for one in fits.targets], seed)
    arrivals = Arrivals(*(column[kept] for column in arrivals))
    rng = np.random.default_rng([seed, 7])
    requests = Requests(requests.start_ms, requests.at_ms, requests.router, arrivals.input_tokens, arrivals.output_tokens, requests.asked)
    return Scene(service, requests, tuple(_target(one, arrivals, configs.get(one.target), requests.start_ms, rng) for one in fits.targets), seed)


def _target(one: Fitted, arrivals: Arrivals, config: TargetConfig | None, start_ms: float, rng: np.random.Generator) -> SceneTarget:
    fit = drawn(one.fit, rng)
    place = np.minimum((arrivals.rank * len(fit.spread)).astype(np.int64), len(fit.spread) - 1)
    expected_ms = fit.work.of(arrivals.input_tokens, arrivals.output_tokens)
    return SceneTarget(
        id=one.target, law=fit.law, alone_ms=expected_ms * fit.spread[place], ttft_share=_ttft_share(one, arrivals, expected_ms),
        luck=rng.random(len(place)), usd=_usd(one, arrivals, config), quality=one.quality if one.quality is not None or config is None else config.quality,
        spells=tuple(spell._replace(from_ms=spell.from_ms - start_ms, until_ms=spell.until_ms - start_ms) for spell in one.spells),
        fail_ratio=fit.fail_ratio, fail_ms=one.fail_ms if len(one.fail_ms) else None, timeouts=one.timeouts, retry_after_ms=one.retry_after_ms,
        requests_per_s=fit.requests_per_s,
    )  # fmt: skip


def _ttft_share(one: Fitted, arrivals: Arrivals, expected_ms: Floats) -> Floats:
    if one.first_chunk is None:
        return np.ones(len(expected_ms))
    return np.clip((one.first_chunk.fixed_ms + one.first_chunk.per_input_ms * arrivals.input_tokens) / expected_ms, 0.0, 1.0)


def _usd(one: Fitted, arrivals: Arrivals, config: TargetConfig | None) -> Floats:
    """By the configured prices, else as recorded."""
    if config is not None and (config.input_usd_per_mtok or config.output_usd_per_mtok):
        return np.array([list_usd(config, *tokens) for tokens in zip(arrivals.input_tokens.tolist(), arrivals.output_tokens.tolist(), strict=True)])
    tokens = arrivals.input_tokens + arrivals.output_tokens
    if one.usd_per_token is not None and tokens.any():
        return one.usd_per_token * tokens
    return np.full(len(tokens), math.nan if one.usd_per_request is None else one.usd_per_request)
