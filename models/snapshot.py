"""The routing snapshot (topic `routecast.scores`): what a router needs to know of the targets of one service, and no more."""

from __future__ import annotations

from typing import Literal

import msgspec

from routecast.models.errors import DecodeError
from routecast.models.experiments import Experiment
from routecast.models.rows import MOST_REGIONS

State = Literal["ok", "degraded", "open", "recovering", "rate_limited", "drained", "unknown"]

QUANTILES = tuple((2 * i + 1) / 32 for i in range(16))
"""The sixteen probabilities whose quantiles are published: midpoints, so that each stands for 1/16 of the requests."""

MAX_TARGETS = 10_000
_SMALLEST, _LARGEST = 1e-9, 1e9
"""Bounds of what is divided by and multiplied with, so that no product overflows."""
_LATEST_MS = 1e14
_LONGEST_PERIOD_MS = 3.6e6
_LONGEST_MS = 864e5
_WIDEST = 10.0
"""Largest `spread`: what is sampled with it must still be a number."""
_LONGEST_NAME = 256


class TargetScore(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One target as published. Symbols of the algorithm in brackets; times are seconds unless the name says otherwise."""

    id: str
    state: State = "unknown"
    ramp: float = 1.0
    """0..1: how much of its planned share a recovering target takes."""
    time_s: float
    """[T] Time of an average request of the service."""
    service_s: float
    """[S] Mean time of a request that meets no queue."""
    capacity: float
    """[ĉ] Concurrent requests it serves without making them wait, fitted."""
    share: float
    """[x] Planned share of the service's traffic, 0..1."""
    in_flight: float
    """Requests open when the snapshot was built."""
    in_flight_mean: float
    """[n*] Time-averaged requests in flight."""
    oldest_open_ms: float = 0.0
    cost_s: float
    """[C] Expected cost of a success, in seconds."""
    success: float
    """[s] One-sided 80 % lower bound of the success ratio."""
    fail_s: float
    """[T_fail] Mean time of a failure."""
    quality: float
    quality_n: float = 0.0
    """Quality observations behind `quality`; 0 = the configured prior."""
    usd: float = 0.0
    """Expected price of an average request, USD: the configured one, corrected by what requests were reported to cost."""
    headroom: float = 1.0
    """0..1: free part of its rate limits."""
    weight: float = 1.0
    score: float = 0.0
    load: float = 1.0
    """Factor current_load, 0..1."""
    history: float = 0.0
    real_time: float = 0.0
    spread: float = 0.0
    """Standard deviation of what is believed of ln S; wide again after a change."""
    n: float = 0.0
    """Completed requests behind the estimates, decayed."""
    ttft_ms: tuple[float, ...] = ()
    """Quantiles of the time to first chunk at `QUANTILES`; where a target never streamed, of the whole duration. Empty: no evidence."""
    tpot_ms: tuple[float, ...] = ()
    """Quantiles of the time per output token; empty where a target never streamed."""
    newcomer: bool = False
    """Next to nothing is known of it, and much of the others: its share is capped, its quantiles are those of the same model elsewhere."""
    regions_ms: dict[str, float] = {}
    """By region of the caller: what the time to first chunk differs by from that of all callers, ms. At most eight."""


class RoutingSnapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Scores of one service. `(term, seq)` orders snapshots."""

    service: str
    term: int
    seq: int
    at_ms: float
    period_ms: float
    rate_per_s: float
    """[λ] First attempts per second, all routers together."""
    routers: int
    t_ref_s: float
    """[T_ref] Median of T over the targets."""
    output_tokens: float = 0.0
    """Expected output tokens of a request; 0 = unknown."""
    input_tokens: float = 0.0
    policy: str = ""
    """The policy that operators set, or that evidence chose for `auto`; empty: each router's configured one."""
    elected: str = ""
    """Why evidence chose `policy`; empty: it did not."""
    experiment: Experiment | None = None
    """What runs on the service."""
    targets: tuple[TargetScore, ...]

    @property
    def version(self) -> tuple[int, int]:
        """(term, seq)."""
        return (self.term, self.seq)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(RoutingSnapshot)


def encode_snapshot(snapshot: RoutingSnapshot) -> bytes:
    """JSON of a snapshot; equal snapshots give equal bytes."""
    return _encoder.encode(snapshot)


def decode_snapshot(data: bytes) -> RoutingSnapshot:
    """The snapshot of a record, checked and bounded.

    Raises DecodeError when a field is missing, not finite or outside its range: a router ignores such a record.
    """
    try:
        snapshot = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise DecodeError(f"not a routing snapshot: {error}") from error
    if len(snapshot.targets) > MAX_TARGETS:
        raise DecodeError(f"snapshot of service {snapshot.service!r} has {len(snapshot.targets)} targets, more than {MAX_TARGETS}")
    for target in snapshot.targets:
        _check(snapshot.service, target)
    figures = (snapshot.rate_per_s, snapshot.routers, snapshot.t_ref_s, snapshot.output_tokens, snapshot.input_tokens)
    if not (0 <= snapshot.at_ms <= _LATEST_MS and 0 < snapshot.period_ms <= _LONGEST_PERIOD_MS and all(0 <= v < _LARGEST for v in figures)):
        raise DecodeError(f"snapshot of service {snapshot.service!r}: time, period, rate, routers, reference or tokens out of range")
    if max(len(snapshot.policy), len(snapshot.elected)) > _LONGEST_NAME:
        raise DecodeError(f"snapshot of service {snapshot.service!r}: the name of its policy, or why, is longer than {_LONGEST_NAME} characters")
    return snapshot


def _check(service: str, target: TargetScore) -> None:
    positive = (target.time_s, target.service_s, target.capacity, target.cost_s)
    ratios = (target.ramp, target.share, target.success, target.quality, target.headroom, target.score, target.load, target.history, target.real_time)
    waiting = (target.in_flight, target.in_flight_mean, target.oldest_open_ms)
    others = (*waiting, target.fail_s, target.quality_n, target.usd, target.weight, target.n)
    bounded = all(0 <= v <= 1 for v in ratios) and all(0 <= v < _LARGEST for v in others) and 0 <= target.spread <= _WIDEST
    if not (all(_SMALLEST < v < _LARGEST for v in positive) and bounded):
        raise DecodeError(f"snapshot of service {service!r}: target {target.id!r} has a figure out of range")
    if len(target.regions_ms) > MOST_REGIONS or not all(abs(ms) <= _LONGEST_MS and len(name) <= _LONGEST_NAME for name, ms in target.regions_ms.items()):
        raise DecodeError(f"snapshot of service {service!r}: {target.id!r} has offsets of regions out of range, or more than {MOST_REGIONS}")
    for quantiles in (target.ttft_ms, target.tpot_ms):
        if quantiles and (len(quantiles) != len(QUANTILES) or list(quantiles) != sorted(quantiles) or not 0 <= quantiles[0] <= quantiles[-1] <= _LONGEST_MS):
            raise DecodeError(f"snapshot of service {service!r}: quantiles of {target.id!r} must be {len(QUANTILES)} rising values of at most a day, or none")
