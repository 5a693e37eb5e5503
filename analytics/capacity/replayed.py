"""Recorded arrivals played against fitted targets: what requests would wait at another load, or with other targets.

The load is changed by letting the recorded arrivals come faster or slower: every request keeps its tokens and its rank among the answers of
its target, bursts and lulls keep their size against the mean, and in a queue more load never means less wait. Copies laid over each other
would even the bursts out.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from functools import partial
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.capacity.attempts import OK, Attempts
from routecast.analytics.capacity.fresh_plan import FreshPlan, Rule
from routecast.analytics.capacity.service_law import TargetFit
from routecast.analytics.capacity.target_fit import work_ms
from routecast.analytics.simulation.contended import Contended
from routecast.analytics.simulation.servers import Queueing, Server
from routecast.analytics.simulation.simulator import EventQueue, Scheduled
from routecast.analytics.simulation.trial import ATTEMPTS
from routecast.analytics.simulation.virtual_target import Condition, RequestLimit, VirtualTarget
from routecast.models.events import Outcome

Floats = NDArray[np.float64]

WARM_UP = 0.05
"""Share of the requests, the first, that count for nothing: the targets are empty when they come."""
_LONGEST_RETRY_MS = 60_000.0
"""A request that finds every target refusing asks again at the latest after this."""


class Arrivals(NamedTuple):
    """Requests in the order in which they came."""

    at_ms: Floats
    """Since the first."""
    input_tokens: Floats
    output_tokens: Floats
    rank: Floats
    """0..1: where its answer stood among those of its target, by time alone ÷ expected time alone."""

    @property
    def per_min(self) -> float:
        """Mean rate."""
        return (len(self.at_ms) - 1) / float(self.at_ms[-1]) * 60_000.0

    def newest(self, most: int) -> Arrivals:
        """The last ones, at most so many."""
        kept = Arrivals(*(column[-most:] for column in self))
        return kept._replace(at_ms=kept.at_ms - kept.at_ms[0])


class Replayed(NamedTuple):
    """What became of the requests after the warm-up."""

    wait_ms: Floats
    """Time to success beyond the time alone; infinite where there was no success."""
    time_ms: Floats
    """Time to success; of a failure, until its last attempt ended."""
    failed_ratio: float
    attempts: tuple[int, ...]
    """Per target."""
    served: tuple[int, ...]
    """Per target, the requests after the warm-up that it answered."""
    usd: float
    """Mean cost of a request, by the targets' prices; 0 where none is known."""

    def wait_quantile_ms(self, p: float) -> float:
        """The wait that the share `p` does not exceed."""
        order = np.sort(self.wait_ms)
        return float(order[min(len(order) - 1, math.ceil(p * len(order)) - 1)])


def arrivals_of(attempts: Attempts, fits: Sequence[TargetFit], seed: int = 0) -> Arrivals:
    """The first attempts of an unchanged load; tokens nobody reported are those of another request, and so is the rank of what was no success."""
    rng = np.random.default_rng([seed, 1])
    first = np.flatnonzero(attempts.first)
    tokens = [_filled(column[first], rng) for column in (attempts.input_tokens, attempts.output_tokens)]
    ranks, by_name = rng.random(len(first)), {fit.target: fit for fit in fits}
    for number, name in enumerate(attempts.names):
        mine = (attempts.target[first] == number) & (attempts.end[first] == OK)
        if name in by_name and mine.any():
            expected_ms = by_name[name].work.of(tokens[0][mine], tokens[1][mine])
            ratio = work_ms(attempts, number, by_name[name])[first][mine] / expected_ms
            ranks[mine] = (np.argsort(np.argsort(ratio, kind="stable"), kind="stable") + 0.5) / len(ratio)
    return Arrivals(attempts.start_ms[first] - attempts.start_ms[first[0]], tokens[0], tokens[1], ranks)


def _filled(column: Floats, rng: np.random.Generator) -> Floats:
    known = np.isfinite(column)
    if known.all():
        return column
    return np.where(known, column, rng.choice(column[known], len(column))) if known.any() else np.zeros(len(column))


def replay(
    fits: Sequence[TargetFit], arrivals: Arrivals, load: float = 1.0, *, seed: int = 0, rule: Rule = "performance", usd: Sequence[tuple[float, float]] = ()
) -> Replayed:
    """Play the arrivals, `load` times as fast, against the targets. Some 20 µs a request; equal arguments give equal results.

    Args:
        fits: the targets, at least one.
        arrivals: at least one.
        load: factor on the rate, > 0.
        seed: of routing and of failures.
        rule: how targets are chosen.
        usd: per target, price of an input and of an output token.
    """
    return _Replay(fits, arrivals, load, seed, rule).run(usd)


