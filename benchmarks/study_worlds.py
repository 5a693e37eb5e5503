"""The study of worlds: policies in the standard worlds, each beside ORC and BEST on the same requests, with 95 % intervals.

A ratio is the mean over the seeds of each seed's ratio; its interval is Student's over the seeds. Rivals that read a table read it every
5 s. `azure` and `mooncake` need the recorded traces and are left out, with a word, where ROUTECAST_TRACES does not lead to them.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from fleet_chooser import FleetChooser
from traces import recorded

from routecast.analytics.simulation.references import best, orc
from routecast.analytics.simulation.rivals import LeastConnections, PeakEwma, RoundRobin, Uniform
from routecast.analytics.simulation.snapshot_rivals import Greedy, WeightedThree
from routecast.analytics.simulation.trial import Chooser, Simulation, run
from routecast.analytics.simulation.worlds import WORLD_NAMES, World, WorldName, build

START_MS = 1_700_000_000_000.0
RIVAL_PERIOD_MS = 5_000.0
QUICK_S = 160.0
LONG_PERIOD_S = 5.0
"""Above this period the wider of two targets holds."""
RIVALS: dict[str, Callable[[Simulation], Chooser[Any]]] = {
    "orc": orc,
    "best": best,
    "peak_ewma": PeakEwma,
    "least_connections": LeastConnections,
    "round_robin": RoundRobin,
    "uniform": Uniform,
    "weighted_three": partial(WeightedThree, period_ms=RIVAL_PERIOD_MS),
    "greedy": partial(Greedy, period_ms=RIVAL_PERIOD_MS),
}
OURS = {"ours": "performance", "learned": "learned"}
"""Policies of the product, which read snapshots of a period."""
YARDSTICKS = ("orc", "best")
BEST_TARGET = 1.20
"""Largest mean ÷ BEST aimed at in queueing worlds."""
STUDENT_95 = (math.nan, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""97.5 % quantiles of Student's t by degrees of freedom; 1.96 beyond."""


class Case(NamedTuple):
    """A world under a load."""

    world: WorldName
    load: float

    def __str__(self) -> str:
        """The way `--worlds` writes it."""
        return f"{self.world}@{self.load * 100:.0f}"


STUDIED = (
    Case("fifo", 0.7), Case("fifo", 0.9), Case("elastic", 0.7), Case("half", 0.7), Case("ps", 0.9), Case("azure", 0.7), Case("uneven", 0.7),
    Case("surge", 0.55), Case("mixed", 0.7), Case("slow", 0.7), Case("fastfail", 0.7), Case("hang", 0.7), Case("slowrec", 0.7), Case("partial", 0.7),
    Case("join", 0.7),
)  # fmt: skip
TARGETS: dict[Case, tuple[float, float | None]] = {
    **{Case(world, 0.7): (1.03, 1.05) for world in ("fifo", "azure", "mooncake", "uneven")},
    **{Case(world, 0.9): (1.00, 1.02) for world in ("fifo", "azure", "mooncake", "uneven")},
    **{Case(world, 0.7): (1.10, 1.12) for world in ("slow", "fastfail", "slowrec", "partial")},
    Case("hang", 0.7): (1.20, 1.45),
    Case("elastic", 0.7): (1.06, 1.06),
    Case("half", 0.7): (0.90, None),
    Case("ps", 0.9): (1.15, None),
    Case("surge", 0.55): (1.08, None),
    Case("mixed", 0.7): (1.00, None),
    Case("join", 0.7): (1.03, None),
}
"""Largest mean ÷ ORC aimed at, for periods up to 5 s and above; None = nothing promised."""
INTO_TROUBLE = {Case("fastfail", 0.7): 0.02, Case("partial", 0.7): 0.03}
"""Largest share aimed at of the attempts that go into the bad target while it is bad."""
AGAINST_BEST = {Case(world, load) for world in ("fifo", "azure", "mooncake", "uneven") for load in (0.7, 0.9)}


