"""The sketch beside `ddsketch` from PyPI, at the same accuracy and on the same durations, in one run; then the bounds of ratios."""

from __future__ import annotations

import pickle
import random
import time
from collections.abc import Callable

import numpy as np
from ddsketch import DDSketch

from routecast.analytics.interval import jeffreys_lower, sketch_interval
from routecast.analytics.sketch import ALPHA, BUCKETS, Counts, add_many, bucket_of, buckets_of, encode_counts, encode_vector, quantiles

N = 10_000
QS = (0.5, 0.9, 0.95, 0.99, 0.999)
PANES = 768
"""Sketches of a full row: 256 targets, three each."""


def rows() -> list[tuple[str, str, str]]:
    """(measure, value, comparison) of each figure."""
    us = _durations(N)
    return [*_counting(us), *_figures(us), *_panes(us), *_bounds()]


def _durations(n: int) -> list[int]:
    luck = random.Random(1)
    return [round(luck.lognormvariate(0, 0.8) * 8e5) for _ in range(n)]


def _counting(us: list[int]) -> list[tuple[str, str, str]]:
    array = np.array(us, np.int64)
    ours, batch, theirs = _seconds(lambda: _tally(us), lambda: _vector(array), lambda: _peer(us))
    (mapping,) = _seconds(lambda: [bucket_of(value) for value in us])
    return [
        ("find the bucket of one value", f"{mapping / N * 1e9:.0f} ns", ""),
        ("count one value", f"{ours / N * 1e9:.0f} ns", _beside(ours, theirs, f"{theirs / N * 1e9:.0f} ns")),
        (f"count a value in a batch of {N:,}", f"{batch / N * 1e9:.1f} ns", _beside(batch, theirs, f"{theirs / N * 1e9:.0f} ns")),
    ]


def _figures(us: list[int]) -> list[tuple[str, str, str]]:
    vector, other = _vector(np.array(us, np.int64)), _vector(np.array(us[: N // 2], np.int64))
    peer, other_peer = _peer(us), _peer(us[: N // 2])
    merge, peer_merge = _seconds(lambda: np.add(other, vector, out=other), lambda: other_peer.merge(peer), times=100)
    ask, peer_ask = _seconds(lambda: quantiles(vector, QS), lambda: [peer.get_quantile_value(q) for q in QS], times=100)
    data, peer_data = len(encode_vector(vector)), len(pickle.dumps(peer))
    return [
        ("merge two sketches", f"{merge * 1e6:.2f} µs", _beside(merge, peer_merge, f"{peer_merge * 1e6:.1f} µs")),
        ("five quantiles", f"{ask * 1e6:.1f} µs", _beside(ask, peer_ask, f"{peer_ask * 1e6:.1f} µs")),
        (f"bytes of {N:,} values", f"{data}", f"{_beside(data, peer_data, str(peer_data))} (pickled)"),
        ("largest error of 999 quantiles", f"{_error(us, vector):.3%}", f"promised {ALPHA:.0%}"),
    ]


def _panes(us: list[int]) -> list[tuple[str, str, str]]:
    tallies = [_tally(us[start : start + 30]) for start in range(0, N - 30, 30)]
    encoded = [encode_counts(tallies[i % len(tallies)]) for i in range(PANES)]
    matrix = np.zeros((PANES, BUCKETS), np.int64)
    encode, merge, ask = _seconds(
        lambda: [encode_counts(tally) for tally in tallies],
        lambda: add_many(matrix, range(PANES), encoded),
        lambda: quantiles(matrix, QS),
    )
    size = sum(map(len, encoded)) / PANES
    return [
        ("encode a pane's sketch of 30 values", f"{encode / len(tallies) * 1e6:.1f} µs", f"{size:.0f} bytes"),
        (f"decode and merge {PANES} of them", f"{merge * 1e3:.2f} ms", f"{merge / PANES * 1e6:.2f} µs each"),
        (f"five quantiles of {PANES} subjects", f"{ask * 1e3:.2f} ms", f"{ask / PANES * 1e6:.2f} µs each"),
    ]


def _bounds() -> list[tuple[str, str, str]]:
    luck = np.random.default_rng(1)
    successes, failures = 10.0 ** luck.uniform(-1, 7, (2, 1000))
    vector = _vector(np.array(_durations(500), np.int64))
    lower, interval = _seconds(lambda: jeffreys_lower(successes, failures, 0.8), lambda: sketch_interval(vector, 0.95))
    return [
        ("Jeffreys bounds of 1,000 ratios", f"{lower * 1e3:.1f} ms", "target 5 ms"),
        ("interval of one p95", f"{interval * 1e6:.1f} µs", ""),
    ]


def _tally(us: list[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for value in us:
        bucket = bucket_of(value)
        counts[bucket] = counts.get(bucket, 0) + 1
    return counts


def _vector(us: Counts) -> Counts:
    return np.bincount(buckets_of(us), minlength=BUCKETS)


def _peer(us: list[int]) -> DDSketch:
    peer = DDSketch(ALPHA)
    for value in us:
        peer.add(value)
    return peer


def _error(us: list[int], vector: Counts) -> float:
    exact = np.sort(us)[N // 1000 - 1 : -1 : N // 1000]
    return float(np.abs(quantiles(vector, np.arange(1, 1000) / 1000) / exact - 1).max())


def _seconds(*calls: Callable[[], object], times: int = 1, rounds: int = 15) -> list[float]:
    """Least time of each call, taken in turn so that a busy moment strikes all alike."""
    least = [float("inf")] * len(calls)
    for _ in range(rounds):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            for _ in range(times):
                call()
            least[i] = min(least[i], (time.perf_counter() - start) / times)
    return least


def _beside(ours: float, theirs: float, printed: str) -> str:
    return f"ddsketch {printed}, {theirs / ours:.1f}×"


def main() -> None:
    """Print the table."""
    for measure, value, comparison in rows():
        print(f"{measure:<45} {value:>10}  {comparison}")


if __name__ == "__main__":
    main()
