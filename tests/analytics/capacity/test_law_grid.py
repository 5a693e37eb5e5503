"""The laws that are looked at and what is thought of them beforehand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from routecast.analytics.capacity.law_grid import beyond, kinds, ln_full, ln_most, ln_prior, pairs, roofs
from routecast.analytics.capacity.service_law import Law


def test_more_calls_at_once_never_get_less_done() -> None:
    """Under no law of the grid, at any occupancy."""
    for knee, slope in zip(*pairs(roofs(1.0, 400.0, 12), 40.0), strict=True):
        law = Law(math.inf, float(knee), float(slope))
        done = [busy / law.slowness(busy) for busy in range(1, 80)]
        assert all(later >= earlier - 1e-9 for earlier, later in pairwise(done))


def test_a_finer_grid_makes_nothing_likelier() -> None:
    """Whether roofs from 4 to 8 are looked at in a few or in many steps, they have the same prior against those from 8 to 16."""
    ratios: list[float] = []
    for n in (8, 60):
        heights = np.concatenate([roofs(4.0, 8.0, n), roofs(8.0, 16.0, 20)[1:]])
        laws = np.column_stack([np.full(len(heights), math.inf), heights, 1.0 / heights])
        prior = np.exp(ln_prior(laws))
        ratios.append(float(prior[heights <= 8.0].sum() / prior[heights > 8.0].sum()))
    assert ratios == pytest.approx([1.0, 1.0], rel=0.15)


def test_what_nobody_saw_is_thought_of() -> None:
    """Laws with bounds above what was open at once differ from those that they stand beside only there, and reach to eight times that."""
    known = np.array([Law(math.inf, 1.0, 0.0), Law(math.inf, 3.0, 0.1), Law(5.0, 1.0, 0.0)])
    laws, of = beyond(known, 10.0)
    for law, near in zip(laws.tolist(), known[of].tolist(), strict=True):
        assert [Law(*law).slowness(busy) for busy in range(1, 11)] == pytest.approx([Law(*near).slowness(busy) for busy in range(1, 11)])
        assert law == near or ln_full(np.array([law]))[0] >= math.log(10.0)
    assert math.exp(ln_most(laws[of == 0][1:]).max()) == pytest.approx(80.0)


def test_what_a_target_does_at_most_and_with_how_many_calls() -> None:
    """A queue with its slots; a roof from its knee on; a batch when it is full."""
    laws = np.array([Law(6.0, 1.0, 0.0), Law(math.inf, 5.0, 0.2), Law(16.0, 1.0, 0.1)])
    assert np.exp(ln_most(laws)) == pytest.approx([6.0, 5.0, 6.4])
    assert np.exp(ln_full(laws)) == pytest.approx([6.0, 5.0, 16.0])
    assert kinds(laws).tolist() == [0, 1, 2]
