"""The study of capacity: how much load fits, estimated from events at a moderate load, beside the truth.

The truth plays the same recorded arrivals, faster and faster, through eight targets of a law that is hidden from the fit (`hidden_laws.py`) and
through whole routers of `routecast.testing.Fleet` with snapshots every second, until the 95th percentile of the wait exceeds the limit. The estimate
sees the events of one run at 65 % of the nominal capacity and nothing else. Both count after the routers have met 4,000 other requests at that load:
a fleet that knows nothing yet takes less for its first minute, which says nothing of what it sustains. `azure` and `mooncake` are recorded arrivals
and output tokens (ROUTECAST_TRACES); each seed takes another stretch of them and other targets.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from random import Random
from typing import NamedTuple

import numpy as np
import scale_hints
from fleet_chooser import FleetChooser
from hidden_laws import LAWS, LawName
from numpy.typing import NDArray
from traces import recorded

from routecast.analytics.capacity.attempts import OK, Attempts
from routecast.analytics.capacity.capacity import capacity_of
from routecast.analytics.capacity.replayed import Arrivals
from routecast.analytics.capacity.service_law import TargetFit, Work
from routecast.analytics.capacity.sustainable import FAMILY, STUDENT_95, Search
from routecast.analytics.simulation.arrivals import FIXED_SHARE, FIXED_SIGMA, PER_TOKEN_SIGMA, Requests, Traffic, lognormal_demand
from routecast.analytics.simulation.servers import Call, Done, Queueing, Server
from routecast.analytics.simulation.simulator import EventQueue
from routecast.analytics.simulation.trial import MakeTarget, run
from routecast.analytics.simulation.virtual_target import WELL, Condition, VirtualTarget
from routecast.analytics.simulation.worlds import TargetSpec, World

Floats = NDArray[np.float64]

TARGETS, ROUTERS = 8, 8
REQUESTS = 12_000
LEARNT_FROM = 4_000
"""Requests at the same load that the routers have met before: what a fleet takes that knows nothing yet is not what it sustains."""
SEEN_LOAD = 0.65
"""Load at which the events are recorded."""
AIM = 0.10
"""Largest error aimed at."""
LOADS = (0.6, 1.15)
CLOSE = 0.01
START_MS = 1_700_000_000_000.0


class Stage(NamedTuple):
    """Targets and requests of one seed, in work that does not depend on the load."""

    specs: tuple[TargetSpec, ...]
    at_s: Floats
    """Arrivals at one request a second; the first `LEARNT_FROM` do not count."""
    tokens: Floats
    """Of those that count."""
    demand: Floats
    router: NDArray[np.int64]

    @property
    def nominal_per_s(self) -> float:
        """Requests per second that keep all slots busy."""
        return sum(spec.nominal_per_s for spec in self.specs)

    def world(self, load: float) -> World:
        """The requests at a share of the nominal capacity."""
        at_ms = self.at_s * 1000.0 / (load * self.nominal_per_s)
        return World("capacity", load, self.specs, Requests(at_ms, self.router, self.demand), routers=ROUTERS, warmup_ms=0.0)


class Row(NamedTuple):
    """One estimate beside the truth, requests per minute."""

    law: LawName
    trace: str
    seed: int
    truth: float
    estimate: float
    low: float
    high: float
    known: float
    """What the estimate would be if the laws and the work of every request were known: the rest of the error is that of the fit."""
    erlang_c: float
    estimate_s: float
    """CPU time of the estimate."""
    reason: str = ""
    """What the estimate says that it does not know."""


def stage(law: LawName, trace: str, seed: int) -> Stage:
    """Draw the targets and cut the requests."""
    rng, traffic = np.random.default_rng([seed, sum(map(ord, law + trace))]), recorded(trace)
    if traffic is None:
        raise SystemExit(f"{trace}: set ROUTECAST_TRACES to the folder with its trace")
    medians_s = 0.6 * np.exp(rng.normal(0.55, 0.45, TARGETS))
    slots = np.maximum(3, np.round(np.exp(rng.normal(2.2, 0.6, TARGETS)))).astype(int)
    first = int(rng.integers(0, max(1, len(traffic.offsets_s) - REQUESTS)))
    at_s, tokens = _in_a_circle(traffic, first - LEARNT_FROM, LEARNT_FROM + REQUESTS)
    n = len(at_s)
    fixed, per_token = lognormal_demand(rng, n, FIXED_SIGMA), lognormal_demand(rng, n, PER_TOKEN_SIGMA)
    demand = (FIXED_SHARE * fixed + (1.0 - FIXED_SHARE) * tokens / tokens.mean() * per_token) * LAWS[law].factor(rng, n)
    specs = tuple(TargetSpec("queueing", int(c), float(m)) for c, m in zip(slots, medians_s, strict=True))
    at_s = (at_s - at_s[0]) * (REQUESTS - 1) / (at_s[-1] - at_s[LEARNT_FROM])
    return Stage(specs, at_s, tokens[LEARNT_FROM:], demand, rng.integers(0, ROUTERS, n))


def _in_a_circle(traffic: Traffic, first: int, n: int) -> tuple[Floats, Floats]:
    """Arrivals, s, and output tokens of `n` requests of a trace whose end is followed by its beginning."""
    place, gaps_s = np.arange(first, first + n) % len(traffic.offsets_s), np.diff(traffic.offsets_s, prepend=0.0)
    return np.cumsum(gaps_s[place]), traffic.output_tokens[place]


class _Noted:
    """A target that writes down every call: number, start, end, work."""

    ended_headers: dict[str, str] = {}  # noqa: RUF012 - none, ever

    def __init__(self, queue: EventQueue, inner: VirtualTarget, number: int, calls: list[list[float]]) -> None:
        self._queue, self._inner, self._number, self._calls = queue, inner, number, calls

    @property
    def server(self) -> Server:
        return self._inner.server

    @property
    def available(self) -> bool:
        return True

    @property
    def condition(self) -> Condition:
        return WELL

    @condition.setter
    def condition(self, condition: Condition) -> None: ...

    def submit(self, work_ms: float, done: Done) -> Call:
        row = [float(self._number), self._queue.now_ms, math.nan, work_ms]
        self._calls.append(row)

        def end(outcome: str) -> None:
            row[2] = self._queue.now_ms
            done(outcome)  # type: ignore[arg-type]

        return self._inner.submit(work_ms, end)


def noted(play: Callable[[MakeTarget], object], server: Callable[[EventQueue, World, int], Server] | None = None) -> Floats:
    """[calls × (target, start, end, work)] of a run that is given how to make its targets."""
    calls: list[list[float]] = []

    def make(queue: EventQueue, world: World, number: int, random: Random) -> _Noted:
        made = Queueing(queue, world.targets[number].slots) if server is None else server(queue, world, number)
        return _Noted(queue, VirtualTarget(queue, made, random), number, calls)

    play(make)
    return np.array(calls)


def play(law: LawName, staged: Stage, load: float, seed: int) -> Floats:
    """The calls of whole routers at a load, once they have learnt."""

    def server(queue: EventQueue, world: World, number: int) -> Server:
        return LAWS[law].server(queue, float(world.targets[number].slots))

    fleet = partial(FleetChooser, period_ms=1000.0)
    return noted(lambda make: run(staged.world(load), fleet, seed=seed, start_ms=START_MS, make=make), server)[LEARNT_FROM:]


def waits_p95_ms(law: LawName, calls: Floats) -> float:
    """95th percentile of the time beyond what each answer takes alone."""
    alone = np.array([LAWS[law].alone_ms(work_ms) for work_ms in calls[:, 3].tolist()])
    waits = calls[:, 2] - calls[:, 1] - alone
    return float(np.quantile(waits, 0.95))


def truth_per_min(law: LawName, staged: Stage, seed: int) -> float:
    """The load at which whole routers keep the limit, requests per minute."""
    low, high = LOADS
    while high - low > CLOSE:
        middle = (low + high) / 2
        keeps = waits_p95_ms(law, play(law, staged, middle, seed)) <= LAWS[law].limit_ms
        low, high = (middle, high) if keeps else (low, middle)
    return (low + high) / 2 * staged.nominal_per_s * 60.0


def known_per_min(law: LawName, staged: Stage, seed: int) -> float:
    """The load at which the rule that estimates play keeps the limit against targets of known laws, requests per minute."""
    demand, at_ms = staged.demand[LEARNT_FROM:], staged.world(SEEN_LOAD).requests.at_ms[LEARNT_FROM:]
    rank = (np.argsort(np.argsort(demand, kind="stable"), kind="stable") + 0.5) / len(demand)
    arrivals = Arrivals(at_ms - at_ms[0], np.zeros(len(at_ms)), np.zeros(len(at_ms)), rank)
    fits: list[TargetFit] = []
    for number, spec in enumerate(staged.specs):
        mean_ms = spec.mean_s * 1000.0 * float(demand.mean())
        known, one = LAWS[law].known(float(spec.slots), mean_ms), np.ones(1)
        fits.append(TargetFit(f"target-{number}", known, Work(mean_ms, 0.0, 0.0), np.sort(demand / demand.mean()), len(demand), 0, np.array([known]), one))
    return Search(arrivals, LAWS[law].limit_ms).find(fits, seed) * arrivals.per_min


def attempts_of(calls: Floats, tokens: Floats) -> Attempts:
    """What events would tell of these calls."""
    n, unknown = len(calls), np.full(len(calls), math.nan)
    names = tuple(f"target-{i}" for i in range(TARGETS))
    first = np.ones(n, np.bool_)
    return Attempts(names, calls[:, 0].astype(np.int64), calls[:, 1], calls[:, 2] - calls[:, 1], np.full(n, OK), first, unknown, tokens, unknown)


def measure(law: LawName, trace: str, seed: int) -> Row:
    """One row."""
    staged = stage(law, trace, seed)
    seen = attempts_of(play(law, staged, SEEN_LOAD, seed), staged.tokens)
    began_s = time.process_time()
    estimate = capacity_of(seen, service="chat", at_ms=float(seen.start_ms[-1]), limit_ms=LAWS[law].limit_ms, seed=seed)
    took_s = time.process_time() - began_s
    figures = (estimate.sustainable_per_min, estimate.low_per_min, estimate.high_per_min, estimate.erlang_c_per_min)
    per_min, low, high, erlang_c = (math.inf if value is None else value for value in figures)
    truth, known = truth_per_min(law, staged, seed + 100), known_per_min(law, staged, seed)
    return Row(law, trace, seed, truth, per_min, low, high, known, erlang_c, took_s, estimate.reason)


def table(rows: Sequence[Row]) -> str:
    """The study as text."""
    lines = [f"{'law':<12}{'arrivals':<10}{'seed':>4}{'truth':>8}{'estimate':>10}{'interval':>16}{'error':>8}{'laws known':>12}{'Erlang-C':>10}{'CPU s':>7}"]
    for row in sorted(rows):
        error, textbook = row.estimate / row.truth - 1.0, row.erlang_c / row.truth - 1.0
        interval = f"{row.low:.0f} – {row.high:.0f}" if row.high < math.inf else f"from {row.low:.0f}"
        lines.append(
            f"{row.law:<12}{row.trace:<10}{row.seed:>4}{row.truth:>8.0f}{row.estimate:>10.0f}{interval:>16}{error:>8.1%}{row.known / row.truth - 1.0:>12.1%}"
            f"{textbook:>10.1%}{row.estimate_s:>7.1f}"
        )
    lines += ["", *(f"{row.law}, {row.trace} {row.seed}: {row.reason}" for row in sorted(rows) if row.reason), ""]
    for law in LAWS:
        mine = [row for row in rows if row.law == law]
        if not mine:
            continue
        errors = [abs(row.estimate / row.truth - 1.0) for row in mine]
        of_known = statistics.fmean(abs(row.known / row.truth - 1.0) for row in mine)
        of_textbook = [abs(row.erlang_c / row.truth - 1.0) for row in mine]
        covered, open_ = sum(row.low <= row.truth <= row.high for row in mine), sum(row.high == math.inf for row in mine)
        within = sum(error <= AIM for error in errors)
        mark = "met" if statistics.fmean(errors) <= AIM else "SHORT"
        lines.append(
            f"{law:<12} mean error {statistics.fmean(errors):.1%} (aim ≤ {AIM:.0%}: {mark}), within 10 % {within} of {len(mine)}, "
            f"interval covers {covered} of {len(mine)}, {open_} of them open above; with laws known {of_known:.1%}; "
            f"Erlang-C {statistics.fmean(of_textbook):.1%}"
        )
    lines.append(f"standard deviation of the errors beyond what the fits leave open, in the logarithm: {left_over(rows):.3f} (intervals count {FAMILY})")
    return "\n".join(lines)


def left_over(rows: Sequence[Row]) -> float:
    """What is left of the squared errors when the variance over the laws that each fit leaves open is taken away, as a standard deviation."""
    errors = [math.log(row.estimate / row.truth) ** 2 for row in rows]
    opened = [(math.log(row.estimate / row.low) / STUDENT_95) ** 2 - FAMILY**2 for row in rows]
    return math.sqrt(max(0.0, statistics.fmean(errors) - statistics.fmean(opened)))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the study and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="stretches and sets of targets for each law and trace (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed: constants were chosen on 0 to 9 (default: %(default)s)")
    parser.add_argument("--laws", nargs="+", choices=list(LAWS), default=list(LAWS), help="default: all")
    parser.add_argument("--traces", nargs="+", choices=["azure", "mooncake"], default=["azure", "mooncake"], help="default: both")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    options = parser.parse_args(argv)
    for trace in options.traces:
        if recorded(trace) is None:
            raise SystemExit(f"{trace}: set ROUTECAST_TRACES to the folder with its trace")
    rows: list[Row] = []
    seeds = range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor(options.jobs) as pool:
        work = [pool.submit(measure, law, trace, seed) for law in options.laws for trace in options.traces for seed in seeds]
        for done in as_completed(work):
            rows.append(done.result())
            print(f"[{len(rows)}/{len(work)}] {rows[-1].law} {rows[-1].trace} seed {rows[-1].seed}", file=sys.stderr, flush=True)
    print(table(rows))
    print("\n".join(scale_hints.lines(options.traces, options.seeds)))


if __name__ == "__main__":
    main()
