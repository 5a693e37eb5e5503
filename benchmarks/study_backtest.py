"""The study of backtests: all policies on real traces, and how well a backtest foretells what another policy really does.

Traces: the first 6,000 requests of `azure`, the first 4,000 of `mooncake`, and two hours of `servegen` thinned to 20,000 requests (`--requests 100000`: all
of all), at the ten recorded providers of the demonstration with its troubles, compressed until the load is 70 %. Every policy meets the same requests and
luck; intervals are Student's over the seeds.

Foretold: the demonstration is recorded under one policy; from that recording alone the others are backtested; beside it stands what they do in the very
same world. The true providers answer from recordings, behind slots: nothing in the fit knows that.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from routecast.analytics.simulation.trial import Simulation, run
from routecast.backtest.backtesting import run_all
from routecast.backtest.fleet import Candidate
from routecast.backtest.input import read, recording_played
from routecast.backtest.trace_input import trace_played
from routecast.backtest.traces import TRACES, TraceName, trace
from routecast.dashboards.report.figures import COLUMNS, interval
from routecast.demo.comparison import START_MS, FleetPolicy
from routecast.demo.demonstration import scene
from routecast.models.backtest import PolicyAnswer
from routecast.routed import RouterPolicy
from routecast.streams.recordings.recording import RecordingWriter

POLICIES = ("performance", "weighted", "least_connections", "round_robin", "greedy", "learned", "random")
REQUESTS = {"azure": 6_000, "mooncake": 4_000, "servegen": 100_000}
"""Of each trace, the first: six minutes of simulated time."""
KEPT = 10_000_000
"""Records that the embedded log keeps: all of a run."""


class Foretold(NamedTuple):
    """One policy in one world: what was foretold from a recording under another, and what came."""

    recorded: str
    policy: str
    seed: int
    foretold_ms: float
    came_ms: float
    foretold_p95_ms: float
    came_p95_ms: float

    @property
    def error(self) -> float:
        """Of the mean, as a ratio."""
        return self.foretold_ms / self.came_ms - 1.0

    @property
    def error_p95(self) -> float:
        """Of the 95th percentile."""
        return self.foretold_p95_ms / self.came_p95_ms - 1.0


def on_trace(name: TraceName, seeds: range, policies: Sequence[str], most: int, jobs: int) -> tuple[PolicyAnswer, ...]:
    """All policies on one trace."""
    played = trace_played(name, trace(name, os.environ).first(most), seeds)
    source = played.source
    print(f"\n{name}: {source.requests:,} requests, {played.quality[2].meaning}; input {source.digest}", flush=True)
    return run_all(played.scenes, [Candidate(policy, played.config, policy) for policy in policies], jobs=jobs, tell=partial(_tell, name)).policies


def _tell(what: str, share: float) -> None:
    print(f"\r{what}: {share:.0%}", end="", file=sys.stderr, flush=True)


def table(answers: Sequence[PolicyAnswer]) -> str:
    """The metrics of all policies, as a table of the documentation."""
    known = [column for column in COLUMNS if any(getattr(it.figures, column[0]) is not None for it in answers)]
    lines = [f"| | {' | '.join(it.name for it in answers)} |", f"|---|{'---|' * len(answers)}"]
    lines += [f"| {head} | {' | '.join(interval(getattr(it.figures, name), words) for it in answers)} |" for name, head, words in known]
    return "\n".join(lines)


def played_out(policy: str, seed: int, duration_s: float, file: Path | None) -> tuple[float, float]:
    """The demonstration under a policy: mean time to success and p95, ms; its events go to the file."""
    stage, made = scene(seed, duration_s), list[FleetPolicy]()

    def build(simulation: Simulation) -> RouterPolicy:
        made.append(FleetPolicy(simulation, stage, policy, seed, None, []))
        made[0].fleet.pipeline.kept = KEPT
        return made[0].routed

    result = run(stage.world, build, seed=seed, start_ms=START_MS, make=stage.make)
    made[0].settle()
    if file is not None:
        log = made[0].fleet.pipeline.log
        with RecordingWriter(file, "routecast.") as out:
            for topic in ("events", "state", "ticks", "control", "trips"):
                for record in log.read(topic, 0, 0, KEPT):
                    out.add(topic, 0, record)
    counted = result.times_s[int(0.05 * len(result.times_s)) :] * 1000.0
    return float(counted.mean()), float(sorted(counted)[int(0.95 * len(counted))])


def foretell(recorded: str, policies: Sequence[str], seed: int, duration_s: float, runs: int) -> list[Foretold]:
    """Record under one policy, backtest all, and play each of them in the very same world."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recorded.routecast"
        truth = {recorded: played_out(recorded, seed, duration_s, file)}
        played = recording_played(file, read(file, None, lambda _events, _at_ms: None), None, range(1, runs + 1), 100_000)
    truth |= {policy: played_out(policy, seed, duration_s, None) for policy in policies if policy != recorded}
    answers = run_all(played.scenes, [Candidate(policy, played.config, policy) for policy in policies]).policies
    rows: list[Foretold] = []
    for answer in answers:
        mean, p95 = answer.figures.time_to_success_ms, answer.figures.p95_ms
        foretold = (math.nan if it is None else it.value for it in (mean, p95))
        mean_ms, p95_ms = foretold
        came_ms, came_p95_ms = truth[answer.name]
        rows.append(Foretold(recorded, answer.name, seed, mean_ms, came_ms, p95_ms, came_p95_ms))
    return rows


