import math

import numpy as np
import pytest

from routecast.analytics.changes.anomaly import Anomaly

T = 1_700_000_000_000.0
HALF_HOUR_MS = 1_800_000.0


def _surprises(values: list[float], step_ms: float = 300_000.0) -> list[float]:
    detector = Anomaly()
    return [detector.update(T + i * step_ms, x).surprise for i, x in enumerate(values)]


@pytest.mark.untraced
def test_surprise_is_rare_as_it_says() -> None:
    """Of quiet values one in a thousand surprises by 7 nats, give or take, and one far off by much more."""
    values = np.random.default_rng(1).standard_normal(20_000).tolist()
    surprises = np.array(_surprises([*values, 9.0]))
    assert 0.0003 <= (surprises[1000:-1] > math.log(1000)).mean() <= 0.004
    assert surprises[-1] > 14.0


@pytest.mark.parametrize(("unit", "level"), [(1e-3, 0.0), (1.0, 50.0), (1e3, -7.0)])
def test_unit_and_level_do_not_matter(unit: float, level: float) -> None:
    """What surprises most is the same, whatever the unit of the scatter."""
    values = np.random.default_rng(2).standard_normal(3000)
    values[2000] = 12.0
    surprises = _surprises((unit * values + unit * level).tolist())
    assert int(np.argmax(surprises[500:])) + 500 == 2000


def test_heavy_tails_must_go_further() -> None:
    """What is twelve deviations off is no news where that happens every day."""
    luck = np.random.default_rng(3)
    light, heavy = luck.standard_normal(4000), luck.standard_t(2.0, 4000)
    assert _surprises([*light.tolist(), 12.0])[-1] > 1.5 * _surprises([*heavy.tolist(), 12.0])[-1]


def test_the_rhythm_of_the_week_is_usual() -> None:
    """After two weeks, a Sunday like a Monday surprises."""
    luck = np.random.default_rng(4)
    hours = (T + HALF_HOUR_MS * np.arange(48 * 42)) / 3_600_000.0
    weekday = ((hours // 24 + 4) % 7) < 5
    values = np.where(weekday, 10.0 + 5.0 * np.sin(2 * np.pi * hours / 24), 2.0) + 0.5 * luck.standard_normal(len(hours))
    last = next(i for i in range(len(hours) - 1, 0, -1) if not weekday[i] and not weekday[i - 1] and math.sin(2 * math.pi * hours[i] / 24) > 0.9)
    values[last] = 15.0
    surprises = np.array(_surprises(values.tolist(), HALF_HOUR_MS))
    assert int(np.argmax(surprises[48 * 21 :])) + 48 * 21 == last


def test_nothing_surprises_at_first() -> None:
    """Fifty values are for learning; a score is between 0 and 1."""
    detector = Anomaly()
    for i in range(50):
        assert detector.update(T + i, 1e6 * (i % 7)).surprise == 0.0
    assert detector.update(T + 60, 1e12).score == pytest.approx(1.0)