@dataclass(frozen=True)
class Run:
    """One policy in one draw of a world."""

    case: str
    seed: int
    policy: str
    mean_s: float
    p95_s: float
    p99_s: float
    mean_until_end_s: float
    """Mean over the requests that ended before the last one arrived: comparable with simulations that stop there."""
    failed_ratio: float
    rate_limited_ratio: float
    largest_share: float
    trouble_share: float
    """Of the attempts that went into the bad target while it was bad; not a number where no target is."""
    us_per_request: float
    """Wall time."""


@cache
def drawn(case: Case, seed: int, quick: bool) -> World:  # noqa: FBT001 - the cache wants it plain
    """The world; its last few draws are kept."""
    world = build(case.world, seed=seed, load=case.load, traffic=recorded(case.world))
    return world.until(QUICK_S) if quick else world


def policy_of(name: str) -> Callable[[Simulation], Chooser[Any]]:
    """The policy of a name as the table prints it."""
    policy = name.split(maxsplit=1)[0]
    if policy in OURS:
        return partial(FleetChooser, period_ms=_period_s(name) * 1000.0, policy=OURS[policy])
    return RIVALS[name]


def _period_s(name: str) -> float:
    """Snapshot period of a policy of the product, as in `ours 5 s`."""
    return float(name.split()[1])


def measure(case: Case, seed: int, policy: str, quick: bool) -> Run:  # noqa: FBT001 - crosses processes
    """Run one policy in one world."""
    world = drawn(case, seed, quick)
    began = time.perf_counter()
    result = run(world, policy_of(policy), seed=seed, start_ms=START_MS)
    return Run(
        case=str(case),
        seed=seed,
        policy=policy,
        mean_s=result.mean_s,
        p95_s=result.quantile_s(0.95),
        p99_s=result.quantile_s(0.99),
        mean_until_end_s=result.mean_until_s(float(world.requests.at_ms[-1]) / 1000.0),
        failed_ratio=result.failed_requests / len(result.times_s),
        rate_limited_ratio=result.rate_limited_ratio,
        largest_share=result.largest_share,
        trouble_share=result.trouble_share,
        us_per_request=(time.perf_counter() - began) / len(world.requests) * 1e6,
    )


