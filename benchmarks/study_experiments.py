"""The study of experiments: how often a verdict is false, how often and how soon a difference is found, how often a sample ratio alarms.

A coin with the planned share sends each request to one of two arms, and somebody looks after every hundred. Latencies are those of recorded
answers, all providers together and normalised by length, drawn with replacement; shares, scores and costs are drawn from laws beside their
names. With a treatment, latencies are a tenth shorter in one arm. Beside the confidence sequence stand a t-test that is looked at as often,
and one of a fixed size that is looked at once.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from core import Row
from numpy.typing import NDArray

from routecast.analytics.experiments.arm_sums import MILLION, normalised
from routecast.analytics.experiments.difference import LEAST_BLOCKS, LEAST_REQUESTS, Boundary, Difference, difference
from routecast.analytics.experiments.moments import Moments
from routecast.analytics.experiments.sample_ratio import LEAST_P, evidence
from routecast.recordings import llmperf

Floats = NDArray[np.float64]
Rng = np.random.Generator

ALPHA = 0.05
EVERY = 100
REQUESTS = 20_000
PLANNED = 10_000
TENTH = math.log(0.9)
_Z95, _Z90 = statistics.NormalDist().inv_cdf(0.975), statistics.NormalDist().inv_cdf(0.9)


def recorded_latencies() -> Floats:
    """Ln of the normalised latencies, in ms, of all recorded successes, with the length that the recording gives them."""
    tokens = 150
    answers = [answer for run in llmperf() for answer in run.answers if not answer.rate_limited]
    return np.array([normalised(answer.ttft_ms + (tokens - 1) * answer.tpot_ms, tokens) / MILLION for answer in answers])


RECORDED = recorded_latencies()


class Law(NamedTuple):
    """What an observation is."""

    name: str
    draw: Callable[[Rng, int], Floats]
    is_share: bool = False
    logarithm: bool = False
    """Whether means are compared in their ratio."""
    share: float = 0.5
    """Of the arm beside the control."""


LATENCY = Law("latency, recorded answers", lambda rng, n: rng.choice(RECORDED, n))
LAWS = (
    LATENCY,
    LATENCY._replace(name="the same, one request in ten to the arm", share=0.1),
    Law("success, 99 %", lambda rng, n: (rng.random(n) < 0.99).astype(float), is_share=True),
    Law("success, 90 %, one request in ten to the arm", lambda rng, n: (rng.random(n) < 0.9).astype(float), is_share=True, share=0.1),
    Law("quality, beta(8, 2)", lambda rng, n: rng.beta(8.0, 2.0, n)),
    Law("cost, lognormal with σ 1", lambda rng, n: 0.003 * np.exp(rng.normal(0.0, 1.0, n)), logarithm=True),
)


class Run(NamedTuple):
    """Counts, sums and sums of squares of both arms at each look."""

    law: Law
    looks: Sequence[tuple[tuple[float, float, float], tuple[float, float, float]]]

    def moments(self, look: int) -> list[Moments]:
        """Of control and arm."""
        made = [Moments.of_share(int(n), int(total)) if self.law.is_share else Moments.of(n, total, squares) for n, total, squares in self.looks[look]]
        logarithms = [moments.logarithm() for moments in made] if self.law.logarithm else made
        return [moments or Moments(0, 0.0, math.inf) for moments in logarithms]

    def difference(self, look: int, boundary: Boundary) -> Difference | None:
        """Of the arms, as a report has it."""
        control, arm = self.moments(look)
        return difference(control, arm, boundary)

    def t(self, look: int) -> float:
        """Of Welch's test."""
        control, arm = self.moments(look)
        if min(control.n, arm.n) < 2:
            return 0.0
        spread = math.sqrt(control.variance / control.n + arm.variance / arm.n)
        return (arm.mean - control.mean) / spread if spread > 0 else 0.0


def drawn(rng: Rng, law: Law, n: int, every: int, effect: float = 0.0) -> Run:
    """An experiment of `n` observations, looked at after every `every`."""
    arm = rng.random(n) < law.share
    values = law.draw(rng, n) + effect * arm
    figures = np.stack([np.stack([side, side * values, side * values * values]) for side in (~arm, arm)])
    sums = figures.reshape(2, 3, -1, every).sum(axis=3).cumsum(axis=2)
    return Run(law, [tuple(tuple(map(float, side)) for side in sums[:, :, look]) for look in range(sums.shape[2])])  # type: ignore[misc]


def first(run: Run, true: Callable[[int], bool]) -> int | None:
    """The first look at which it is so."""
    return next((look for look in range(len(run.looks)) if true(look)), None)


