"""The study of detection: how many answers it takes until a change is noticed, every method at the same rate of false alarms, in this same run.

Latencies are lognormal with a standard deviation of 0.84 of the logarithm. Two rates are shown: one false alarm in 10,000 answers, where the figures of
the design hold, and one in two million, which the product keeps. `told the factor` is a detector that knows the change beforehand (Page's CUSUM, optimal
by Moustakides 1986): nothing can be faster at that rate. Every rival is tuned by its own threshold; Page-Hinkley is the best of three allowances for each
factor. Rates are counted over 2 × 10⁷ quiet answers.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from river import drift
from scipy.stats import norm
from token_gain import gain

from routecast.analytics.changes.change_detector import ChangeDetector
from routecast.analytics.changes.cusum import ALLOWANCES, BOUNDS, Cusum, bounded, shift_steps

Floats = NDArray[np.float64]

SD = 0.84
FACTORS = (1.3, 1.5, 2.0, 3.0, 5.0)
DESIGNED = (129, 60, 21, 10, 5)
"""Answers until detection in the design, with bounds of 8.6."""
LOOSE, STRICT = 1e-4, 5e-7
"""False alarms an answer."""
BOUND_OF = {LOOSE: (8.6, 8.6, 8.6), STRICT: BOUNDS}
WARM = 1_000
LANES = 1_000
SLICE = 1_000_000


class Detector(Protocol):
    """Ours and river's alike, once wrapped."""

    def update(self, x: float) -> object:
        """Take a value."""
        ...


class Contender(NamedTuple):
    """A method with what it is tuned by."""

    name: str
    make: Callable[[], Detector]
    found: Callable[[Detector], bool]


def ours(rate: float, *, known: bool = True) -> Contender:
    name = "ours, each answer" + ("" if known else ", usual level learned")
    return Contender(name, partial(ChangeDetector, (0.0, 1.0) if known else None, BOUND_OF[rate]), _ours_found)


def page_hinkley(allowance: float, threshold: float) -> Contender:
    make = partial(drift.PageHinkley, min_instances=WARM, delta=allowance, threshold=threshold, alpha=0.9999)
    return Contender(f"Page-Hinkley, allowance {allowance:g}", make, _river_found)


def adwin(delta: float) -> Contender:
    return Contender("ADWIN", partial(drift.ADWIN, delta=delta, clock=1), _river_found)


def _ours_found(detector: Detector) -> bool:
    return detector.detected  # type: ignore[attr-defined, no-any-return]


def _river_found(detector: Detector) -> bool:
    return bool(detector.drift_detected)  # type: ignore[attr-defined]


def quiet(n: int, seed: int) -> Iterator[list[float]]:
    """Standardised logarithms of quiet latencies, a slice at a time."""
    luck = np.random.default_rng(seed)
    for first in range(0, n, SLICE):
        yield luck.standard_normal(min(SLICE, n - first)).tolist()


def false_alarms(contender: Contender, n: int, seed: int = 1) -> int:
    """Alarms over `n` quiet answers."""
    detector, found, alarms = contender.make(), contender.found, 0
    for part in quiet(n, seed):
        for x in part:
            detector.update(x)
            if found(detector):
                alarms += 1
    return alarms


def delays(contender: Contender, factor: float, trials: int, seed: int = 2) -> list[int]:
    """Answers until detection, after a thousand quiet ones without an alarm."""
    luck = np.random.default_rng(seed)
    return [_delay(contender, math.log(factor) / SD, luck) for _ in range(trials)]


def _delay(contender: Contender, shift: float, luck: np.random.Generator) -> int:
    detector = contender.make()
    for x in luck.standard_normal(WARM).tolist():
        detector.update(x)
        if contender.found(detector):
            return _delay(contender, shift, luck)
    for n in range(1, 50_000):
        detector.update(float(luck.standard_normal()) + shift)
        if contender.found(detector):
            return n
    return 50_000


def tuned(make: Callable[[float], Contender], strictness: Sequence[float], rate: float, n: int) -> Contender:
    """The contender at this rate: the logarithm of the rate is a line over the threshold, through what shorter runs at looser ones tell."""
    counts = [(threshold, false_alarms(make(threshold), n, seed=3)) for threshold in strictness]
    points = [(threshold, math.log(count / n)) for threshold, count in counts if count >= 10]
    slope, level = np.polyfit([t for t, _ in points], [r for _, r in points], 1)
    return make(float((math.log(rate) - level) / slope))


