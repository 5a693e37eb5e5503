"""How durations are distributed, in 668 fixed logarithmic buckets of integer counts: every quantile within 1 %.

A sketch is nothing but its counts: a dict while a pane is tallied, bytes in a row, a numpy vector (or matrix, a row per subject)
where figures are made. It is linear: `+` merges, `-` takes away what left a window, and because the counts are integers the order
of merging leaves no trace. Durations are whole microseconds. Bucket b (1..666) holds those in [1 ms · γ^(b-1), 1 ms · γ^b) with
γ = (1 + α) / (1 - α), α = 1 %, up to 609.5 s; bucket 0 holds what is shorter and bucket 667 what is longer, known only as such.

Mapping: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees",
VLDB 2019. The edges are computed in integers, so that every machine agrees on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from routecast.models.errors import DecodeError

Counts = NDArray[np.int64]
"""Counts per bucket along the last axis."""
Floats = NDArray[np.float64]

ALPHA = 0.01
"""Relative error of a quantile, for durations in range."""
_GAMMA = (1 + ALPHA) / (1 - ALPHA)
_LN_GAMMA = math.log(_GAMMA)

LEAST_US = 1_000
_EDGES = [-(-LEAST_US * 101**power // 99**power) for power in range(667)]
"""Bucket b holds durations in [_EDGES[b - 1], _EDGES[b])."""
MOST_US = _EDGES[-1] - 1
"""Longest duration in range, 609.5 s."""
BUCKETS = len(_EDGES) + 1

_EDGE_ARRAY = np.array(_EDGES, np.int64)
_ESTIMATES_US = np.array([LEAST_US, *(LEAST_US * _GAMMA**power * (1 + ALPHA) for power in range(BUCKETS - 2)), _EDGES[-1]])


def _cells(shift: int, end_us: int) -> list[int]:
    """Bucket of the first microsecond of each cell of 2^shift µs up to `end_us`; a cell must be narrower than any bucket it meets."""
    cells: list[int] = []
    for bucket, edge in enumerate(_EDGES):
        cells += [bucket] * (-(-edge >> shift) - len(cells))
    return cells[: end_us >> shift]


_MIDDLE_US, _LONG_US = 1 << 17, 1 << 24
_SHORT, _MIDDLE, _LONG = _cells(4, _MIDDLE_US), _cells(11, _LONG_US), _cells(18, 1 << 30)


def bucket_of(us: int) -> int:
    """Bucket of a duration of `us` ≥ 0 microseconds, 0..667. About 80 ns: a table of cells holding at most one edge each."""
    if us < _MIDDLE_US:
        bucket = _SHORT[us >> 4]
    elif us < _LONG_US:
        bucket = _MIDDLE[us >> 11]
    elif us <= MOST_US:
        bucket = _LONG[us >> 18]
    else:
        return BUCKETS - 1
    return bucket if us < _EDGES[bucket] else bucket + 1


def buckets_of(us: NDArray[np.int64]) -> Counts:
    """`bucket_of` of every element."""
    # Rounding to the nearest edge is off by less than half a bucket whatever the logarithm's last digit, so one comparison decides.
    nearest = (np.log(np.clip(us, LEAST_US - 1, _EDGES[-1]) / LEAST_US) / _LN_GAMMA + 0.5).astype(np.int64)
    return nearest + (us >= _EDGE_ARRAY[nearest])


def encode_counts(counts: Mapping[int, int]) -> bytes:
    """The counts as varints: for each bucket that holds any, in order, how many empty ones precede it and its count.

    Equal counts give equal bytes; without counts there are none. Raises ValueError for a negative count, a count of 2^49 or more,
    or a bucket outside 0..667.
    """
    out = bytearray()
    following = 0
    for bucket in sorted(counts):
        count = counts[bucket]
        if not count:
            continue
        if bucket >= BUCKETS or count >= _MOST:
            raise ValueError(f"count {count} in bucket {bucket}: buckets are 0..{BUCKETS - 1}, counts below 2^49")
        for value in (bucket - following, count):
            rest = value
            while rest > 127:
                out.append(rest & 127 | 128)
                rest >>= 7
            out.append(rest)
        following = bucket + 1
    return bytes(out)


def encode_vector(counts: Counts) -> bytes:
    """`encode_counts` of a vector."""
    held = np.flatnonzero(counts)
    return encode_counts(dict(zip(held.tolist(), counts[held].tolist(), strict=True)))


def decode_counts(data: bytes) -> tuple[Counts, Counts]:
    """Buckets that hold any, ascending, and their counts.

    Raises DecodeError unless `data` is what `encode_counts` gives. Time and memory are proportional to its length.
    """
    _, buckets, counts = _decode((data,))
    return buckets, counts


def add_encoded(vector: Counts, data: bytes) -> None:
    """Add an encoded sketch to a vector of counts; nothing is added where DecodeError is raised."""
    buckets, counts = decode_counts(data)
    vector[buckets] += counts


def add_many(matrix: Counts, rows: Sequence[int], encoded: Sequence[bytes]) -> None:
    """Add each encoded sketch to its row of a matrix of counts; a row may occur many times.

    For 256 sketches at once it is 20 times faster than one at a time. Nothing is added where DecodeError is raised.
    """
    which, buckets, counts = _decode(encoded)
    np.add.at(matrix, (np.asarray(rows, np.int64)[which], buckets), counts)


_MOST = 1 << 49
"""Counts stay below, so that no sum of a sketch leaves 64 bits."""
_MOST_DIGITS = 7


def _decode(encoded: Sequence[bytes]) -> tuple[Counts, Counts, Counts]:
    """(index of the sketch, bucket, count) of everything the sketches hold."""
    values, sizes = _varints(encoded)
    skipped, counts = values[::2], values[1::2]
    if np.any(sizes % 2) or np.any(skipped >= BUCKETS) or np.any(counts == 0):
        raise DecodeError("a sketch must be pairs of empty buckets skipped (0..667) and a count above 0")
    which = np.repeat(np.arange(sizes.size), sizes // 2)
    before = np.concatenate(([0], np.cumsum(skipped + 1)))
    buckets = before[1:] - 1 - before[(np.cumsum(sizes) - sizes) // 2][which]
    if np.any(buckets >= BUCKETS):
        raise DecodeError(f"a sketch has buckets 0..{BUCKETS - 1} only")
    return which, buckets, counts


def _varints(encoded: Sequence[bytes]) -> tuple[Counts, Counts]:
    """All numbers of all sketches, and how many each sketch has."""
    octets = np.frombuffer(b"".join(encoded), np.uint8)
    last = octets < 128
    ends = np.flatnonzero(last)
    if octets.size and not (last[-1]):
        raise DecodeError("a sketch ends within a number")
    starts = np.concatenate(([0], ends[:-1] + 1))[: ends.size]
    digits = ends - starts + 1
    borders = np.cumsum([len(data) for data in encoded])
    upto = np.searchsorted(ends, borders)
    if np.any(digits > _MOST_DIGITS) or np.any((digits > 1) & (octets[ends] == 0)):
        raise DecodeError("noncanonical")
    place = np.arange(octets.size) - np.repeat(starts, digits)
    parts = (octets & 127).astype(np.int64) << (7 * place)
    values = np.add.reduceat(parts, starts) if starts.size else parts
    return values, np.diff(upto, prepend=0)


def quantiles(counts: Counts, qs: ArrayLike) -> Floats:
    """Nearest-rank quantiles in µs, shape `counts.shape[:-1] + (len(qs),)`, within 1 % for durations in range; NaN without any.

    Durations below 1 ms are given as 1 ms and those above 609.5 s as 609.5 s: clip with the known extremes to do better.
    """
    running = counts.ravel().cumsum()  # one ascending sequence over all rows: one search answers every row and quantile
    ends = running[BUCKETS - 1 :: BUCKETS]
    starts = np.concatenate(([0], ends[:-1]))
    n = (ends - starts)[:, None]
    buckets = np.searchsorted(running, starts[:, None] + _ranks(n, np.asarray(qs, np.float64))) % BUCKETS
    return np.where(n > 0, _ESTIMATES_US[buckets], np.nan).reshape(*counts.shape[:-1], -1)


def _ranks(n: Counts, qs: Floats) -> Counts:
    # 0.07 * 100 is 7.000000000000001 in floating point; without the margin its rank would be 8.
    return np.clip(np.ceil(qs * n * (1 - 1e-15)), 1, n).astype(np.int64)


def rank_bounds(counts: Counts, lower: int, upper: int) -> tuple[float, float]:
    """Bounds in µs of the order statistics of these ranks."""
    low, high = np.searchsorted(counts.cumsum(), (lower, upper)).tolist()
    return (float(_EDGES[low - 1]) if low else 0.0), (float(_EDGES[high] - 1) if high < BUCKETS - 1 else math.inf)


def share_at_most(counts: Counts, us: float) -> Floats:
    """Share of the durations, 0..1, at most `us` microseconds."""
    within = min(int(np.searchsorted(_ESTIMATES_US, us, "right")), BUCKETS - 1)
    n = counts.sum(axis=-1)
    return np.where(n > 0, counts[..., :within].sum(axis=-1) / np.maximum(n, 1), np.nan)
