"""Bounds of ratios against an independent implementation, ranks of quantiles against the binomial distribution."""

from __future__ import annotations

import math
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from routecast.analytics.interval import EXACT_N, jeffreys_lower, jeffreys_upper, quantile_interval, sketch_interval, sketch_intervals
from routecast.analytics.sketch import BUCKETS, buckets_of

stats = import_module("scipy.stats")  # imported by name because it comes without types

LEVELS = (0.05, 0.2, 0.51, 0.8, 0.9, 0.95, 0.975, 0.999)
counts = st.floats(0, 1e7) | st.integers(0, 1000).map(float) | st.floats(-6, 7).map(lambda power: 10.0**power)


def grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Every pair of counts from none to 1e7, whole and not."""
    values = np.concatenate(([0.0, 1.0, 2.0, 3.0, 1e7], 10.0 ** np.linspace(-6, 7, 53)))
    successes, failures = np.meshgrid(values, values)
    return successes.ravel(), failures.ravel()


@pytest.mark.parametrize("level", LEVELS)
def test_bounds_are_quantiles_of_the_beta_distribution(level: float) -> None:
    """Both bounds agree with scipy to 1e-9 from no counts to 1e7."""
    successes, failures = grid()
    assert np.abs(jeffreys_lower(successes, failures, level) - stats.beta.ppf(1 - level, successes + 0.5, failures + 0.5)).max() <= 1e-9
    assert np.abs(jeffreys_upper(successes, failures, level) - stats.beta.ppf(level, successes + 0.5, failures + 0.5)).max() <= 1e-9


@given(counts)
def test_even_counts_have_even_odds_in_the_middle(count: float) -> None:
    """With as many failures as successes the 50 % bound is one half, by symmetry."""
    assert jeffreys_lower(count, count, 0.5) == pytest.approx(0.5, abs=1e-10)


@given(counts, counts, st.sampled_from(LEVELS))
def test_probability_below_a_bound_is_what_was_asked(successes: float, failures: float, level: float) -> None:
    """The distribution function undoes the bound, also where the bound is too small for absolute errors to tell."""
    bound = float(jeffreys_lower(successes, failures, level))
    assert 0.0 < bound < 1.0
    assert stats.beta.cdf(bound, successes + 0.5, failures + 0.5) == pytest.approx(1 - level, rel=1e-7)


@given(counts, counts, st.floats(0.1, 1000))
def test_bounds_move_with_the_evidence(successes: float, failures: float, more: float) -> None:
    """Another success never lowers a bound, another failure never raises one."""
    lower = jeffreys_lower([successes, successes + more, successes], [failures, failures, failures + more], 0.8)
    upper = jeffreys_upper([successes, successes + more, successes], [failures, failures, failures + more], 0.8)
    for plain, better, worse in (lower.tolist(), upper.tolist()):
        assert worse - 1e-9 <= plain <= better + 1e-9
    assert (lower < upper).all()


def test_no_evidence_gives_the_bound_of_the_prior_and_no_success_stays_above_zero() -> None:
    """The 80 % bound without counts is the arcsine law's, sin²(π/10); nothing is pinned to 0 or 1."""
    assert jeffreys_lower(0, 0, 0.8) == pytest.approx(math.sin(math.pi / 10) ** 2, abs=1e-12)
    assert jeffreys_lower(0, 1000, 0.8) > 0.0
    assert jeffreys_upper(1000, 0, 0.8) < 1.0


def test_bounds_keep_the_shape_of_their_counts() -> None:
    """Numbers give a number, arrays an array, one of each is spread, none gives none."""
    assert np.shape(jeffreys_lower(3, 1, 0.8)) == ()
    assert jeffreys_upper(np.ones((2, 3)), 1, 0.8).shape == (2, 3)
    assert jeffreys_lower([], [], 0.8).shape == (0,)


def test_one_bad_count_spoils_no_other_bound() -> None:
    """A count that is not a number gives NaN for its own ratio alone."""
    bounds = jeffreys_lower([math.nan, 10.0], [1.0, 1.0], 0.8)
    assert np.isnan(bounds).tolist() == [True, False]
    assert bounds[1] == jeffreys_lower(10.0, 1.0, 0.8)


