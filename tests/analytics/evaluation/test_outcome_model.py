from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from routecast.analytics.evaluation.logged import FOLDS, Floats, Logged
from routecast.analytics.evaluation.outcome_model import kinds_of, predictions

Draw = Callable[[int, Floats], Logged]
TIME: Final = "time_to_success_s"


def test_a_row_does_not_help_to_predict_its_own_part_of_the_log(drawn: Draw) -> None:
    """Whatever its outcome is, what is predicted for its part stays; the other parts learn from it."""
    logged = drawn(1, np.full((500, 4), 0.25))
    changed = logged.rewards[TIME].copy()
    changed[7] += 1000.0
    before, after = predictions(logged, logged.rewards[TIME]), predictions(logged, changed)
    own = logged.folds == logged.folds[7]
    assert after[own] == pytest.approx(before[own], abs=1e-9)
    assert np.abs(after[~own] - before[~own]).max() > 1.0


def test_means_are_found_by_target_and_situation() -> None:
    """With many rows, to a hundredth: two kinds of requests, each target with a time for each."""
    rng = np.random.default_rng(3)
    chosen, kind = rng.integers(0, 3, 30_000), rng.integers(0, 2, 30_000)
    truth = np.array([[1.0, 5.0, 2.0], [4.0, 1.0, 3.0]])
    logged = Logged.of(["a", "b", "c"], chosen, np.full(30_000, 1 / 3), {}, context=kind[:, None].astype(float))
    assert np.allclose(predictions(logged, truth[kind, chosen]), truth[kind], rtol=0.01)


def test_a_target_that_is_seldom_chosen_leans_on_what_is_known_of_it_and_of_the_situation() -> None:
    """Never seen with long requests, which take four times longer elsewhere: dearer than its own mean and than that of all."""
    rng = np.random.default_rng(4)
    long = np.arange(20_000) % 2 == 1
    chosen = np.where(~long & (rng.random(20_000) < 0.1), 1, 0)
    time_s = np.where(long, 8.0, 2.0) * np.where(chosen == 1, 2.0, 1.0)
    logged = Logged.of(["often", "seldom"], chosen, np.full(20_000, 0.5), {}, context=long[:, None].astype(float))
    unseen = predictions(logged, time_s)[long, 1]
    assert (unseen > 1.5 * time_s[chosen == 1].mean()).all()
    assert (unseen > 1.1 * time_s.mean()).all()


def test_what_is_not_known_of_a_request_is_a_kind_of_its_own() -> None:
    """Whatever the other features say."""
    kinds = kinds_of(np.array([[0.1], [np.nan], [0.9], [np.nan]] * 100), 400, 1)
    assert kinds[1] == kinds[3]
    assert len({*kinds.tolist()}) >= 3


def test_every_feature_cuts() -> None:
    """Two features of two values each make four kinds."""
    context = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]] * 100)
    assert len({*kinds_of(context, 400, 1).tolist()}) == 4


def test_without_context_there_is_one_kind() -> None:
    """Means by target remain."""
    assert set(kinds_of(np.empty((10, 0)), 10, 3).tolist()) == {0}


def test_nothing_logged_elsewhere_predicts_nothing(drawn: Draw) -> None:
    """All rows in one part: none of the others knows anything."""
    logged = drawn(2, np.full((50, 4), 0.25))
    alone = replace(logged, folds=np.zeros(50, np.int64))
    assert (predictions(alone, alone.rewards[TIME]) == 0).all()
    assert FOLDS > 1
