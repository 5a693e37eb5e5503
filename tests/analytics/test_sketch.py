"""Sketches are exact counts: any order of merging gives the same bytes, and every quantile is within 1 %."""

from __future__ import annotations

import csv
import doctest
import json
import math
from bisect import bisect_right
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routecast.analytics import sketch
from routecast.analytics.sketch import (
    ALPHA,
    BUCKETS,
    LEAST_US,
    MOST_US,
    Counts,
    add_encoded,
    add_many,
    bounds_us,
    bucket_of,
    buckets_of,
    count_above,
    decode_counts,
    encode_counts,
    encode_rows,
    encode_vector,
    quantiles,
)
from routecast.models.errors import DecodeError

QS = (0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
EDGES = [math.ceil(1000 * Fraction(101, 99) ** power) for power in range(667)]

durations = st.integers(0, 2 * MOST_US) | st.sampled_from(EDGES).flatmap(lambda edge: st.integers(edge - 1, edge + 1))
in_range = st.integers(LEAST_US, MOST_US) | st.floats(math.log(LEAST_US), math.log(MOST_US - 1)).map(lambda ln: round(math.exp(ln)))
sketches = st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 300) | st.integers(1, 2**49 - 1), max_size=40)


def counted(us: list[int]) -> Counts:
    """The vector of these durations."""
    return np.bincount(buckets_of(np.array(us, np.int64)), minlength=BUCKETS)


def vector_of(counts: dict[int, int]) -> Counts:
    """A dict of counts as a vector."""
    vector = np.zeros(BUCKETS, np.int64)
    for bucket, count in counts.items():
        vector[bucket] = count
    return vector


def nearest_rank(us: list[int], q: float) -> int:
    """The exact quantile; `q` is meant as the decimal it is written as."""
    return sorted(us)[max(1, math.ceil(Fraction(str(q)) * len(us))) - 1]


def assert_within_one_percent(us: list[int]) -> None:
    """Every quantile of QS is within ALPHA of the exact one."""
    exact = np.array([nearest_rank(us, q) for q in QS])
    assert np.abs(quantiles(counted(us), QS) / exact - 1).max() <= ALPHA + 1e-12


def test_example_of_the_module_runs() -> None:
    """The example in the module's docstring prints what it says."""
    assert doctest.testmod(sketch).attempted > 0
    assert doctest.testmod(sketch).failed == 0


def test_range_is_one_millisecond_to_ten_minutes_in_668_buckets() -> None:
    """A duration just outside the range falls into the first or the last bucket, one just inside beside it."""
    assert BUCKETS == 668
    assert MOST_US >= 600_000_000
    assert [bucket_of(us) for us in (0, LEAST_US - 1, LEAST_US, MOST_US, MOST_US + 1, 2**60)] == [0, 0, 1, 666, 667, 667]


def test_every_edge_is_where_exact_arithmetic_puts_it() -> None:
    """At, before and after each of the 667 edges, both mappings agree with a bisection of exact edges."""
    us = [edge + nudge for edge in EDGES for nudge in (-1, 0, 1)]
    exact = [bisect_right(EDGES, value) for value in us]
    assert [bucket_of(value) for value in us] == exact
    assert buckets_of(np.array(us)).tolist() == exact


@given(durations)
def test_both_mappings_agree_with_a_bisection(us: int) -> None:
    """The table and the logarithm give the bucket that the edges define."""
    assert bucket_of(us) == bisect_right(EDGES, us) == buckets_of(np.array([us])).tolist()[0]


@given(st.lists(in_range, min_size=1, max_size=60))
def test_quantile_is_within_one_percent(us: list[int]) -> None:
    """The error of any quantile against the exact nearest rank is at most 1 %."""
    assert_within_one_percent(us)


@pytest.mark.parametrize("field", ["end_to_end_latency_s", "ttft_s", "inter_token_latency_s"])
def test_quantile_is_within_one_percent_on_recorded_providers(traces: Path, field: str) -> None:
    """Of the durations that real providers took, tails and all, every quantile is within 1 %."""
    runs = sorted((traces / "llmperf_2023").glob("*.json"))
    assert runs
    for run in runs:
        seconds = [float(record[field]) for record in json.loads(run.read_text()) if record[field]]
        assert_within_one_percent([round(value * 1e6) for value in seconds if value >= 0.001])


def test_quantile_is_within_one_percent_on_recorded_token_counts(traces: Path) -> None:
    """19,366 real output lengths, taken as requests at 20 ms a token, keep every quantile within 1 %."""
    with (traces / "azure_llm_2023" / "AzureLLMInferenceTrace_conv.csv").open() as rows:
        assert_within_one_percent([20_000 * int(row["GeneratedTokens"]) for row in csv.DictReader(rows)])


def test_quantile_takes_the_rank_its_decimal_means() -> None:
    """0.07 of 100 is rank 7 although floating point multiplies it to a little more."""
    us = [round(1000 * 1.05**power) for power in range(100)]
    assert quantiles(counted(us), [0.07])[0] == pytest.approx(us[6], rel=ALPHA)


