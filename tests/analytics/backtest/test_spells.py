from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from routecast.analytics.backtest.spells import bad_spells, inside, slow_spells, told_spells

Floats = NDArray[np.float64]


def times(n: int, step_ms: float) -> Floats:
    """So many attempts, one every `step_ms`."""
    found: Floats = np.linspace(0.0, (n - 1) * step_ms, n)
    return found


def lognormal(seed: int, n: int, sigma: float) -> Floats:
    """Times relative to the expected ones."""
    found: Floats = np.exp(np.random.default_rng(seed).normal(0, sigma, n))
    return found


def test_an_outage_is_found_with_its_times() -> None:
    """Between good attempts, 30 failures in a row are one spell, from half-way before the first to half-way after the last."""
    at_ms = times(300, 100.0)
    bad = (np.arange(300) >= 100) & (np.arange(300) < 130)
    (spell,) = bad_spells("failing", at_ms, bad)
    assert (spell.from_ms, spell.until_ms, spell.level, spell.n) == (9_950.0, 12_950.0, 1.0, 30)
    assert spell.outage


def test_a_partial_failure_is_no_outage() -> None:
    """A third of the calls failing for a while is found, with about that level."""
    rng = np.random.default_rng(1)
    bad = (rng.random(2000) < 0.005) | ((np.arange(2000) >= 800) & (np.arange(2000) < 1200) & (rng.random(2000) < 0.3))
    (spell,) = bad_spells("failing", times(2000, 10.0), bad)
    assert spell.level == pytest.approx(0.3, abs=0.05)
    assert [spell.from_ms, spell.until_ms] == pytest.approx([8_000, 12_000], abs=300)
    assert not spell.outage


@pytest.mark.parametrize("seed", range(20))
def test_bad_luck_is_no_spell(seed: int) -> None:
    """One failure in a hundred, scattered, is what is usual."""
    bad = np.random.default_rng(seed).random(3000) < 0.01
    assert bad_spells("failing", times(3000, 50.0), bad) == []


def test_a_spell_that_lasts_has_no_end() -> None:
    """What still fails when the recording ends goes on."""
    (spell,) = bad_spells("failing", times(100, 1.0), np.arange(100) >= 60)
    assert spell.until_ms == math.inf


def test_answers_that_take_four_times_as_long_are_a_slow_spell() -> None:
    """The level is the factor; lognormal noise around it does not hide it."""
    ratio = lognormal(2, 1000, 0.5)
    ratio[400:500] *= 4.0
    (spell,) = slow_spells(times(1000, 20.0), ratio)
    assert spell.level == pytest.approx(4.0, rel=0.25)
    assert [spell.from_ms, spell.until_ms] == pytest.approx([8_000, 10_000], abs=150)


@pytest.mark.parametrize("seed", range(20))
def test_a_wide_spread_is_no_slow_spell(seed: int) -> None:
    """Two speeds mixed at random and a long tail are the usual spread of a target."""
    two_speeds = np.where(np.random.default_rng(seed).random(2000) < 0.3, 2.0, 1.0)
    assert slow_spells(times(2000, 20.0), lognormal(seed + 100, 2000, 0.6) * two_speeds) == []


def test_a_storm_is_as_long_as_its_refusals_said() -> None:
    """Three refusals that each name the end of the storm are a spell up to that end, though nobody asked again; short waits are those of a limit."""
    at_ms, refused = np.array([0.0, 1000.0, 2000.0, 3000.0, 90_000.0]), np.array([False, True, True, True, True])
    (spell,) = told_spells(at_ms, refused, np.array([0.0, 59_000.0, 58_000.0, 57_000.0, 500.0]))
    assert (spell.from_ms, spell.until_ms, spell.level, spell.n) == (1000.0, 60_000.0, 1.0, 3)


def test_times_inside_spells() -> None:
    """The beginning belongs to a spell, its end does not."""
    spells = bad_spells("failing", times(100, 1.0), (np.arange(100) >= 40) & (np.arange(100) < 50))
    assert inside(np.array([39.0, 39.5, 49.4, 49.5]), spells).tolist() == [False, True, True, False]


def test_nothing_has_no_spells() -> None:
    """A target that nobody asked has none."""
    nobody = np.zeros(0)
    assert bad_spells("failing", nobody, nobody.astype(bool)) == []
    assert slow_spells(nobody, nobody) == []