def foretold_table(rows: Sequence[Foretold]) -> str:
    """What was foretold beside what came, the mean over the worlds."""
    lines = ["| recorded under | policy | worlds | foretold, s | came, s | error of the mean | error of p95 |", "|---|---|---|---|---|---|---|"]
    for recorded, policy in dict.fromkeys((row.recorded, row.policy) for row in rows):
        mine = [row for row in rows if (row.recorded, row.policy) == (recorded, policy)]
        foretold_s, came_s = (statistics.fmean(values) / 1000.0 for values in ([row.foretold_ms for row in mine], [row.came_ms for row in mine]))
        errors = (statistics.fmean(abs(row.error) for row in mine), statistics.fmean(abs(row.error_p95) for row in mine))
        lines.append(f"| {recorded} | {policy} | {len(mine)} | {foretold_s:.2f} | {came_s:.2f} | {errors[0]:.0%} | {errors[1]:.0%} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the study and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4, help="runs of each policy on each trace (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the first one (default: %(default)s)")
    parser.add_argument("--traces", nargs="*", choices=TRACES, default=list(TRACES), help="default: all")
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), help="default: %(default)s")
    parser.add_argument("--requests", type=int, help="of every trace at most, the first (default: 6,000 azure, 4,000 mooncake, all servegen)")
    parser.add_argument("--worlds", type=int, default=2, help="recordings from which the others are foretold; 0: none (default: %(default)s)")
    parser.add_argument("--recorded", nargs="+", default=["performance"], help="policies under which they are made (default: %(default)s)")
    parser.add_argument("--duration", type=float, default=420.0, help="seconds of each (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    options = parser.parse_args(argv)
    seeds = range(options.seed, options.seed + options.seeds)
    for name in options.traces:
        answers = on_trace(name, seeds, options.policies, options.requests or REQUESTS[name], options.jobs)
        print(f"\n{table(answers)}", flush=True)
    rows: list[Foretold] = []
    for world in range(options.worlds):
        for recorded in options.recorded:
            rows += foretell(recorded, [recorded, *(policy for policy in options.policies if policy != recorded)], options.seed + world, options.duration, 2)
            print(f"\rforetold {len(rows)}", end="", file=sys.stderr, flush=True)
    if rows:
        print(f"\n{foretold_table(rows)}")


if __name__ == "__main__":
    main()
