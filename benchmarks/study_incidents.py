"""The study of incidents: the troubles of the demonstration over many seeds, and what the fleet noticed of each, how soon, and what it only believed.

A sign is a state of a target, a change or an alert that names the target. Signs at targets without a trouble of their own are load that a
trouble drove there, or false; all of them are printed.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from routecast.demo.comparison import compare
from routecast.models.report import DemoReport


def report_of(seed: int, duration_s: float) -> DemoReport:
    """The demonstration under the default policy alone."""
    return compare(seed, duration_s, ("performance",))


def table(reports: Sequence[DemoReport]) -> str:
    """Trouble × sign: in how many of the runs it was seen, and the median and largest delay."""
    lines = [f"{len(reports)} runs of {reports[0].duration_s:.0f} virtual seconds", f"  {'trouble':<54}{'sign':<34}{'runs':>6}{'median s':>10}{'most s':>8}"]
    for number, first in enumerate(reports[0].noticed):
        delays: dict[str, list[float]] = {}
        for report in reports:
            for what, after_s in report.noticed[number].after_s.items():
                delays.setdefault(what, []).append(after_s)
        named = sum(bool(report.noticed[number].after_s) for report in reports)
        soonest = [min(report.noticed[number].after_s.values()) for report in reports if report.noticed[number].after_s]
        lines.append(_line(f"{first.target}: {first.trouble}", "any", named, soonest))
        lines += [_line("", what, len(found), found) for what, found in sorted(delays.items())]
    lines += ["", "Not named:", *(_unnamed(reports) or ["  none"])]
    elsewhere = Counter(sign.split(" at ")[0] for report in reports for sign in report.elsewhere)
    lines += ["", "At targets without a trouble of their own:", *(f"  {sign}: {n}" for sign, n in elsewhere.most_common())]
    return "\n".join(lines if elsewhere else [*lines, "  nothing"])


def _unnamed(reports: Sequence[DemoReport]) -> list[str]:
    return [f"  seed {report.seed}: {it.target}: {it.trouble}" for report in reports for it in report.noticed if not it.after_s]


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
        reports = list(pool.map(report_of, range(options.first, options.first + options.seeds), [options.duration] * options.seeds))
    print(table(reports))


if __name__ == "__main__":
    main()
