"""What a recording tells of one target: how it spends time, what it charges, how good it is, and when it was not well.

Failures of a spell are not counted in the usual ratio, nor do answers of a slow one tell of the usual speed: both are played when they happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.backtest.request_log import RecordedTraffic
from routecast.analytics.backtest.spells import Spell, bad_spells, inside, slow_spells, told_spells
from routecast.analytics.capacity.attempts import FAILED, OK, OTHER, REFUSED, TIMEOUT, Attempts
from routecast.analytics.capacity.service_law import TargetFit
from routecast.analytics.capacity.target_fit import agreed, fit_target, work_ms
from routecast.models.config import TargetConfig
from routecast.models.errors import CheckFailed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEAST_REQUESTS = 300
"""Answered requests without which nothing is simulated."""
_LEAST_TTFT = 30
_RETRY_MS = 1_000.0


class FirstChunk(NamedTuple):
    """Expected time to the first chunk of an answer alone: a fixed part and one in proportion to the input."""

    fixed_ms: float
    per_input_ms: float


@dataclass(frozen=True, eq=False)
class Fitted:
    """One target as it was recorded. Plain data."""

    fit: TargetFit
    first_chunk: FirstChunk | None
    """None where too few answers streamed."""
    spells: tuple[Spell, ...]
    fail_ms: Floats
    """How long its failures took, as seen; empty where none was seen."""
    timeouts: float
    """Share of the failures that were timeouts."""
    retry_after_ms: float
    """What its refusals asked to wait, the median."""
    usd_per_token: float | None
    """Recorded; None where nobody reported costs."""
    usd_per_request: float | None
    """The same per request, for requests of unknown length."""
    quality: float | None
    """Mean of the judgements; None without any."""
    quality_n: int

    @property
    def target(self) -> str:
        """Its id."""
        return self.fit.target


class Fits(NamedTuple):
    """All targets of a service, and the attempts as they were understood."""

    targets: tuple[Fitted, ...]
    attempts: Attempts
    """Failures in spells and answers of slow spells marked as such: they say nothing of the usual."""
    unknown: tuple[str, ...]
    """Targets with too few answers to be simulated."""


def fitted(traffic: RecordedTraffic, configs: Mapping[str, TargetConfig]) -> Fits:
    """Fit every target of the recorded traffic; some 0.5 s each.

    Raises CheckFailed where the recording holds too little to simulate anything.
    """
    attempts = traffic.attempts
    answers = int((attempts.end == OK).sum())
    if answers < LEAST_REQUESTS:
        raise CheckFailed(f"{answers} answered requests are too few to fit targets, {LEAST_REQUESTS} are needed: record for longer")
    if not attempts.first.any():
        raise CheckFailed("no first attempt of a request is recorded: nothing tells when requests arrived, record from their beginning on")
    found: list[Fitted] = []
    unknown: list[str] = []
    ends = attempts.end.copy()
    for number, name in enumerate(attempts.names):
        one = _Target(traffic, number, configs.get(name)).fitted(ends)
        if one is None:
            unknown.append(name)
        else:
            found.append(one)
    if not found:
        raise CheckFailed("no target has the answers that a fit needs: record for longer")
    fits = agreed([one.fit for one in found])
    targets = tuple(replace(one, fit=fit) for one, fit in zip(found, fits, strict=True))
    return Fits(targets, attempts._replace(end=ends), tuple(unknown))


class _Target:
    def __init__(self, traffic: RecordedTraffic, number: int, config: TargetConfig | None) -> None:
        self._traffic, self._number, self._config = traffic, number, config
        self._mine = np.flatnonzero(traffic.attempts.target == number)
        self._at_ms = traffic.attempts.start_ms[self._mine]
        self._end = traffic.attempts.end[self._mine]

    def fitted(self, ends: Ints) -> Fitted | None:
        """The fit; `ends` of this target's attempts are rewritten to what they tell of its usual state."""
        limit = self._limit_per_s()
        spells = self._failing() + ([] if limit else self._refusing())
        failing = inside(self._at_ms, [spell for spell in spells if spell.kind == "failing"])
        ends[self._mine[failing & np.isin(self._end, (FAILED, TIMEOUT))]] = REFUSED
        attempts = self._traffic.attempts._replace(end=ends)
        fit = fit_target(attempts, self._number, self._config)
        if fit is None:
            return None
        if slow := self._slow(attempts, fit):
            ends[self._mine[inside(self._at_ms, slow) & (ends[self._mine] == OK)]] = OTHER
            fit = fit_target(attempts, self._number, self._config) or fit
        return self._assembled(replace(fit, requests_per_s=fit.requests_per_s or limit), sorted([*spells, *slow], key=lambda spell: spell.from_ms))

    def _failing(self) -> list[Spell]:
        told = np.isin(self._end, (OK, FAILED, TIMEOUT))
        return bad_spells("failing", self._at_ms[told], self._end[told] != OK)

    def _refusing(self) -> list[Spell]:
        told = np.isin(self._end, (OK, REFUSED))
        at_ms, refused = self._at_ms[told], self._end[told] == REFUSED
        said = told_spells(at_ms, refused, np.nan_to_num(self._traffic.retry_after_ms[self._mine][told]))
        seen = bad_spells("refusing", at_ms, refused)
        return [*said, *(spell for spell in seen if not any(it.from_ms < spell.until_ms and spell.from_ms < it.until_ms for it in said))]

    def _slow(self, attempts: Attempts, fit: TargetFit) -> list[Spell]:
        answered = self._mine[attempts.end[self._mine] == OK]
        tokens = (attempts.input_tokens[answered], attempts.output_tokens[answered])
        expected_ms = fit.work.of(*(np.where(np.isfinite(column), column, _mean(column)) for column in tokens))
        return slow_spells(attempts.start_ms[answered], work_ms(attempts, self._number, fit)[answered] / expected_ms)

    def _limit_per_s(self) -> float | None:
        if self._config is not None and (self._config.requests_per_min or self._config.tokens_per_min):
            return None  # the fit knows it
        told = self._traffic.per_min[self._mine]
        told = told[np.isfinite(told) & (told > 0)]
        return float(np.median(told)) / 60.0 if len(told) else None

    def _assembled(self, fit: TargetFit, spells: list[Spell]) -> Fitted:
        traffic, mine = self._traffic, self._mine
        failed = np.isin(self._end, (FAILED, TIMEOUT))
        retry_ms, quality = traffic.retry_after_ms[mine], traffic.quality[mine]
        retry_ms, quality = retry_ms[np.isfinite(retry_ms)], quality[np.isfinite(quality)]
        usd = traffic.attempts.usd[mine]
        tokens = np.nan_to_num(traffic.attempts.input_tokens[mine]) + np.nan_to_num(traffic.attempts.output_tokens[mine])
        priced, total = np.isfinite(usd), float(tokens[np.isfinite(usd)].sum())
        return Fitted(
            fit=fit, first_chunk=_first_chunk(traffic, mine[self._end == OK]), spells=tuple(spells),
            fail_ms=traffic.attempts.duration_ms[mine][failed], timeouts=float((self._end[failed] == TIMEOUT).mean()) if failed.any() else 0.0,
            retry_after_ms=float(np.median(retry_ms)) if len(retry_ms) else _RETRY_MS,
            usd_per_token=float(usd[priced].sum()) / total if total > 0 else None, usd_per_request=float(usd[priced].mean()) if priced.any() else None,
            quality=float(quality.mean()) if len(quality) else None, quality_n=len(quality),
        )  # fmt: skip


def _first_chunk(traffic: RecordedTraffic, answered: Ints) -> FirstChunk | None:
    """Least squares on the input tokens, without negative parts."""
    known = answered[np.isfinite(traffic.ttft_ms[answered])]
    if len(known) < _LEAST_TTFT:
        return None
    ttft_ms, tokens = traffic.ttft_ms[known], traffic.attempts.input_tokens[known]
    mean = float(ttft_ms.mean())
    if not np.isfinite(tokens).all() or tokens.std() == 0:
        return FirstChunk(mean, 0.0)
    slope = float(np.cov(tokens, ttft_ms)[0, 1] / tokens.var(ddof=1))
    slope = min(max(0.0, slope), mean / max(1.0, float(tokens.mean())))
    return FirstChunk(mean - slope * float(tokens.mean()), slope)


def _mean(column: Floats) -> float:
    known = column[np.isfinite(column)]
    return float(known.mean()) if len(known) else 0.0
