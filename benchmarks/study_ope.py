"""The study of off-policy evaluation: logs of a bandit whose truth is known, three policies to be evaluated from them, and one that must be refused.

A log has requests of three kinds and of any length, which arrive over a day in which the speeds of twenty targets wander. Answers are lognormal,
one in two hundred takes five times longer; altogether p99 ÷ p50 of a log is 7, as it is at hosted models. It was drawn as `performance` draws:
the cheapest of four by what each costs under the load of the moment. That load, which slows the answer too, is not in the log: the
propensities, in closed form, are all that tells of it. Truth is the mean over all requests that could have come, by quadrature.

`near` draws like the log and does not see the load; `middle` and `far` take a quarter and a half of their choices in proportion to the planned
shares; `learned` samples its costs first (Thompson), by its integral in the evaluation and by drawing the samples in the truth; `thin` takes the
dearest target.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routecast.analytics.balance import DRAWS, EXPLORE, Table
from routecast.analytics.evaluation.evaluate import evaluate
from routecast.analytics.evaluation.logged import Floats, Ints, Logged
from routecast.analytics.evaluation.policies import in_proportion
from routecast.analytics.evaluation.thompson import learned_chances
from routecast.models.report import Estimate

TARGETS, KINDS, PERIODS = 20, 3, 48
SIGMA, SLOW, SLOWER = 0.6, 0.005, 5.0
LENGTH = 0.4
"""σ of the length of requests."""
LOAD = 0.15
"""Standard deviation of the logarithm of what the load of the moment does to a cost."""
TRUTH_GRID = 40
METHODS = ("doubly_robust", "self_normalised", "inverse_propensity", "matching_rows", "target_means")
NAMES = {
    "doubly_robust": "doubly robust", "self_normalised": "SNIPS", "inverse_propensity": "IPS", "matching_rows": "naive: matching rows",
    "target_means": "naive: means of targets", "p95": "p95, weighted quantile",
}  # fmt: skip
POLICIES = ("near", "middle", "far", "learned", "thin")
VARIANCE, ANSWERS, PRIOR = 0.6, 400.0, 9.0
"""What `learned` believes: ln cost with this variance ÷ (a target's share of so many answers + the prior)."""
SAMPLES = 2_000
"""Draws of all costs by which the truth of `learned` is known, for each half hour and kind."""


class World(NamedTuple):
    """What is the same in all replications."""

    base_s: Floats
    """[targets]"""
    by_kind: Floats
    """[kinds × targets] Factor on the time of a kind of request."""
    fixed: Floats
    """[targets] Part of the time that does not grow with the length."""
    phase: Floats
    """[targets] Of the day's wave in the speed."""
    allowed: NDArray[np.bool_]
    """[kinds × targets]"""

    def mean_s(self, kind: Ints, hour: Floats, length: Floats) -> Floats:
        """[rows × targets] True expected time; `hour` in 0..1 of the day, `length` with mean 1."""
        wave = np.exp(0.25 * np.sin(2 * np.pi * (hour[:, None] + self.phase)))
        return self.base_s * self.by_kind[kind] * wave * (self.fixed + (1.0 - self.fixed) * length[:, None])

    def costs(self) -> Floats:
        """[periods × kinds × targets] What a snapshot of each half hour says: the truth at its beginning."""
        hours = np.repeat(np.arange(PERIODS) / PERIODS, KINDS)
        return self.mean_s(np.tile(np.arange(KINDS), PERIODS), hours, np.ones(PERIODS * KINDS)).reshape(PERIODS, KINDS, TARGETS)


@cache
def world() -> World:
    """Drawn once; kinds differ in what they cost where, the third may not go to every fourth target."""
    luck = np.random.default_rng(8)
    allowed = np.ones((KINDS, TARGETS), bool)
    allowed[2, ::4] = False
    spread = luck.normal(0.0, 0.45, TARGETS)
    return World(0.8 * np.exp(spread), np.exp(luck.normal(0.0, 0.3, (KINDS, TARGETS)) + np.array([[-0.2], [0.0], [0.3]])),
                 luck.uniform(0.2, 0.7, TARGETS), luck.uniform(0, 1, TARGETS), allowed)  # fmt: skip


def least_of_four(costs: Floats, weights: Floats, allowed: NDArray[np.bool_]) -> Floats:
    """[rows × targets] Probability of each target: of four draws by weight the cheapest, a hundredth uniform."""
    among = weights * allowed
    among /= among.sum(axis=1, keepdims=True)
    order = np.argsort(np.where(allowed, costs, np.inf), axis=1)
    ordered = np.take_along_axis(among, order, axis=1)
    not_better = np.cumsum(ordered[:, ::-1], axis=1)[:, ::-1]
    drawn = not_better**DRAWS - np.maximum(0.0, not_better - ordered) ** DRAWS
    chances = np.empty_like(drawn)
    np.put_along_axis(chances, order, drawn, axis=1)
    chances /= chances.sum(axis=1, keepdims=True)
    explored: Floats = allowed / allowed.sum(axis=1, keepdims=True)
    mixed: Floats = (1.0 - EXPLORE) * chances + EXPLORE * explored
    return mixed


@cache
def tables() -> dict[str, Floats]:
    """[periods × kinds × targets] What the log's router planned, and what each policy does."""
    w = world()
    costs = w.costs()
    flat, allowed = costs.reshape(-1, TARGETS), np.tile(w.allowed, (PERIODS, 1))
    plan = in_proportion(np.maximum(in_proportion(flat**-2.0, allowed), 0.02 / TARGETS), allowed)
    near = least_of_four(flat, plan, allowed)
    dearest = np.where(allowed, flat, -np.inf)
    made = {
        "plan": plan,
        "near": near,
        "middle": 0.75 * near + 0.25 * plan,
        "far": 0.5 * near + 0.5 * plan,
        "learned": _learned(flat, plan, allowed),
        "thin": in_proportion((dearest == dearest.max(axis=1, keepdims=True)).astype(float), allowed),
    }
    return {name: table.reshape(PERIODS, KINDS, TARGETS) for name, table in made.items()}


def spreads(plan: Floats) -> Floats:
    """[rows × targets] How sure the costs are: what is seldom planned is little known."""
    wide: Floats = np.sqrt(VARIANCE / (ANSWERS * plan + PRIOR))
    return wide


def _learned(costs: Floats, plan: Floats, allowed: NDArray[np.bool_]) -> Floats:
    """[rows × targets] As the product evaluates it."""
    found = np.zeros_like(costs)
    for row, (cost, share, spread, may) in enumerate(zip(costs, plan, spreads(plan), allowed, strict=True)):
        of = np.flatnonzero(may)
        chosen = Table(of.tolist(), cost[of].tolist(), share[of].tolist(), share[of].tolist(), share[of].tolist(), explore=True, spreads=spread[of].tolist())
        found[row, of] = learned_chances(chosen, chosen.costs)
    return found


@cache
def sampled() -> Floats:
    """[periods × kinds × targets] What `learned` does, by drawing its samples: shares no formula with the evaluation."""
    luck, plan, w = np.random.default_rng(12), tables()["plan"].reshape(-1, TARGETS), world()
    costs, allowed = w.costs().reshape(-1, TARGETS), np.tile(w.allowed, (PERIODS, 1))
    drawn = np.zeros_like(costs)
    for row, spread in enumerate(spreads(plan)):
        noise = np.exp(spread * luck.standard_normal((SAMPLES, TARGETS)))
        drawn[row] = least_of_four(costs[row] * noise, np.tile(plan[row], (SAMPLES, 1)), np.tile(allowed[row], (SAMPLES, 1))).mean(axis=0)
    return drawn.reshape(PERIODS, KINDS, TARGETS)


def draw(rng: np.random.Generator, n: int) -> Logged:
    """A log of `n` requests over a day."""
    w, plan = world(), tables()["plan"]
    kind, hour = rng.choice(KINDS, n, p=[0.5, 0.3, 0.2]), np.sort(rng.random(n))
    length = rng.lognormal(-(LENGTH**2) / 2, LENGTH, n)
    period = (hour * PERIODS).astype(np.int64)
    load = np.exp(LOAD * rng.standard_normal((n, TARGETS)) - LOAD**2 / 2)
    costs = w.costs()[period, kind] * load
    allowed = w.allowed[kind]
    chances = least_of_four(costs, plan[period, kind], allowed)
    chosen = np.minimum((np.cumsum(chances, axis=1) < rng.random((n, 1))).sum(axis=1), TARGETS - 1)
    rows = np.arange(n)
    noise = np.exp(SIGMA * rng.standard_normal(n) - SIGMA**2 / 2) * np.where(rng.random(n) < SLOW, SLOWER, 1.0) / (1 + SLOW * (SLOWER - 1))
    time_s = (w.mean_s(kind, hour, length) * load)[rows, chosen] * noise
    return Logged.of(
        [f"t{i:02}" for i in range(TARGETS)], chosen, chances[rows, chosen], {"time_to_success_s": time_s}, allowed=allowed,
        context=np.stack([hour, kind.astype(float), np.log(length)], axis=1),
    )  # fmt: skip


def policy(name: str, logged: Logged) -> Floats:
    """The policy on the requests of a log: it knows the kind and the snapshot, as a router does."""
    hour, kind = logged.context[:, 0], logged.context[:, 1].astype(np.int64)
    return tables()[name][(hour * PERIODS).astype(np.int64), kind]


class Truth(NamedTuple):
    """Of one policy, seconds."""

    mean_s: float
    p95_s: float


@cache
def truth(name: str) -> Truth:
    """Over every kind, hour and length that a request can have."""
    from scipy.special import ndtr, ndtri  # noqa: PLC0415 - workers need no scipy

    w, steps = world(), (np.arange(TRUTH_GRID) + 0.5) / TRUTH_GRID
    hours = (np.arange(4 * PERIODS) + 0.5) / (4 * PERIODS)
    kinds, hour, u = (grid.reshape(-1) for grid in np.meshgrid(np.arange(float(KINDS)), hours, steps, indexing="ij"))
    kind = kinds.astype(np.int64)
    # a lognormal's mean within each step of its distribution, so that the tail is not cut off
    edges = np.append(ndtri(np.arange(TRUTH_GRID) / TRUTH_GRID), np.inf)
    length = (np.diff(ndtr(edges - LENGTH)) * TRUTH_GRID)[(u * TRUTH_GRID).astype(int)]
    chances = sampled() if name == "learned" else tables()[name]
    share = np.array([0.5, 0.3, 0.2])[kind][:, None] * chances[(hour * PERIODS).astype(int), kind]
    share /= share.sum()
    mean_s = w.mean_s(kind, hour, length)
    sigma = math.hypot(SIGMA, LOAD)
    of_median = np.log(mean_s / (1 + SLOW * (SLOWER - 1))) - sigma**2 / 2
    low, high = 0.0, 1e3
    for _ in range(40):
        middle = (low + high) / 2
        z = (math.log(middle) - of_median) / sigma
        below = (1 - SLOW) * ndtr(z) + SLOW * ndtr(z - math.log(SLOWER) / sigma)
        low, high = (middle, high) if float((share * below).sum()) < 0.95 else (low, middle)
    return Truth(float((share * mean_s).sum()), low)


class Found(NamedTuple):
    """What one log said of one policy."""

    refused: str
    estimates: Mapping[str, Estimate]
    """By method, `p95` beside them; the naive ones without a width."""


def replication(seed: int, n: int) -> dict[str, Found]:
    """One log, every policy evaluated from it."""
    logged = draw(np.random.default_rng([11, seed]), n)
    found: dict[str, Found] = {}
    for name in POLICIES:
        evaluation = evaluate(logged, name, partial(policy, name))
        mean, p95 = evaluation.of("time_to_success_s"), evaluation.of("p95_time_to_success_s")
        if mean is None or p95 is None:
            found[name] = Found(evaluation.refused, {})
            continue
        estimates: dict[str, Estimate] = {"doubly_robust": mean.value, "p95": p95.value}
        estimates.update((method, estimate) for method, estimate in mean.others.items())
        estimates.update((method, Estimate(value=value, low=value, high=value)) for method, value in mean.naive.items())
        found[name] = Found("", estimates)
    return found


class Cell(NamedTuple):
    """A method for a policy over all replications; ratios of the truth."""

    bias: float
    rmse: float
    covered: float
    """Share of the intervals that hold the truth."""
    n: int


def cell(estimates: Sequence[Estimate], true: float) -> Cell:
    """Bias, root mean square error and coverage."""
    errors = np.array([e.value for e in estimates]) / true - 1.0
    inside = float(np.mean([e.low <= true <= e.high for e in estimates]))
    return Cell(float(errors.mean()), float(np.sqrt((errors**2).mean())), inside, len(estimates))


def study(replications: int, n: int, processes: int) -> list[dict[str, Found]]:
    """All replications, in the order of their seeds."""
    one = partial(replication, n=n)
    if processes == 1:
        return [one(seed) for seed in range(replications)]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(one, range(replications), chunksize=10))