class Grouped(NamedTuple):
    """Many series at once, as the leader sees them: so many answers a tick on average."""

    size: float
    bounds: tuple[float, ...]

    def ticks(self, shift: float, luck: np.random.Generator, cusum: Cusum) -> Iterator[tuple[Floats, NDArray[np.bool_]]]:
        """Answers of each tick, and which series raised an alarm."""
        usual = np.zeros(LANES)
        for tick in range(10**9):
            n = luck.poisson(self.size, LANES).astype(float)
            z = bounded(n, luck.standard_normal(LANES) * np.sqrt(n) + shift * n, np.ones(LANES))
            cusum.update(float(tick), shift_steps(n, z, usual), n, z)
            yield n, cusum.doubt > 1.0

    def fresh(self) -> Cusum:
        """Without evidence."""
        cusum = Cusum(self.bounds * 2)
        cusum.grow(LANES)
        return cusum

    def false_alarms(self, answers: int) -> int:
        """Alarms over so many quiet answers."""
        cusum, seen, alarms = self.fresh(), 0.0, 0
        for n, alarmed in self.ticks(0.0, np.random.default_rng(4), cusum):
            seen += float(n.sum())
            alarms += int(alarmed.sum())
            cusum.forget(np.flatnonzero(alarmed))
            if seen >= answers:
                return alarms
        raise AssertionError

    def delays(self, factor: float) -> list[int]:
        """Answers until the tick at which each series is found to have changed."""
        luck, cusum = np.random.default_rng(5), self.fresh()
        for tick, (_, alarmed) in enumerate(self.ticks(0.0, luck, cusum)):
            cusum.forget(np.flatnonzero(alarmed))
            if tick * self.size > WARM:
                break
        answers, done = np.zeros(LANES), np.zeros(LANES, bool)
        for n, alarmed in self.ticks(math.log(factor) / SD, luck, cusum):
            answers += np.where(done, 0.0, n)
            done |= alarmed
            if done.all():
                break
        return [int(a) for a in answers]


def told(factor: float, rate: float) -> list[int]:
    """Page's CUSUM for this very change, upwards alone, with Siegmund's bound."""
    shift = math.log(factor) / SD
    bound = math.log(shift**2 / 2.0 / rate)
    for _ in range(50):
        bound = math.log(shift**2 / 2.0 / rate + bound + 1.166 * shift + 1.0) - 1.166 * shift
    luck, sums = np.random.default_rng(6), np.zeros(LANES)
    for _ in range(WARM):
        sums = np.maximum(0.0, sums + shift * (luck.standard_normal(LANES) - shift / 2.0))
        sums[sums > bound] = 0.0
    found = np.zeros(LANES, int)
    for n in range(1, 50_000):
        sums = np.maximum(0.0, sums + shift * (luck.standard_normal(LANES) + shift / 2.0))
        found[(sums > bound) & (found == 0)] = n
        if found.all():
            break
    return found.tolist()


def naive(factor: float, rate: float) -> list[int]:
    """Mean ± k standard deviations: each answer by itself."""
    k, shift = norm.isf(rate / 2.0), math.log(factor) / SD
    chance = norm.sf(k - shift) + norm.cdf(-k - shift)
    return [int(n) for n in np.random.default_rng(7).geometric(chance, LANES)]


class Line(NamedTuple):
    """A method's figures at one rate."""

    name: str
    false: str
    delays: list[list[int]]


def contender_line(contender: Contender, trials: int, answers: int) -> Line:
    alarms = false_alarms(contender, answers)
    return Line(contender.name, _rate(alarms, answers), [delays(contender, factor, trials) for factor in FACTORS])


def grouped_line(size: float, rate: float, answers: int) -> Line:
    grouped = Grouped(size, BOUND_OF[rate])
    alarms = grouped.false_alarms(answers)
    return Line(f"ours, {size:g} a tick", _rate(alarms, answers), [grouped.delays(factor) for factor in FACTORS])