class _Replay:
    def __init__(self, fits: Sequence[TargetFit], arrivals: Arrivals, load: float, seed: int, rule: Rule) -> None:
        self._queue = queue = EventQueue()
        self._fits = fits
        self._arrivals = arrivals
        self._targets = [_target(queue, fit, Random(f"{seed} {fit.target}")) for fit in fits]
        rate_per_s, tokens = arrivals.per_min / 60.0 * load, (arrivals.input_tokens, arrivals.output_tokens)
        self._plan = FreshPlan(fits, self._targets, *tokens, rate_per_s, Random(seed), rule)
        self._at_ms: list[float] = (arrivals.at_ms / load).tolist()
        self._alone = [_alone_ms(fit, arrivals) for fit in fits]
        n = len(self._at_ms)
        self._wait_ms, self._time_ms = [math.inf] * n, [0.0] * n
        self._attempts, self._served = [0] * len(fits), [-1] * n
        self._open = 0
        self._waiting: dict[tuple[int, ...], deque[int]] = {}
        """By what they have tried, requests that found every other target refusing."""
        self._alarm: Scheduled | None = None

    def run(self, usd: Sequence[tuple[float, float]]) -> Replayed:
        queue, plan = self._queue, self._plan
        for i, at_ms in enumerate(self._at_ms):
            queue.advance_to(at_ms)
            plan.arrived(at_ms)
            self._open += 1
            self._attempt(i, ())
        while self._open:
            queue.advance_to(queue.next_ms)
        first = int(WARM_UP * len(self._at_ms))
        wait_ms = np.array(self._wait_ms[first:])
        failed = float((~np.isfinite(wait_ms)).mean())
        served = np.bincount(np.array(self._served[first:]) + 1, minlength=len(self._fits) + 1)[1:].tolist()
        return Replayed(wait_ms, np.array(self._time_ms[first:]), failed, tuple(self._attempts), tuple(served), self._cost(first, usd))

    def _attempt(self, i: int, tried: tuple[int, ...]) -> None:
        target = self._plan.choose(tried)
        if target < 0:
            self._waiting.setdefault(tried, deque()).append(i)
            self._wake_later()
        else:
            self._send(i, target, tried)

    def _send(self, i: int, target: int, tried: tuple[int, ...]) -> None:
        self._attempts[target] += 1
        self._plan.started(target)
        self._targets[target].submit(self._alone[target][i], partial(self._answered, i, target, tried))

    def _answered(self, i: int, target: int, tried: tuple[int, ...], outcome: Outcome) -> None:
        fail_ms = self._fits[target].fail_ms
        if outcome == "error" and fail_ms > 0:
            self._queue.after(fail_ms, self._ended, i, target, tried, outcome)
        else:
            self._ended(i, target, tried, outcome)

    def _ended(self, i: int, target: int, tried: tuple[int, ...], outcome: Outcome) -> None:
        self._plan.finished(target)
        took_ms = self._queue.now_ms - self._at_ms[i]
        if outcome != "ok" and len(tried) + 1 < min(ATTEMPTS, len(self._targets)):
            self._attempt(i, (*tried, target))
            return
        self._open -= 1
        self._time_ms[i] = took_ms
        if outcome == "ok":
            self._served[i] = target
            self._wait_ms[i] = max(0.0, took_ms - self._alone[target][i])

    def _wake_later(self) -> None:
        """Once for all that wait, in the order in which they came: each asking by itself would take the square of the time."""
        if self._alarm is None and self._waiting:
            self._alarm = self._queue.after(min(map(self._until_room_ms, self._waiting)), self._wake)

    def _wake(self) -> None:
        self._alarm = None
        for tried, waiting in list(self._waiting.items()):
            while waiting and (target := self._plan.choose(tried)) >= 0:
                self._send(waiting.popleft(), target, tried)
            if not waiting:
                del self._waiting[tried]
        self._wake_later()

    def _until_room_ms(self, tried: tuple[int, ...]) -> float:
        waits = [target.limit.retry_after_ms for i, target in enumerate(self._targets) if target.limit is not None and i not in tried]
        return min(_LONGEST_RETRY_MS, max(1.0, min(waits, default=_LONGEST_RETRY_MS)))

    def _cost(self, first: int, usd: Sequence[tuple[float, float]]) -> float:
        served = np.array(self._served[first:])
        total = 0.0
        for target, (per_input, per_output) in enumerate(usd):
            mine = served == target
            total += per_input * float(self._arrivals.input_tokens[first:][mine].sum()) + per_output * float(self._arrivals.output_tokens[first:][mine].sum())
        return total / max(1, len(served))


def _alone_ms(fit: TargetFit, arrivals: Arrivals) -> list[float]:
    place = np.minimum((arrivals.rank * len(fit.spread)).astype(np.int64), len(fit.spread) - 1)
    alone: list[float] = (fit.work.of(arrivals.input_tokens, arrivals.output_tokens) * fit.spread[place]).tolist()
    return alone


def _target(queue: EventQueue, fit: TargetFit, random: Random) -> VirtualTarget:
    law = fit.law
    server: Server = Contended(queue, law.slots, law.slowness) if law.slope > 0 else Queueing(queue, law.slots)
    target = VirtualTarget(queue, server, random, limit=RequestLimit(queue, fit.requests_per_s) if fit.requests_per_s else None)
    if fit.fail_ratio > 0:
        target.condition = Condition(fail_ratio=fit.fail_ratio)
    return target