def certain(run: Run, boundary: Boundary) -> int | None:
    """The look at which the sequence leaves out 0."""
    return first(run, lambda look: (found := run.difference(look, boundary)) is not None and found.certain)


def false_verdicts(law: Law, runs: int, seed: int) -> tuple[float, float]:
    """Of runs without a difference, those with a verdict at some look: by the confidence sequence, and by the t-test."""
    rng, boundary = np.random.default_rng(seed), Boundary.planned(PLANNED, ALPHA, LEAST_REQUESTS)
    found = [drawn(rng, law, REQUESTS, EVERY) for _ in range(runs)]
    peeked = [first(run, lambda look, run=run: abs(run.t(look)) > _Z95) for run in found]  # type: ignore[misc]
    return sum(certain(run, boundary) is not None for run in found) / runs, sum(look is not None for look in peeked) / runs


def false_of_blocks(runs: int, seed: int, blocks: int = 300) -> float:
    """The same for blocks of time: means of 200 requests, each with a shock that its requests share; looked at after every block."""
    law = Law("blocks", lambda rng, n: rng.normal(0.0, 0.15, n) + rng.choice(RECORDED, (n, 200)).mean(axis=1))
    rng, boundary = np.random.default_rng(seed), Boundary.planned(100, ALPHA, LEAST_BLOCKS)
    return sum(certain(drawn(rng, law, blocks, 1), boundary) is not None for _ in range(runs)) / runs


class Power(NamedTuple):
    """How a difference of a tenth is found."""

    found: float
    median: float
    fixed_size: int
    fixed_found: float


def power(runs: int, seed: int) -> Power:
    """Of runs with the treatment: the share that finds it and the median number of requests, beside the fixed size for 90 %."""
    rng, boundary = np.random.default_rng(seed), Boundary.planned(PLANNED, ALPHA, LEAST_REQUESTS)
    fixed = EVERY * math.ceil((_Z95 + _Z90) ** 2 * 4.0 * float(RECORDED.var()) / TENTH**2 / EVERY)
    found = [drawn(rng, LATENCY, max(REQUESTS, fixed), EVERY, TENTH) for _ in range(runs)]
    stops = [certain(run, boundary) for run in found]
    once = sum(abs(run.t(fixed // EVERY - 1)) > _Z95 for run in found) / runs
    median = statistics.median(math.inf if stop is None else (stop + 1) * EVERY for stop in stops)
    return Power(sum(stop is not None for stop in stops) / runs, median, fixed, once)


def ratio_alarms(runs: int, seed: int, lost: float = 0.0) -> tuple[float, float]:
    """Of runs in which the arm loses this share of its requests before they start: how many alarm, and the median number of requests until then."""
    rng, stops = np.random.default_rng(seed), list[float]()
    for _ in range(runs):
        arm = rng.random(REQUESTS) < 0.5
        kept = ~arm | (rng.random(REQUESTS) >= lost)
        counts = np.stack([~arm & kept, arm & kept]).reshape(2, -1, EVERY).sum(axis=2).cumsum(axis=1)
        alarm = next((i for i, pair in enumerate(counts.T.tolist()) if math.exp(-evidence(pair, (0.5, 0.5))) < LEAST_P), None)
        stops.append(math.inf if alarm is None else (alarm + 1) * EVERY)
    return sum(stop < math.inf for stop in stops) / runs, statistics.median(stops)


def rows(runs: int, seed: int = 1) -> list[Row]:
    """All figures."""
    made: list[Row] = []
    for number, law in enumerate(LAWS):
        ours, peeking = false_verdicts(law, runs, seed + number)
        made.append(Row(f"false verdicts of {runs} runs: {law.name}", f"{ours:.1%}; t-test looked at as often {peeking:.1%}", "≤ 5 %"))
    made.append(Row(f"false verdicts of {runs} runs: blocks of time, looked at after each", f"{false_of_blocks(runs, seed):.1%}", "≤ 5 %"))
    found = power(runs, seed)
    said = f"{found.found:.1%} found, median after {found.median:,.0f} requests; fixed size {found.fixed_size:,}: {found.fixed_found:.1%}"
    made.append(Row("latency a tenth lower, 20,000 requests", said))
    quiet, (loud, after) = ratio_alarms(runs, seed)[0], ratio_alarms(max(10, runs // 10), seed, lost=0.1)
    made.append(Row(f"false alarms of the sample ratio of {runs} runs", f"{quiet:.2%}", "≤ 0.1 %"))
    made.append(Row("sample ratio where an arm loses a tenth of its requests", f"{loud:.0%} found, median after {after:,.0f} requests"))
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    for row in rows(options.runs, options.seed):
        print(f"{row.measure:75} {row.value}" + (f"   aim {row.target}" if row.target else ""))


if __name__ == "__main__":
    main()