def page_hinkley_line(rate: float, trials: int, answers: int, tuning: int) -> Line:
    """The best of three allowances for each factor, each with the least threshold that keeps the rate; it may be kept by none.

    River's begins to add up while it still learns its mean anew after an alarm, so that one false alarm brings others.
    """
    lines = [contender_line(_kept(k, rate, tuning), trials, answers) for k in ALLOWANCES]
    best = [min((line.delays[i] for line in lines), key=statistics.fmean) for i in range(len(FACTORS))]
    return Line("Page-Hinkley, best of three", " ".join(line.false for line in lines), best)


def _kept(allowance: float, rate: float, n: int) -> Contender:
    usual = max(BOUND_OF[rate]) / (2.0 * allowance)
    tried = [page_hinkley(allowance, usual * part) for part in (0.6, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0)]
    return next((made for made in tried[:-1] if false_alarms(made, n, seed=3) <= max(2.0, rate * n)), tried[-1])


def adwin_line(rate: float, trials: int, answers: int, tuning: int) -> Line:
    made = tuned(lambda strict: adwin(math.exp(-strict)), (0.1, 1.0, 2.0, 3.0, 4.0), rate, tuning)
    return contender_line(made, trials, answers)


def ours_line(rate: float, trials: int, answers: int, *, known: bool) -> Line:
    return contender_line(ours(rate, known=known), trials, answers)


def bounds_of_possible(rate: float) -> list[Line]:
    return [
        Line("told the factor", "", [told(factor, rate) for factor in FACTORS]),
        Line("mean ± k sd", f"{rate * 1e6:.3g}", [naive(factor, rate) for factor in FACTORS]),
    ]


def _rate(alarms: int, answers: int) -> str:
    return f"{alarms / answers * 1e6:.3g}"


def show(rate: float, lines: Iterable[Line]) -> None:
    """A table at one rate."""
    print(f"\nat {rate * 1e6:g} false alarms in a million answers: answers until detection, mean (median)")
    print(f"  {'method':<38}{'false/10⁶':>16}" + "".join(f"{'× ' + f'{factor:g}':>19}" for factor in FACTORS))
    for line in lines:
        cells = "".join(f"{f'{statistics.fmean(d):,.0f} ({statistics.median(d):,.0f})':>19}" for d in line.delays)
        print(f"  {line.name:<38}{line.false:>16}{cells}")


def against_design(line: Line, name: str) -> None:
    """The figures of the design beside these."""
    medians = [statistics.median(d) for d in line.delays]
    marks = ["met" if m <= d * 1.15 else "SHORT" for m, d in zip(medians, DESIGNED, strict=True)]
    shown = "  ".join(f"×{f:g} {m:.0f} of {d} {mark}" for f, m, d, mark in zip(FACTORS, medians, DESIGNED, marks, strict=True))
    print(f"  {name}, median of the design within 15 %: {shown}")


def main() -> None:
    """Run the study and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=20_000_000, help="quiet answers at the strict rate (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=300, help="changes of each size (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    options = parser.parse_args()
    tuning = max(200_000, options.answers // 10)
    with ProcessPoolExecutor(options.jobs) as pool:
        waiting = {
            rate: [
                pool.submit(ours_line, rate, options.trials, answers, known=True),
                *(pool.submit(grouped_line, size, rate, answers) for size in (5.0, 20.0)),
                pool.submit(page_hinkley_line, rate, options.trials, answers, tuning),
                pool.submit(adwin_line, rate, options.trials, answers, tuning),
            ]
            for rate, answers in ((LOOSE, options.answers // 20), (STRICT, options.answers))
        }
        learned = pool.submit(ours_line, STRICT, options.trials, options.answers, known=False)
        for rate, futures in waiting.items():
            lines = [future.result() for future in futures]
            if rate == STRICT:
                lines.append(learned.result())
            show(rate, [*lines, *bounds_of_possible(rate)])
            against_design(lines[0], "ours, each answer")
            against_design(lines[2], "ours, 20 a tick, of which the last counts as a whole")
            if rate == STRICT:
                most = float(lines[0].false)
                print(f"  false alarms in {options.answers:,} quiet answers: {most:.2g} per 10⁶, target ≤ 1 {'met' if most <= 1 else 'SHORT'}")
    gain(FACTORS, options.trials)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