def table(runs: Sequence[dict[str, Found]]) -> list[tuple[str, str, Cell]]:
    """(policy, method, cell) of whatever was not refused."""
    cells: list[tuple[str, str, Cell]] = []
    for name in POLICIES:
        answered = [run[name].estimates for run in runs if not run[name].refused]
        if answered:
            cells += [(name, method, cell([e[method] for e in answered], truth(name).mean_s)) for method in METHODS]
            cells.append((name, "p95", cell([e["p95"] for e in answered], truth(name).p95_s)))
    return cells


def verdict(name: str, method: str, found: Cell) -> str:
    """The promise beside what came of it."""
    if method != "doubly_robust":
        return ""
    covers = f"coverage 93–97 % {'met' if 0.93 <= found.covered <= 0.97 else 'SHORT'}"
    return f"RMSE ≤ 1 % {'met' if found.rmse <= 0.01 else 'SHORT'}, {covers}" if name == "near" else covers


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=2000, help="logs (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=20_000, help="requests in each (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(argv)
    began = time.perf_counter()
    runs = study(options.replications, options.rows, options.processes)
    print(
        f"{options.replications} logs of {options.rows:,} requests to {TARGETS} targets; mean time to success, p95 below; {time.perf_counter() - began:.0f} s"
    )
    print(f"{'policy':<8}{'method':<26}{'bias':>8}{'RMSE':>8}{'covered':>9}   promise")
    for name, method, found in table(runs):
        covered = "" if method in {"matching_rows", "target_means"} else f"{found.covered:.1%}"
        figures = f"{found.bias:>8.2%}{found.rmse:>8.2%}{covered:>9}   {verdict(name, method, found)}"
        print(f"{name:<8}{NAMES[method]:<26}{figures}".rstrip())
    for name in POLICIES:
        reasons = [run[name].refused for run in runs if run[name].refused]
        if reasons:
            print(f"{name:<8}refused {len(reasons)} of {len(runs)}: {reasons[0]}")


if __name__ == "__main__":
    main()
