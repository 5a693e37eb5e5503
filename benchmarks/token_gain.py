"""What knowing the length of answers is worth to the detection of changes, on recorded output tokens."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from traces import recorded

from routecast.analytics.changes.change_detector import ChangeDetector
from routecast.analytics.changes.token_slope import TokenSlope
from routecast.analytics.fleet.capacity_fit import LatencyGroups

Floats = NDArray[np.float64]


def gain(factors: Sequence[float], trials: int) -> None:
    """What knowing the length of the answers is worth: real output tokens, 35 % of the time fixed, 65 % in proportion to them."""
    traffic = recorded("azure")
    if traffic is None:
        print("\ntokens: left out, set ROUTECAST_TRACES to the folder with the Azure trace", file=sys.stderr)
        return
    luck, lengths = np.random.default_rng(8), traffic.output_tokens

    def latencies(n: int, factor: float = 1.0) -> tuple[Floats, Floats]:
        drawn = luck.choice(lengths, n)
        fixed, streamed = luck.lognormal(-(0.69**2) / 2, 0.69, n), luck.lognormal(-(0.35**2) / 2, 0.35, n)
        return np.log(factor * (0.35 * fixed + 0.65 * drawn / lengths.mean() * streamed)), np.log(drawn + 64.0)

    def groups(ln: Floats, ln_tokens: Floats) -> LatencyGroups:
        one = np.ones(len(ln))
        return LatencyGroups(np.zeros(len(ln), np.int64), one, ln, ln**2, np.zeros(len(ln)), one, ln_tokens)

    slope, past = TokenSlope(), latencies(20_000)
    for _ in range(2):  # the mean length is known from the first look on
        slope.update(1.0, groups(*past), past[0] - past[0].mean())
    freed = past[0] - slope.longer(groups(*past))
    print(f"\nsd of ln latency {past[0].std():.3f}, of ln (latency ÷ expected from its tokens) {freed.std():.3f}: answers until detection, mean")
    for factor in factors:
        plain, normal = list[int](), list[int]()
        for _ in range(trials):
            ln = latencies(3_000, factor)
            plain.append(_first(ln[0] - past[0].mean(), float(past[0].std())))
            normal.append(_first(ln[0] - slope.longer(groups(*ln)) - freed.mean(), float(freed.std())))
        ratio = statistics.fmean(plain) / statistics.fmean(normal)
        print(f"  × {factor:<4g} {statistics.fmean(plain):6.1f} without, {statistics.fmean(normal):6.1f} with tokens: {ratio:.2f} times fewer (design: 3.7)")


def _first(values: Floats, sd: float) -> int:
    detector = ChangeDetector((0.0, sd))
    for n, x in enumerate(values.tolist(), 1):
        if detector.update(x).detected:
            return n
    return len(values)