def test_quantile_out_of_range_is_the_end_of_the_range() -> None:
    """What is shorter than 1 ms is given as 1 ms, what is longer than 609.5 s as 609.5 s."""
    assert quantiles(counted([3, MOST_US + 5]), [0.5, 1.0]).tolist() == [LEAST_US, MOST_US]


def test_nothing_counted_has_no_quantile_and_exceeds_nothing() -> None:
    """An empty row is NaN and does not disturb its neighbours."""
    nothing = np.zeros(BUCKETS, np.int64)
    some = counted([50_000, 60_000])
    rows = np.stack([nothing, some, nothing, nothing])
    assert np.isnan(quantiles(rows, QS)).all(axis=1).tolist() == [True, False, True, True]
    assert quantiles(rows, QS)[1].tolist() == quantiles(some, QS).tolist()
    assert count_above(rows, np.full(4, 55_000.0)).tolist() == [0, 1, 0, 0]
    assert np.isnan(quantiles(nothing, [0.5])).tolist() == [True]
    assert quantiles(rows[:0], QS).shape == (0, len(QS))


@given(st.lists(st.lists(durations, max_size=20), min_size=1, max_size=8))
def test_rows_of_a_matrix_are_quantified_like_vectors(rows: list[list[int]]) -> None:
    """Quantiles and counts of a matrix are those of its rows one by one, each with a limit of its own."""
    matrix = np.stack([counted(us) for us in rows])
    np.testing.assert_array_equal(quantiles(matrix, QS), np.stack([quantiles(row, QS) for row in matrix]))
    limits = np.array([250_000.0 * (i + 1) for i in range(len(matrix))])
    np.testing.assert_array_equal(count_above(matrix, limits), [_above(row, limit) for row, limit in zip(matrix, limits, strict=True)])


@given(st.lists(durations, min_size=1, max_size=60), st.lists(st.floats(0, 1), min_size=2, max_size=10))
def test_quantiles_never_fall_as_q_rises(us: list[int], qs: list[float]) -> None:
    """A higher quantile is no shorter."""
    assert all(low <= high for low, high in pairwise(quantiles(counted(us), sorted(qs)).tolist()))


@given(st.lists(in_range, min_size=1, max_size=60), st.integers(0, 2 * MOST_US))
def test_a_count_is_exact_for_a_limit_within_one_percent(us: list[int], limit_us: int) -> None:
    """It lies between those of the limits 1 % down and 1 % up."""
    least = sum(value * (1 - ALPHA) * (1 - 1e-12) > limit_us for value in us)
    most = sum(value * (1 + ALPHA) * (1 + 1e-12) > limit_us for value in us)
    assert least <= _above(counted(us), limit_us) <= most


@given(st.lists(st.integers(0, MOST_US), min_size=1, max_size=60), st.floats(0, 1))
def test_no_more_exceed_a_quantile_than_its_q_leaves(us: list[int], q: float) -> None:
    """Count and quantile are inverse to each other."""
    assert _above(counted(us), float(quantiles(counted(us), [q])[0])) <= (1.0 - q) * len(us) + 1e-9


def test_what_is_above_the_range_exceeds_every_limit() -> None:
    """A duration known only as very long never counts as in time."""
    assert _above(counted([5_000, MOST_US + 1]), math.inf) == 1


def _above(counts: Counts, us: float) -> float:
    return float(count_above(counts[None, :], np.array([us]))[0])


@given(st.lists(durations, max_size=80), st.lists(st.integers(0, 4), min_size=80, max_size=80), st.permutations(range(5)))
def test_any_partitioning_merged_in_any_order_gives_the_same_bytes(us: list[int], parts: list[int], order: list[int]) -> None:
    """However durations are dealt out to nodes and in whatever order their sketches are added, the sum is the same bytes."""
    merged = np.zeros(BUCKETS, np.int64)
    for part in order:
        tally: dict[int, int] = {}
        for value in (value for value, its in zip(us, parts, strict=False) if its == part):
            tally[bucket_of(value)] = tally.get(bucket_of(value), 0) + 1
        add_encoded(merged, encode_counts(tally))
    assert merged.tobytes() == counted(us).tobytes()
    assert encode_vector(merged) == encode_vector(counted(us))


@given(sketches, sketches)
def test_taking_away_undoes_merging(kept: dict[int, int], left: dict[int, int]) -> None:
    """What is subtracted again leaves no trace."""
    assert encode_vector(vector_of(kept) + vector_of(left) - vector_of(left)) == encode_counts(kept)


@given(sketches)
def test_decoding_gives_back_what_was_encoded(counts: dict[int, int]) -> None:
    """Buckets come back ascending, with their counts."""
    buckets, values = decode_counts(encode_counts(counts))
    assert list(zip(buckets.tolist(), values.tolist(), strict=True)) == sorted(counts.items())


