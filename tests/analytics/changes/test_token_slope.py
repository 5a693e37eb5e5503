import numpy as np
import pytest

from routecast.analytics.changes.token_slope import TokenSlope
from routecast.analytics.fleet.capacity_fit import LatencyGroups


def _groups(size: int, slope: float, seed: int, told: float = 1.0) -> tuple[LatencyGroups, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """A thousand groups of this size, of which the time grows by this slope over ln tokens, and their deviations from the mean."""
    luck = np.random.default_rng(seed)
    ln_tokens = luck.normal(5.0, 0.9, (1000, size))
    ln = slope * (ln_tokens - 5.0) + luck.normal(0.0, 0.4, (1000, size))
    n = np.full(1000, float(size))
    groups = LatencyGroups(np.zeros(1000, np.int64), n, ln.sum(axis=1), (ln**2).sum(axis=1), np.zeros(1000), n * told, ln_tokens.sum(axis=1) * told)
    return groups, ln.sum(axis=1)


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("slope", [0.0, 0.6, 1.0])
def test_sums_of_groups_tell_the_slope(size: int, slope: float) -> None:
    """As well as single answers do."""
    known = TokenSlope()
    for seed in range(3):
        groups, deviation = _groups(size, slope, seed)
        known.update(1.0, groups, deviation)
    groups, deviation = _groups(size, slope, 9)
    freed = deviation - known.longer(groups)
    assert freed.std() == pytest.approx(0.4 * np.sqrt(size), rel=0.06)


def test_nothing_is_taken_off_where_tokens_are_not_told() -> None:
    """Embeddings for instance have none."""
    known = TokenSlope()
    groups, deviation = _groups(3, 0.8, 1, told=0.0)
    known.update(1.0, groups, deviation)
    assert known.longer(groups).tolist() == [0.0] * 1000


def test_time_never_falls_with_length() -> None:
    """A slope against all sense is taken for none."""
    known = TokenSlope()
    groups, deviation = _groups(1, -0.5, 1)
    for _ in range(2):
        known.update(1.0, groups, deviation)
    assert np.abs(known.longer(groups)).max() == 0.0
