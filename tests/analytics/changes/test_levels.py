from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from routecast.analytics.changes.episodes import ACCEPTED_MS, Episode
from routecast.analytics.changes.levels import Levels, Seen
from routecast.analytics.checkpoint import pack, restore, state_of, unpack

T = 1_700_000_000_000.0
SD = 0.84
HOUR_S = 3600


class Series:
    """Some series, a look a second at so many observations of each."""

    def __init__(self, count: int = 1, per_s: float = 5.0, seed: int = 1) -> None:
        self.levels = Levels(sd=SD, least_sd=0.1)
        self.levels.grow(count)
        self.count, self.per_s, self.luck, self.at_ms = count, per_s, np.random.default_rng(seed), T
        self.said: list[Episode] = []

    def look(self, means: Sequence[float], elapsed_s: float = 1.0, sd: float = SD) -> list[Episode]:
        """What is said of one look."""
        self.at_ms += elapsed_s * 1000.0
        n = self.luck.poisson(self.per_s * elapsed_s, self.count).astype(float)
        sums = n * np.array(means) + self.luck.standard_normal(self.count) * sd * np.sqrt(n)
        deviation = sums - n * self.levels.expected(self.at_ms)
        said = self.levels.update(self.at_ms, elapsed_s, Seen(n, sums[:, None], deviation, deviation**2, np.ones(self.count)))
        self.said += said
        return said

    def run(self, seconds: int, mean: Callable[[float], float], elapsed_s: float = 1.0) -> list[Episode]:
        """What is said while the mean of all of them is this function of the time."""
        first = len(self.said)
        for _ in range(int(seconds / elapsed_s)):
            self.look([mean(self.at_ms)] * self.count, elapsed_s)
        return self.said[first:]


@pytest.mark.parametrize("level", [-7.0, 0.0, 9.0])
def test_a_change_is_raised_once_and_over_once(level: float) -> None:
    """Twice as slow for ten minutes, wherever the level is: one episode, with its beginning, both levels and its end."""
    series = Series()
    assert series.run(1200, lambda _: level) == []
    began_ms = series.at_ms
    found = series.run(600, lambda _: level + math.log(2.0))
    (first, *more) = found
    assert (first.version, first.ended_ms) == (1, None)
    assert all(later.number == 1 and later.version == 2 + i for i, later in enumerate(more))
    assert abs(first.since_ms - began_ms) <= 10_000.0
    assert first.detected_ms - began_ms <= 30_000.0
    assert first.before == pytest.approx(level, abs=0.1)
    assert found[-1].after == pytest.approx(level + math.log(2.0), abs=0.4)
    (last,) = series.run(600, lambda _: level)
    assert (last.ended_by, last.number, last.version) == ("returned", 1, len(found) + 1)
    assert series.run(1200, lambda _: level) == []


def test_a_level_that_stays_becomes_the_usual_one() -> None:
    """After six hours; a return to the old one is then a change of its own."""
    series = Series()
    series.run(1200, lambda _: 0.0)
    found = series.run(int(ACCEPTED_MS / 1000) + 120, lambda _: 1.0, 10.0)
    assert [item.ended_by for item in found if item.ended_ms] == ["accepted"]
    assert series.levels.expected(series.at_ms)[0] == pytest.approx(1.0, abs=0.1)
    (back, *_) = series.run(300, lambda _: 0.0)
    assert (back.number, back.version, back.ended_ms) == (2, 1, None)
    assert back.before == pytest.approx(1.0, abs=0.1)


def test_what_is_usual_is_not_learned_from_an_alarm() -> None:
    """Five hours of it leave the baseline where it was."""
    series = Series()
    series.run(1200, lambda _: 0.0)
    before = series.levels.expected(T)[0]
    series.run(5 * HOUR_S, lambda _: 1.5, 10.0)
    assert series.levels.lasting[0]
    assert series.levels.expected(T)[0] == pytest.approx(before, abs=0.01)


@pytest.mark.untraced
def test_quiet_series_raise_nothing_from_their_first_observation_on() -> None:
    """Two hundred series that begin without any knowledge, 1,400 looks at two observations each: no more than two false alarms in 560,000."""
    series = Series(200, 2.0)
    series.run(1400, lambda _: 3.0)
    assert len([item for item in series.said if item.version == 1]) <= 2


def test_wandering_that_is_usual_raises_less_and_less() -> None:
    """Levels that wander by a third of a deviation within minutes: their evidence counts for less once that is known."""
    series, luck, level = Series(40, 5.0), np.random.default_rng(8), np.zeros(40)
    raised: list[int] = []
    for _ in range(4):
        for _ in range(HOUR_S // 2):
            level += -level * 2.0 / 60.0 + luck.standard_normal(40) * 0.28 * math.sqrt(4.0 / 60.0)
            series.look(level.tolist(), 2.0)
        raised.append(len([item for item in series.said if item.version == 1 and not item.ended_ms]))
        series.said.clear()
    assert raised[-1] <= 2
    assert raised[-1] <= raised[0]


@pytest.mark.untraced
def test_the_hour_of_the_week_is_known_after_two_weeks() -> None:
    """A day that is twice as slow as its night raises changes in the first two weeks and none in the fifth; a slow night is one."""
    series = Series(1, 0.2)

    def day(at_ms: float) -> float:
        return 0.35 * math.sin(2.0 * math.pi * at_ms / 86_400_000.0)

    assert series.run(14 * 24 * HOUR_S, day, 120.0)
    series.run(14 * 24 * HOUR_S, day, 120.0)
    assert series.run(7 * 24 * HOUR_S, day, 120.0) == []
    night_ms = series.at_ms
    found = series.run(3 * HOUR_S, lambda at_ms: day(at_ms) + math.log(2.0), 60.0)
    assert found
    assert found[0].detected_ms - night_ms < HOUR_S * 1000.0


def test_a_series_continues_from_a_checkpoint_in_the_middle_of_an_alarm() -> None:
    """The same episodes and the same bits as without the interruption."""
    one = Series(3)
    one.run(900, lambda _: 0.0)
    one.run(60, lambda _: 1.0)
    assert one.levels.lasting.all()
    saved = unpack(pack({name: state_of(part) for name, part in one.levels.parts.items()}))
    other = Series(3)
    for name, part in other.levels.parts.items():
        restore(part, saved[name])
    other.at_ms, other.luck.bit_generator.state = one.at_ms, one.luck.bit_generator.state
    for mean in (1.0, 0.0):
        assert one.run(300, lambda _, m=mean: m) == other.run(300, lambda _, m=mean: m)  # type: ignore[misc]
    states = [pack({name: state_of(part) for name, part in series.levels.parts.items()}) for series in (one, other)]
    assert states[0] == states[1]


def test_another_reading_of_the_same_observations_is_no_change() -> None:
    """The level of each reading is known from the beginning, whichever counts."""
    levels, luck = Levels(readings=2, sd=SD, least_sd=0.1), np.random.default_rng(4)
    levels.grow(1)
    for tick in range(600):
        reading = np.array([int(tick >= 300)])
        at_ms, n = T + tick * 1000.0, np.array([5.0])
        x = float(luck.standard_normal()) * SD * math.sqrt(5.0)
        sums = np.array([[x + 5.0 * 1.0, x + 5.0 * 3.0]])
        deviation = sums[:, reading[0]] - n * levels.expected(at_ms, reading)
        assert levels.update(at_ms, 1.0, Seen(n, sums, deviation, deviation**2, np.ones(1))) == []
