"""How much load a service can take: its recorded arrivals played against fitted targets, under the product's own rule.

`capacity_of` is a pure function of plain data, to be run off the leader's loop: some 0.3 s for the fit of each target and ten seconds for
some seven hundred thousand simulated requests. Equal arguments give equal results.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.capacity.attempts import OK, TIMEOUT, Attempts
from routecast.analytics.capacity.daily_limit import Used, hours_left
from routecast.analytics.capacity.erlang_c import sustainable_per_s
from routecast.analytics.capacity.replayed import Arrivals, Replayed, arrivals_of, replay
from routecast.analytics.capacity.scale import LoadTrend, load_trend, scale_hint
from routecast.analytics.capacity.service_law import TargetFit
from routecast.analytics.capacity.sustainable import Found, P, Search, Told, found
from routecast.analytics.capacity.target_fit import LEAST_ANSWERS, agreed, fit_target, work_ms
from routecast.models.capacity import Capacity, ScaleHint, TargetCapacity
from routecast.models.config import TargetConfig

Floats = NDArray[np.float64]

LEAST_REQUESTS: Final = 300
"""Answered requests without which nothing is said."""
REQUESTS: Final = 12_000
"""Newest arrivals that are played."""
_FITTED_SHARE = 0.5
"""Of the work that the fits take, for progress."""
_MUCH = 0.2


class Evidence(NamedTuple):
    """What an estimate is made from."""

    fits: tuple[TargetFit, ...]
    arrivals: Arrivals
    """The newest, to be played."""
    trend: LoadTrend
    """Of all of them."""
    unknown: tuple[str, ...] = ()
    """Targets of which too little is known: they count for nothing."""
    wait_p95_ms: float | None = None
    """What was waited, where events tell it: the time beyond what the answer takes alone."""


def evidence_of(
    attempts: Attempts, configs: Mapping[str, TargetConfig], *, seed: int = 0, requests: int = REQUESTS, tell: Told | None = None
) -> Evidence | str:
    """Fits and arrivals; or, in words, what is missing."""
    answers = int(((attempts.end == OK) | (attempts.end == TIMEOUT)).sum())
    if answers < LEAST_REQUESTS:
        return f"{answers} answered requests are too few, {LEAST_REQUESTS} are needed: record for longer"
    fits: list[TargetFit] = []
    unknown: list[str] = []
    for number, name in enumerate(attempts.names):
        fit = fit_target(attempts, number, configs.get(name))
        if fit is None:
            unknown.append(name)
        else:
            fits.append(fit)
        if tell is not None:
            tell(_FITTED_SHARE * (number + 1) / len(attempts.names))
    if not fits:
        return f"no target has the {LEAST_ANSWERS} answers that its fit needs: record for longer"
    fits = agreed(fits)
    arrivals = arrivals_of(attempts, fits, seed)
    return Evidence(tuple(fits), arrivals.newest(requests), load_trend(arrivals.at_ms), tuple(unknown), _waited_p95_ms(attempts, fits))


def capacity_of(
    attempts: Attempts, *, service: str, at_ms: float, limit_ms: float, configs: Mapping[str, TargetConfig] | None = None,
    used: Mapping[str, Used] | None = None, seed: int = 0, requests: int = REQUESTS, tell: Told | None = None,
) -> Capacity:  # fmt: skip
    """The capacity of a service from its attempts; without enough of them a record that says what is missing.

    Args:
        attempts: of half an hour, say; the newest are fitted and played.
        service: whose.
        at_ms: of the estimate, epoch ms.
        limit_ms: time that 95 % of the requests may wait at most.
        configs: targets by id, for limits and configured capacities.
        used: per target, what of today's limits is used; where it is missing, as if all day had been like now.
        seed: of everything random.
        requests: newest arrivals that are played: time grows with them.
        tell: progress, 0..1.
    """
    configs = configs or {}
    evidence = evidence_of(attempts, configs, seed=seed, requests=requests, tell=tell)
    if isinstance(evidence, str):
        return refusal(service, at_ms, limit_ms, _per_min(attempts), evidence)
    estimate = estimate_of(evidence, service=service, at_ms=at_ms, limit_ms=limit_ms, seed=seed, tell=_rest(tell))
    hours = _hours(attempts, configs, used or {}, at_ms)
    return estimate.model_copy(update={"targets": tuple(row.model_copy(update={"limit_in_hours": hours.get(row.target)}) for row in estimate.targets)})


def estimate_of(evidence: Evidence, *, service: str, at_ms: float, limit_ms: float, seed: int = 0, tell: Told | None = None) -> Capacity:
    """The capacity from fits and arrivals."""
    fits, arrivals, trend, _, waited_ms = evidence
    search = Search(arrivals, limit_ms)
    wait_ms = replay(fits, arrivals, seed=seed).wait_quantile_ms(P) if waited_ms is None else waited_ms
    result = found(search, fits, seed, tell)
    then = replay(fits, arrivals, result.load, seed=seed)
    per_min, most = arrivals.per_min, sum(fit.law.most for fit in fits)
    service_s = most / sum(fit.law.most / _alone_ms(fit, arrivals) for fit in fits) / 1000.0
    unbounded = sum(fit.law.most for fit in fits if not fit.bounded) / most
    return Capacity(
        service=service, at_ms=at_ms, now_per_min=per_min, sustainable_per_min=result.load * per_min, low_per_min=result.low * per_min,
        high_per_min=result.high * per_min if unbounded <= _MUCH else None, erlang_c_per_min=sustainable_per_s(most, service_s, limit_ms / 1000.0) * 60.0,
        limit_ms=limit_ms, wait_p95_ms=_finite(wait_ms), reason=_reason(evidence), targets=_rows(evidence, result, then),
        scale=scale_hint(trend, fits, search, result.load * per_min, seed),
    )  # fmt: skip


def refusal(service: str, at_ms: float, limit_ms: float, per_min: float, reason: str) -> Capacity:
    """A record that only says why there is none."""
    hint = ScaleHint(action="none", reason="too little is known")
    return Capacity(service=service, at_ms=at_ms, now_per_min=per_min, limit_ms=limit_ms, reason=reason, scale=hint)


def _rows(evidence: Evidence, result: Found, then: Replayed) -> tuple[TargetCapacity, ...]:
    fits, arrivals, _, unknown, _ = evidence
    minutes = float(arrivals.at_ms[-1]) / result.load / 60_000.0
    known = [_row(fit, arrivals, [again[i] for again in result.drawn], then.attempts[i] / minutes) for i, fit in enumerate(fits)]
    return (*known, *(TargetCapacity(target=name) for name in unknown))


def _row(fit: TargetFit, arrivals: Arrivals, drawn: Sequence[TargetFit], per_min: float) -> TargetCapacity:
    alone = [_alone_ms(again, arrivals) for again in drawn]
    return TargetCapacity(
        target=fit.target, concurrency=min(fit.law.most, fit.law.slots) if fit.bounded else None, sustainable_per_min=per_min,
        service_ms=_alone_ms(fit, arrivals), service_ms_low=float(np.quantile(alone, 0.025)), service_ms_high=float(np.quantile(alone, 0.975)), n=fit.n,
        limit_per_min=None if fit.requests_per_s is None else fit.requests_per_s * 60.0,
    )  # fmt: skip


def _alone_ms(fit: TargetFit, arrivals: Arrivals) -> float:
    return fit.alone_ms(arrivals.input_tokens, arrivals.output_tokens)


def _reason(evidence: Evidence) -> str:
    said: list[str] = []
    if free := [f"{fit.target} was never seen with more than {fit.seen} calls open" for fit in evidence.fits if not fit.bounded]:
        said.append(f"not known: {', '.join(free)}; a bound near that is taken")
    if evidence.unknown:
        said.append(f"{', '.join(evidence.unknown)}: fewer than {LEAST_ANSWERS} answers, counted for nothing")
    return "; ".join(said)


def _hours(attempts: Attempts, configs: Mapping[str, TargetConfig], used: Mapping[str, Used], at_ms: float) -> dict[str, float | None]:
    minutes = max(1e-9, attempts.span_ms / 60_000.0)
    hours: dict[str, float | None] = {}
    for number, name in enumerate(attempts.names):
        mine = attempts.of(number)
        tokens = float(np.nan_to_num(mine.input_tokens).sum() + np.nan_to_num(mine.output_tokens).sum())
        if name in configs:
            hours[name] = hours_left(configs[name], len(mine.start_ms) / minutes, tokens / minutes, at_ms, used.get(name))
    return hours


def _waited_p95_ms(attempts: Attempts, fits: Sequence[TargetFit]) -> float:
    waits: list[Floats] = []
    for fit in fits:
        number = attempts.names.index(fit.target)
        mine = (attempts.target == number) & (attempts.end == OK)
        waits.append(np.maximum(0.0, (attempts.duration_ms - work_ms(attempts, number, fit))[mine]))
    return float(np.quantile(np.concatenate(waits), P))


def _per_min(attempts: Attempts) -> float:
    return float(attempts.first.sum()) / attempts.span_ms * 60_000.0 if attempts.span_ms > 0 else 0.0


def _finite(value: float) -> float | None:
    return value if value < math.inf else None


def _rest(tell: Told | None) -> Told | None:
    return None if tell is None else lambda share: tell(_FITTED_SHARE + (1.0 - _FITTED_SHARE) * share)