def test_bound_does_not_depend_on_its_neighbours() -> None:
    """A ratio has the same bound, to the last bit, alone and among others that take longer to find."""
    successes, failures = grid()
    together = jeffreys_lower(successes, failures, 0.975)
    alone = [float(jeffreys_lower(successes[i], failures[i], 0.975)) for i in range(0, len(successes), 17)]
    assert together[::17].tolist() == alone


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 2.0])
def test_level_must_be_a_probability(level: float) -> None:
    """Certainty has no bound."""
    with pytest.raises(ValueError, match="p must be in the range"):
        jeffreys_lower(1, 1, level)


def coverage(ranks: tuple[int, int], n: int, q: float) -> tuple[float, float]:
    """Probabilities that the lower observation lies above the true quantile and that the upper lies below it."""
    return float(stats.binom.cdf(ranks[0] - 1, n, q)), float(stats.binom.sf(ranks[1] - 1, n, q))


@given(st.integers(1, EXACT_N), st.sampled_from((0.01, 0.5, 0.9, 0.95, 0.99)), st.sampled_from((0.8, 0.95, 0.99)))
def test_ranks_are_the_tightest_that_hold_the_level(n: int, q: float, level: float) -> None:
    """Each side errs with at most half of 1 - level, and one rank tighter it would err with more."""
    ranks = quantile_interval(n, q, level)
    tail = (1 - level) / 2 + 1e-12
    if ranks is None:
        assert stats.binom.cdf(0, n, q) > tail - 2e-12 or stats.binom.sf(n - 1, n, q) > tail - 2e-12
        return
    assert max(coverage(ranks, n, q)) <= tail
    assert min(coverage((ranks[0] + 1, ranks[1] - 1), n, q)) > tail - 2e-12


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9, 0.95, 0.99])
def test_ranks_of_many_observations_are_almost_always_the_exact_ones(q: float) -> None:
    """Beyond the exact range each side still errs with at most 2.5 %, and 95 % of the intervals are the tightest that do."""
    tightest = 0
    sizes = np.geomspace(EXACT_N + 1, 2_000_000, 300).astype(int).tolist()
    for n in sizes:
        ranks = quantile_interval(n, q)
        assert ranks is not None
        assert max(coverage(ranks, n, q)) <= 0.025 * 1.001
        tightest += min(coverage((ranks[0] + 1, ranks[1] - 1), n, q)) > 0.025
    assert tightest >= 0.95 * len(sizes)


@pytest.mark.parametrize(("q", "least"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_too_few_observations_say_nothing(q: float, least: int) -> None:
    """An interval begins with the observations it takes to hold both ends: 72 for p95, 368 for p99."""
    assert quantile_interval(least - 1, q) is None
    assert quantile_interval(least, q) is not None
    assert quantile_interval(0, q) is None


def test_interval_of_a_sketch_covers_as_often_as_it_says() -> None:
    """Of 400 samples of 500 log-normal durations, at least 94 % hold the true p95 in their interval, and none is absurdly wide."""
    random = np.random.default_rng(7)
    true_us = 1e6 * math.exp(0.8 * 1.6448536269514722)
    covered = 0
    for _ in range(400):
        us = np.round(1e6 * np.exp(0.8 * random.standard_normal(500))).astype(np.int64)
        interval = sketch_interval(np.bincount(buckets_of(us), minlength=BUCKETS), 0.95)
        assert interval is not None
        covered += interval[0] <= true_us <= interval[1]
        assert interval[1] / interval[0] < 2.5
    assert covered >= 376


def test_interval_of_a_small_sketch_is_none() -> None:
    """Too few durations give no interval rather than a wrong one."""
    assert sketch_interval(np.bincount([300] * 71, minlength=BUCKETS), 0.95) is None
    assert sketch_interval(np.zeros(BUCKETS, np.int64), 0.95) is None


@given(st.lists(st.lists(st.tuples(st.integers(0, BUCKETS - 1), st.integers(0, 3_000)), max_size=4), max_size=6))
def test_intervals_of_many_sketches_are_those_of_each(sketches: list[list[tuple[int, int]]]) -> None:
    """All at once or one at a time: the same ends, and none where one is too small."""
    matrix = np.zeros((len(sketches), BUCKETS), np.int64)
    for row, held in zip(matrix, sketches, strict=True):
        for bucket, count in held:
            row[bucket] += count
    low, high = sketch_intervals(matrix, 0.95)
    for row, ends in zip(matrix, zip(low.tolist(), high.tolist(), strict=True), strict=True):
        assert sketch_interval(row, 0.95) == (None if np.isnan(ends).any() else ends)