@given(sketches, st.sets(st.integers(0, BUCKETS - 1)))
def test_equal_counts_give_equal_bytes(counts: dict[int, int], empty: set[int]) -> None:
    """Neither the order in which buckets were met nor counts of zero show in the bytes."""
    backwards = dict(reversed(counts.items())) | dict.fromkeys(empty - counts.keys(), 0)
    assert encode_counts(backwards) == encode_counts(counts) == encode_vector(vector_of(counts))


@given(st.lists(sketches, max_size=6))
def test_many_sketches_at_once_are_encoded_as_each_alone(many: list[dict[int, int]]) -> None:
    """A matrix gives the bytes of its rows, empty ones and counts of several bytes included."""
    matrix = np.zeros((len(many), BUCKETS), np.int64)
    for row, counts in zip(matrix, many, strict=True):
        row[:] = vector_of(counts)
    assert encode_rows(matrix) == [encode_counts(counts) for counts in many]


@pytest.mark.parametrize("count", [-1, 2**49])
def test_rows_hold_no_count_that_cannot_be_written(count: int) -> None:
    """As for one sketch."""
    matrix = np.zeros((2, BUCKETS), np.int64)
    matrix[1, 5] = count
    with pytest.raises(ValueError, match="counts must be"):
        encode_rows(matrix)


damaged = st.tuples(sketches.map(encode_counts), st.integers(0, 400), st.binary(max_size=3), st.integers(0, 3)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + parts[3] :]
)


@given(st.binary(max_size=40) | damaged)
@example(b"\x01\x01\x80")
def test_bytes_are_refused_or_are_the_only_ones_of_their_counts(data: bytes) -> None:
    """Whatever decodes encodes to the same bytes, so no two encodings mean the same."""
    try:
        buckets, counts = decode_counts(data)
    except DecodeError:
        return
    assert encode_counts(dict(zip(buckets.tolist(), counts.tolist(), strict=True))) == data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x05", "pairs"),
        (b"\x05\x00", "count above 0"),
        (b"\x05\x81", "whole varints"),
        (b"\x80\x00\x01", "shortest form"),
        (b"\x9c\x05\x01", "below 668"),
        (b"\x9b\x05\x01\x00\x01", r"buckets 0\.\.667, not 668"),
        (b"\x00" + b"\xff" * 7 + b"\x01", "at most 7 bytes"),
        (b"\xff" * 100_000, "whole varints"),
    ],
)
def test_malformed_bytes_are_refused_with_what_was_expected(data: bytes, expected: str) -> None:
    """Each way of being no sketch has an error that says what a sketch is, and leaves the vector as it was."""
    vector = np.zeros(BUCKETS, np.int64)
    with pytest.raises(DecodeError, match=expected):
        add_encoded(vector, data)
    assert not vector.any()


@given(st.lists(st.tuples(st.integers(0, 4), sketches), max_size=12))
def test_many_at_once_are_added_like_one_by_one(sketches_of_rows: list[tuple[int, dict[int, int]]]) -> None:
    """Rows may occur often, and sketches may be empty."""
    rows = [row for row, _ in sketches_of_rows]
    encoded = [encode_counts(counts) for _, counts in sketches_of_rows]
    one_by_one = np.zeros((5, BUCKETS), np.int64)
    for row, data in zip(rows, encoded, strict=True):
        add_encoded(one_by_one[row], data)
    at_once = np.zeros((5, BUCKETS), np.int64)
    add_many(at_once, rows, encoded)
    assert at_once.tobytes() == one_by_one.tobytes()


@pytest.mark.parametrize("encoded", [[b"\x05\x01\x81", b"\x01\x05"], [b"\x05", b"\x01"], [b"\x05\x01", b"\x05\x00"]])
def test_sketch_does_not_borrow_from_its_neighbour(encoded: list[bytes]) -> None:
    """A sketch that is cut off is refused even where the next one would complete it, and nothing of either is added."""
    matrix = np.zeros((2, BUCKETS), np.int64)
    with pytest.raises(DecodeError):
        add_many(matrix, [0, 1], encoded)
    assert not matrix.any()


@pytest.mark.parametrize("counts", [{0: -1}, {-1: 1}, {BUCKETS: 1}, {5: 2**49}])
def test_impossible_counts_are_not_encoded(counts: dict[int, int]) -> None:
    """Negative or enormous counts and buckets that do not exist are the caller's mistake."""
    with pytest.raises(ValueError, match="counts must be"):
        encode_counts(counts)


@given(st.lists(durations, min_size=1, max_size=30), st.data())
def test_bounds_hold_the_order_statistic(us: list[int], data: st.DataObject) -> None:
    """The observation of a rank is never outside its bounds."""
    rank = data.draw(st.integers(1, len(us)))
    low, high = bounds_us(counted(us), (rank, rank))
    assert low <= sorted(us)[rank - 1] <= high
