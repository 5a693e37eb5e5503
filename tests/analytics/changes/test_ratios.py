from __future__ import annotations

import numpy as np
import pytest

from routecast.analytics.changes.episodes import Episode
from routecast.analytics.changes.ratios import Ratios
from routecast.analytics.checkpoint import pack, restore, state_of, unpack

T = 1_700_000_000_000.0


class Outcomes:
    """Some series, ten outcomes of each a second."""

    def __init__(self, count: int = 1, seed: int = 1) -> None:
        self.ratios = Ratios()
        self.ratios.grow(count)
        self.count, self.luck, self.at_ms = count, np.random.default_rng(seed), T

    def run(self, seconds: int, ratio: float) -> list[Episode]:
        """What is said at this ratio."""
        said: list[Episode] = []
        for _ in range(seconds):
            self.at_ms += 1000.0
            bad = self.luck.binomial(10, ratio, self.count).astype(float)
            said += self.ratios.update(self.at_ms, 1.0, np.full(self.count, 10.0), bad)
        return said


@pytest.mark.parametrize(("usual", "after", "within_s"), [(0.01, 1.0, 2), (0.01, 0.3, 4), (0.01, 0.05, 60), (0.1, 0.5, 8), (0.2, 0.02, 60)])
def test_a_ratio_that_changes_is_raised_once_and_over_once(usual: float, after: float, within_s: float) -> None:
    """Dead, failing in part, failing more than usual, or better than usual."""
    outcomes = Outcomes()
    assert outcomes.run(1200, usual) == []
    began_ms = outcomes.at_ms
    (first, *more) = outcomes.run(300, after)
    assert first.version == 1
    assert first.detected_ms - began_ms <= within_s * 1000.0
    assert first.before == pytest.approx(usual, rel=0.3)
    assert (more or [first])[-1].after == pytest.approx(after, rel=0.4, abs=0.03)
    (last,) = outcomes.run(600, usual)
    assert (last.ended_by, last.number) == ("returned", 1)


@pytest.mark.parametrize("usual", [0.0005, 0.01, 0.05, 0.2])
@pytest.mark.untraced
def test_quiet_ratios_raise_nothing(usual: float) -> None:
    """A hundred series of a thousand looks each, a million outcomes, from the first on: at most two false alarms."""
    outcomes = Outcomes(100, seed=2)
    assert len([item for item in outcomes.run(1000, usual) if item.version == 1]) <= 2


def test_a_target_that_always_fails_raises_nothing_and_no_warning() -> None:
    """From the beginning on it is usual, unless it is found before that; it may recover all the same."""
    outcomes = Outcomes()
    said = outcomes.run(900, 0.9)
    assert len({item.number for item in said}) <= 1
    assert outcomes.run(300, 0.02) != []


def test_outcomes_continue_from_a_checkpoint_in_the_middle_of_an_alarm() -> None:
    """To the bit."""
    one = Outcomes(3)
    one.run(600, 0.01)
    one.run(20, 0.5)
    assert one.ratios.lasting.all()
    other = Outcomes(3)
    saved = unpack(pack({name: state_of(part) for name, part in one.ratios.parts.items()}))
    for name, part in other.ratios.parts.items():
        restore(part, saved[name])
    other.at_ms, other.luck.bit_generator.state = one.at_ms, one.luck.bit_generator.state
    assert one.run(200, 0.01) == other.run(200, 0.01) != []
