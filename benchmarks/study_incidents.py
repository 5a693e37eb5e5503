"""The study of incidents: the troubles of the demonstration over many seeds, and what the fleet noticed of each, how soon, and what it only believed.

A sign is a state of a target, a change or an alert that names the target. Signs at targets without a trouble of their own are load that a
trouble drove there, or false; all of them are printed, and whether the calls bear them out.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from signs import Signs, signs


def table(found: Sequence[Signs], duration_s: float) -> str:
    """Trouble × sign: in how many of the runs it was seen, and the median and largest delay."""
    lines = [f"{len(found)} runs of {duration_s:.0f} virtual seconds", f"  {'trouble':<54}{'sign':<34}{'runs':>6}{'median s':>10}{'most s':>8}"]
    for number, first in enumerate(found[0].noticed):
        delays: dict[str, list[float]] = {}
        for one in found:
            for what, after_s in one.noticed[number].after_s.items():
                delays.setdefault(what, []).append(after_s)
        soonest = [min(one.noticed[number].after_s.values()) for one in found if one.noticed[number].after_s]
        lines.append(_line(f"{first.target}: {first.trouble}", "any", len(soonest), soonest))
        lines += [_line("", what, len(times), times) for what, times in sorted(delays.items())]
    return "\n".join([*lines, "", "Not named:", *(_unnamed(found) or ["  none"]), "", *_elsewhere(found)])


def _elsewhere(found: Sequence[Signs]) -> list[str]:
    counts = Counter(sign.rpartition(" at ")[0] for one in found for sign in one.elsewhere)
    lines = ["At targets without a trouble of their own:", *(f"  {sign}: {n}" for sign, n in counts.most_common())]
    doubtful = [f"  seed {one.seed}: {sign}" for one in found for sign in one.doubtful]
    chance = sum(one.chance * len(one.elsewhere) for one in found) / max(1, counts.total())
    told = f"{counts.total() - len(doubtful)} of these {counts.total()} are borne out by the calls, {100 * chance:.0f} % would be at random times; not:"
    return [*lines, told, *(doubtful or ["  none"])]


def _unnamed(found: Sequence[Signs]) -> list[str]:
    return [f"  seed {one.seed}: {it.target}: {it.trouble}" for one in found for it in one.noticed if not it.after_s]


def _line(trouble: str, what: str, runs: int, delays_s: Sequence[float]) -> str:
    figures = f"{statistics.median(delays_s):>10.0f}{max(delays_s):>8.0f}" if delays_s else ""
    return f"  {trouble:<54}{what:<34}{runs:>6}{figures}"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the study and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="runs (default: %(default)s)")
    parser.add_argument("--first", type=int, default=1, help="the first of the seeds (default: %(default)s)")
    parser.add_argument("--duration", type=float, default=420.0, help="virtual seconds of each (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    options = parser.parse_args(argv)
    with ProcessPoolExecutor(options.jobs) as pool:
        found = list(pool.map(signs, range(options.first, options.first + options.seeds), [options.duration] * options.seeds))
    print(table(found, options.duration))


if __name__ == "__main__":
    main()
