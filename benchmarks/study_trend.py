"""The study of trends: series with and without a drift, over noise and autocorrelation, judged by three rules in the same run.

A series is the logarithm of a metric over 60 windows: a straight drift by a factor of 1.3 or 1 ÷ 1.3, or none, and AR(1) noise around it.
Right is the direction of a drift; false is any direction where there is none. Mann-Kendall and plain least squares say a direction at
p < 0.05, as they are customarily used.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from core import Row
from numpy.typing import NDArray

from routecast.analytics.changes.student import two_sided_p
from routecast.analytics.changes.trend import fit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WINDOWS = 60
DRIFT = 0.30
NOISES = (0.02, 0.04, 0.08, 0.16)
CORRELATIONS = (0.0, 0.2, 0.4, 0.6, 0.8)
PROMISED = (0.08, 0.4)
"""Noise and autocorrelation at which 97 % are to be right."""


def series(rng: np.random.Generator, n: int, drift: float, noise: float, correlation: float) -> Floats:
    """[windows × n] logarithms; `drift` is the change from the first to the last, `noise` the standard deviation."""
    errors = rng.normal(size=(WINDOWS, n))
    for before, row in pairwise(errors):
        row[:] = correlation * before + math.sqrt(1.0 - correlation**2) * row
    return np.linspace(0.0, drift, WINDOWS)[:, None] + noise * errors


def ours(values: Floats) -> Ints:
    """1 rising, -1 falling, 0 neither."""
    direction = fit(values, np.ones_like(values)).direction
    return np.where(np.abs(direction) == 1, direction, 0)


def least_squares(values: Floats) -> Ints:
    """The slope's own p-value, neighbours taken as independent."""
    times = np.arange(WINDOWS) - (WINDOWS - 1) / 2.0
    slope = times @ values / (times @ times)
    residuals = values - values.mean(axis=0) - np.outer(times, slope)
    freedom = WINDOWS - 2.0
    t = slope / np.sqrt((residuals**2).sum(axis=0) / freedom / (times @ times))
    return np.where(two_sided_p(t, np.full_like(t, freedom)) < 0.05, np.sign(slope), 0).astype(np.int64)


def mann_kendall(values: Floats) -> Ints:
    """How many pairs rise, against chance."""
    early, late = np.triu_indices(WINDOWS, 1)
    found = np.sign(values[late] - values[early]).sum(axis=0)
    z = (np.abs(found) - 1.0) / math.sqrt(WINDOWS * (WINDOWS - 1) * (2 * WINDOWS + 5) / 18.0)
    return np.where(z > 1.96, np.sign(found), 0).astype(np.int64)


RULES: dict[str, Callable[[Floats], Ints]] = {"routecast": ours, "Mann-Kendall": mann_kendall, "least squares": least_squares}


def measured(n: int, noise: float, correlation: float, seed: int) -> dict[str, tuple[float, float]]:
    """Of `n` series that drift, half of them up, the share that is right; of as many that do not, the share that is false; for each rule."""
    rng = np.random.default_rng([seed, round(noise * 1000), round(correlation * 1000)])
    amount = math.log1p(DRIFT)
    up, down = (series(rng, n // 2, drift, noise, correlation) for drift in (amount, -amount))
    still = series(rng, n, 0.0, noise, correlation)
    return {name: (float(np.mean(np.concatenate([rule(up) == 1, rule(down) == -1]))), float(np.mean(rule(still) != 0))) for name, rule in RULES.items()}


def rows() -> list[Row]:
    """The figures that are promised."""
    noise, correlation = PROMISED
    found = measured(4000, noise, correlation, seed=1)
    measure = "drift of 30 % in 60 windows, 8 % noise, ρ 0.4: "
    targets = {"routecast": "≥ 97 %, ≤ 5 %"}
    return [Row(measure + name, f"{right:.1%} right, {false:.1%} false", targets.get(name, "")) for name, (right, false) in found.items()]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=4000, help="with and as many without a drift, in each cell (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    print(f"drift of 30 % in {WINDOWS} windows; right of {options.series} series that drift / false of as many that do not")
    print(f"{'noise':>6}{'ρ':>6}   " + "".join(f"{name:<20}" for name in RULES) + "target of routecast")
    for noise in NOISES:
        for correlation in CORRELATIONS:
            found = measured(options.series, noise, correlation, options.seed)
            cells = "".join(f"{f'{right:.1%} / {false:.1%}':<20}" for right, false in found.values())
            right, false = found["routecast"]
            print(f"{noise:>6.0%}{correlation:>6.1f}   {cells}{_verdict(noise, correlation, right, false)}".rstrip(), flush=True)


def _verdict(noise: float, correlation: float, right: float, false: float) -> str:
    said = f"false ≤ 5 % {'met' if false <= 0.05 else 'SHORT'}"
    return f"right ≥ 97 % {'met' if right >= 0.97 else 'SHORT'}, {said}" if (noise, correlation) == PROMISED else said


if __name__ == "__main__":
    main()