def measure_all(cases: Sequence[Case], seeds: int, policies: Sequence[str], jobs: int, *, quick: bool) -> list[Run]:
    """Every policy in every draw of every world, the slow ones first, with a line of progress for each."""
    # Ours is by far the slowest: begun first, it leaves the short runs to fill the end.
    work = [(case, seed, policy, quick) for policy in sorted(policies, key=_slow_first) for case in cases for seed in range(seeds)]
    runs: list[Run] = []
    pool = ProcessPoolExecutor(jobs)
    try:
        for done in as_completed([pool.submit(measure, *item) for item in work]):
            runs.append(done.result())
            last = runs[-1]
            line = f"[{len(runs)}/{len(work)}] {last.case} seed {last.seed} {last.policy}: {last.mean_s:.3f} s"
            print(line, f"({last.us_per_request:.0f} µs a request)", file=sys.stderr, flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    return runs


def _slow_first(policy: str) -> bool:
    return policy.split(maxsplit=1)[0] not in OURS


def ratio(runs: Iterable[Run], case: Case, policy: str, yardstick: str) -> tuple[float, float]:
    """Mean ÷ the yardstick's on the same requests, averaged over the seeds, and half the width of its 95 % interval."""
    means = {(r.policy, r.seed): r.mean_s for r in runs if r.case == str(case)}
    ratios = [means[policy, seed] / means[yardstick, seed] for name, seed in means if name == policy]
    if len(ratios) == 1:
        return ratios[0], math.nan
    freedom = len(ratios) - 1
    student = STUDENT_95[freedom] if freedom < len(STUDENT_95) else 1.96
    return statistics.fmean(ratios), student * statistics.stdev(ratios) / math.sqrt(len(ratios))


def verdict(case: Case, policy: str, to_orc: float, to_best: float, into_trouble: float) -> str:
    """The targets of a figure of ours, each met or short; empty where none is set."""
    if policy.split(maxsplit=1)[0] not in OURS or case not in TARGETS:
        return ""
    limit = TARGETS[case][_period_s(policy) > LONG_PERIOD_S]
    parts = [] if limit is None else [f"ORC ≤ {limit:.2f} {_mark(to_orc, limit)}"]
    if case in AGAINST_BEST:
        parts.append(f"BEST ≤ {BEST_TARGET:.2f} {_mark(to_best, BEST_TARGET)}")
    if case in INTO_TROUBLE:
        parts.append(f"into the bad one {into_trouble:.1%} ≤ {INTO_TROUBLE[case]:.0%} {_mark(into_trouble, INTO_TROUBLE[case])}")
    return ", ".join(parts)


def _mark(value: float, limit: float) -> str:
    return "met" if value <= limit else "SHORT"


def table(runs: Sequence[Run], cases: Sequence[Case], policies: Sequence[str]) -> str:
    """The study as text, a block for each world."""
    lines: list[str] = []
    for case in cases:
        lines.append(f"\n{case.world} at {case.load * 100:.0f} % load")
        lines.append(f"  {'policy':<18}{'mean s':>9}{'p99 s':>9}   {'÷ ORC':<17}{'÷ BEST':<17}target")
        for policy in policies:
            mine = [r for r in runs if r.case == str(case) and r.policy == policy]
            (to_orc, orc_half), (to_best, best_half) = (ratio(runs, case, policy, yardstick) for yardstick in YARDSTICKS)
            mean_s, p99_s = statistics.fmean(r.mean_s for r in mine), statistics.fmean(r.p99_s for r in mine)
            into = statistics.fmean(r.trouble_share for r in mine)
            figures = f"{mean_s:>9.3f}{p99_s:>9.2f}   {_interval(to_orc, orc_half):<17}{_interval(to_best, best_half):<17}"
            lines.append(f"  {policy:<18}{figures}{verdict(case, policy, to_orc, to_best, into)}".rstrip())
    return "\n".join(lines)


def _interval(value: float, half: float) -> str:
    decimals = 3 if value < 10.0 else 0
    return f"{value:.{decimals}f}" if math.isnan(half) else f"{value:.{decimals}f} ± {half:.{decimals}f}"


def case_of(text: str) -> Case:
    """`fifo` or `fifo@90`."""
    name, _, percent = text.partition("@")
    if name not in WORLD_NAMES:
        raise argparse.ArgumentTypeError(f"no world {name!r}: choose among {', '.join(WORLD_NAMES)}")
    usual = {"ps": 0.9, "surge": 0.55}.get(name, 0.7)
    return Case(name, float(percent) / 100.0 if percent else usual)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="draws of each world (default: %(default)s)")
    parser.add_argument("--worlds", nargs="+", type=case_of, default=STUDIED, metavar="WORLD[@LOAD%]", help="default: %(default)s")
    usual = ["ours", *(name for name in RIVALS if name != "uniform")]
    parser.add_argument("--policies", nargs="+", choices=[*OURS, *RIVALS], default=usual, help="default: all but uniform and learned")
    parser.add_argument("--periods", nargs="+", type=float, default=[1.0, 5.0, 15.0], help="snapshot periods of ours, s")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every run there")
    parser.add_argument("--quick", action="store_true", help="fifo alone, two draws, the first 160 s, periods of 1 and 5 s")
    options = parser.parse_args(argv)
    if options.quick:
        options.worlds, options.seeds, options.periods = [Case("fifo", 0.7)], 2, [1.0, 5.0]
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Run the study and print it."""
    options = arguments(argv)
    cases: list[Case] = []
    for case in options.worlds:
        if case.world in {"azure", "mooncake"} and recorded(case.world) is None:
            print(f"{case}: left out, set ROUTECAST_TRACES to the folder with its trace", file=sys.stderr)
        else:
            cases.append(case)
    ours = [f"{name} {period:g} s" for name in OURS if name in options.policies for period in options.periods]
    policies = [*YARDSTICKS, *ours, *(name for name in options.policies if name not in {*OURS, *YARDSTICKS})]
    runs = measure_all(cases, options.seeds, policies, options.jobs, quick=options.quick)
    print(table(runs, cases, policies))
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in runs], indent=1) + "\n")


if __name__ == "__main__":
    main()
