"""How durations are distributed: counts in 668 fixed logarithmic buckets, every quantile within 1 %.

A sketch is nothing but its counts, integers per bucket: a dict while they are tallied, bytes in a row, a numpy vector (or a matrix
with a row per subject) where figures are made. Vectors merge with `+` and lose what left a window with `-`; being integers, they
are the same bits in whatever order they were merged.

>>> counts = {}
>>> for us in (800_000, 900_000, 5_000_000):
...     counts[bucket_of(us)] = counts.get(bucket_of(us), 0) + 1
>>> vector = np.zeros(BUCKETS, np.int64)
>>> add_encoded(vector, encode_counts(counts))
>>> quantiles(vector, [0.5, 0.99]).round(-4)
array([ 910000., 4970000.])

Durations are whole microseconds ≥ 0. With α = 1 % and γ = (1 + α)/(1 - α), bucket b in 1..666 holds those from 1 ms · γ^(b-1) up
to, not including, 1 ms · γ^b; that ends at 609.5 s. Bucket 0 holds all below 1 ms and bucket 667 all above, known only as such.

Source: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees",
VLDB 2019, with edges rounded up to whole microseconds in integer arithmetic, so that every machine agrees on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from routecast.models.errors import DecodeError

Counts = NDArray[np.int64]
"""Counts per bucket along the last axis, `BUCKETS` long."""
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

ALPHA = 0.01
"""Largest relative error of a quantile that lies in range."""
_GAMMA = (1 + ALPHA) / (1 - ALPHA)
_LN_GAMMA = math.log(_GAMMA)

LEAST_US = 1_000
_EDGES = [-(-LEAST_US * 101**power // 99**power) for power in range(667)]
"""Bucket b holds durations from _EDGES[b - 1] up to, not including, _EDGES[b]."""
MOST_US = _EDGES[-1] - 1
"""The range: `LEAST_US` to `MOST_US`, both included."""
BUCKETS = len(_EDGES) + 1

_EDGE_ARRAY = np.array(_EDGES, np.int64)
_ESTIMATES_US = np.array([LEAST_US, *(LEAST_US * _GAMMA**power * (1 + ALPHA) for power in range(BUCKETS - 2)), MOST_US])


def _cells(shift: int, end_us: int) -> list[int]:
    """Bucket in which each cell of 2^shift µs begins, up to `end_us`."""
    cells: list[int] = []
    for bucket, edge in enumerate(_EDGES):
        cells += [bucket] * (-(-min(edge, end_us) >> shift) - len(cells))
    return cells


# A cell is narrower than the buckets where it is used, so at most one edge lies in it and one comparison decides.
_MIDDLE_US, _LONG_US = 1 << 17, 1 << 24
_SHORT, _MIDDLE, _LONG = _cells(4, _MIDDLE_US), _cells(11, _LONG_US), _cells(18, MOST_US)


def bucket_of(us: int) -> int:
    """Bucket, 0..667, of a duration of `us` ≥ 0 microseconds. Half the time of a bisection or a logarithm."""
    if us < _MIDDLE_US:
        bucket = _SHORT[us >> 4]
    elif us < _LONG_US:
        bucket = _MIDDLE[us >> 11]
    elif us <= MOST_US:
        bucket = _LONG[us >> 18]
    else:
        return BUCKETS - 1
    return bucket if us < _EDGES[bucket] else bucket + 1


def buckets_of(us: Integers) -> Integers:
    """`bucket_of` of every element."""
    # The nearest edge is at most half a bucket away, far more than the logarithm is wrong by, so one comparison decides.
    nearest = (np.log(np.clip(us, LEAST_US - 1, MOST_US + 1) / LEAST_US) / _LN_GAMMA + 0.5).astype(np.int64)
    return nearest + (us >= _EDGE_ARRAY[nearest])


_DIGITS = 7
_MOST_COUNT = (1 << 7 * _DIGITS) - 1
"""Largest count on the wire: no sum over a sketch, and none over thousands of them, leaves 64 bits."""


def encode_counts(counts: Mapping[int, int]) -> bytes:
    """Counts as LEB128 varints: for each bucket that holds any, ascending, how many empty ones come before it, and its count.

    Equal counts give equal bytes, no counts give none. Raises ValueError where a bucket is not in 0..667 or a count not in 0..2^49-1.
    """
    encoded = bytearray()
    following = 0
    for bucket in sorted(counts):
        count = counts[bucket]
        if not count:
            continue
        if not (following <= bucket < BUCKETS and 0 < count <= _MOST_COUNT):
            raise ValueError(f"count {count} in bucket {bucket}: counts must be 0..2^49-1, buckets 0..{BUCKETS - 1}")
        for number in (bucket - following, count):
            rest = number
            while rest > 127:
                encoded.append(rest & 127 | 128)
                rest >>= 7
            encoded.append(rest)
        following = bucket + 1
    return bytes(encoded)


def encode_vector(counts: Counts) -> bytes:
    """`encode_counts` of a vector."""
    held = counts.nonzero()[0]
    return encode_counts(dict(zip(held.tolist(), counts[held].tolist(), strict=True)))


def encode_rows(matrix: Counts) -> list[bytes]:
    """`encode_counts` of every row of a matrix; of hundreds in a quarter of the time."""
    flat = matrix.ravel()
    at = flat.nonzero()[0]
    counts = flat[at]
    if counts.size and not (counts.min() > 0 and counts.max() <= _MOST_COUNT):
        raise ValueError(f"count {counts.min()} or {counts.max()}: counts must be 0..2^49-1")
    held = at.searchsorted(np.arange(len(matrix) + 1) * BUCKETS)
    numbers = np.empty(2 * at.size, np.int64)
    numbers[::2] = _differences(at) - 1
    first = held[:-1][held[:-1] < held[1:]]
    numbers[2 * first] = at[first] % BUCKETS
    numbers[1::2] = counts
    octets, ends = _varints(numbers)
    borders = np.concatenate(([0], ends))[2 * held].tolist()
    return [octets[begin:end] for begin, end in pairwise(borders)]


def _varints(numbers: Integers) -> tuple[bytes, Integers]:
    """The varints of these numbers, and where each of them ends."""
    digits = np.ones(numbers.size, np.int64)
    for back in range(1, _DIGITS):
        longer = numbers >= 1 << 7 * back
        if not longer.any():
            break
        digits += longer
    ends = digits.cumsum()
    octets = np.empty(int(ends[-1]) if ends.size else 0, np.uint8)
    for back in range(int(digits.max(initial=0))):
        there = (digits > back).nonzero()[0]
        octets[(ends - digits)[there] + back] = (numbers[there] >> 7 * back & 127) | ((digits[there] > back + 1) << 7)
    return octets.tobytes(), ends


def decode_counts(data: bytes) -> tuple[Integers, Integers]:
    """The buckets that hold any, ascending, and their counts.

    Raises DecodeError unless `data` is what `encode_counts` gives. Time and memory are proportional to its length.
    """
    _, buckets, counts = decode_many((data,))
    return buckets, counts


def add_encoded(vector: Counts, data: bytes) -> None:
    """Add an encoded sketch to a vector; DecodeError, see `decode_counts`, leaves it as it was."""
    buckets, counts = decode_counts(data)
    vector[buckets] += counts


def add_many(matrix: Counts, rows: Sequence[int] | Integers, encoded: Sequence[bytes]) -> None:
    """Add each encoded sketch to its row of a matrix, where a row may occur often; DecodeError leaves the matrix as it was.

    Hundreds at once take about 1 µs a sketch, where one at a time takes about 30.
    """
    sketch, buckets, counts = decode_many(encoded)
    np.add.at(matrix, (np.asarray(rows, np.int64)[sketch], buckets), counts)


def decode_many(encoded: Sequence[bytes]) -> tuple[Integers, Integers, Integers]:
    """Of every count in many sketches: which sketch it is of, its bucket, and the count, in order; see `decode_counts`."""
    numbers, ends = _numbers(encoded)
    sizes = _differences(ends)
    skipped, counts = numbers[::2], numbers[1::2]
    if (sizes & 1).any() or (skipped >= BUCKETS).any() or (counts == 0).any():
        raise DecodeError(f"a sketch must be pairs of a number of empty buckets, below {BUCKETS}, and a count above 0")
    sketch = np.arange(ends.size).repeat(sizes >> 1)
    following = np.concatenate(([0], (skipped + 1).cumsum()))
    buckets = following[1:] - 1 - following[(ends - sizes) >> 1][sketch]
    if (buckets >= BUCKETS).any():
        raise DecodeError(f"a sketch has buckets 0..{BUCKETS - 1}, not {buckets.max()}")
    return sketch, buckets, counts


def _numbers(encoded: Sequence[bytes]) -> tuple[Integers, Integers]:
    """The varints of all sketches in one array, and where in it each sketch ends."""
    octets = np.frombuffer(b"".join(encoded), np.uint8)
    sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
    borders = sizes.cumsum()
    highest = octets < 128
    at = highest.nonzero()[0]
    digits = _differences(at + 1)
    most = int(digits.max(initial=1))
    if most > _DIGITS or not highest[borders[sizes > 0] - 1].all():
        raise DecodeError(f"a sketch must be whole varints of at most {_DIGITS} bytes")
    numbers = octets[at].astype(np.int64)
    if ((numbers == 0) & (digits > 1)).any():
        raise DecodeError("a sketch must be varints in their shortest form")
    for back in range(1, most):
        longer = (digits > back).nonzero()[0]
        numbers[longer] = numbers[longer] << 7 | octets[at[longer] - back] & 127
    return numbers, at.searchsorted(borders)


def _differences(ascending: Integers) -> Integers:
    steps = ascending.copy()
    steps[1:] -= ascending[:-1]
    return steps


def quantiles(counts: Counts, qs: ArrayLike) -> Floats:
    """Nearest-rank quantiles in µs for each `q` in 0..1: of a vector along one axis, of rows of vectors along one axis more.

    Within 1 % of the exact value where that is in range, 1 ms where it is below and 609.5 s where it is above: clip with the known
    extremes to do better. NaN where nothing was counted.
    """
    qs = np.asarray(qs, np.float64)
    running = counts.ravel().cumsum()  # ascends over all rows, so that one search answers every row and quantile
    ends = running[BUCKETS - 1 :: BUCKETS]
    n = _differences(ends)[:, None]
    # 0.07 · 100 is 7.000000000000001 in floating point: without the margin it would ask for rank 8.
    ranks = np.maximum(np.ceil(n * (qs * (1 - 1e-15))), 1.0).astype(np.int64)
    estimates = _ESTIMATES_US[running.searchsorted(ends[:, None] - n + ranks) % BUCKETS]
    return np.where(n, estimates, np.nan).reshape(*counts.shape[:-1], qs.size)


def bounds_us(counts: Counts, ranks: tuple[int, int]) -> tuple[float, float]:
    """Least the lower and most the upper of two order statistics can be, in µs; ranks from 1 to the number counted.

    The lower is 0 below the range, the upper infinite above it.
    """
    lower, upper = counts.cumsum().searchsorted(ranks).tolist()
    return float(_EDGES[lower - 1]) if lower else 0.0, float(_EDGES[upper] - 1) if upper < BUCKETS - 1 else math.inf


def bounds_of_rows(counts: Counts, lower: Integers, upper: Integers) -> tuple[Floats, Floats]:
    """`bounds_us` of every row of a matrix, each with ranks of its own."""
    running = counts.ravel().cumsum()
    before = np.concatenate(([0], running[BUCKETS - 1 : -1 : BUCKETS]))
    low, high = (running.searchsorted(before + ranks) % BUCKETS for ranks in (lower, upper))
    least = np.where(low > 0, _EDGE_ARRAY[low - 1], 0.0)
    return least, np.where(high < BUCKETS - 1, _EDGE_ARRAY[np.minimum(high, BUCKETS - 2)] - 1.0, np.inf)


_LN_MS = np.log(_ESTIMATES_US / 1000.0)
_LN_MICRO: Counts = (np.stack([_LN_MS, _LN_MS**2], axis=1) * 1e6).round().astype(np.int64)


def log_sums(counts: Counts) -> tuple[Floats, Floats]:
    """Of each vector Σ ln and Σ ln² of its durations in milliseconds, each logarithm within 0.01 where the duration lies in range."""
    sums: Floats = (counts @ _LN_MICRO) / 1e6  # integers add up to the same in any order
    return sums[..., 0], sums[..., 1]


def count_above(counts: Counts, us: Floats) -> Floats:
    """How many durations of each row exceed its own `us`.

    It is exact for some limit within about 1 % of `us`. Below 1 ms nothing is known to be that short; what is above the range exceeds any limit.
    """
    within = np.minimum(_ESTIMATES_US.searchsorted(us, "right"), BUCKETS - 1)
    below = np.pad(counts.cumsum(axis=-1), ((0, 0), (1, 0)))[np.arange(len(counts)), within]
    above: Floats = (counts.sum(axis=-1) - below).astype(float)
    return above
