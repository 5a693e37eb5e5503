"""Logs of which everything is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from routecast.analytics.evaluation.logged import Floats, Logged


@pytest.fixture(scope="session")
def drawn() -> Callable[[int, Floats], Logged]:
    """(seed, [rows × targets] probabilities) → a log drawn with them: later targets are slower, and one feature slows all of them."""

    def draw(seed: int, chances: Floats) -> Logged:
        rng, n, k = np.random.default_rng(seed), len(chances), chances.shape[1]
        chosen = np.minimum((np.cumsum(chances, axis=1) < rng.random((n, 1))).sum(axis=1), k - 1)
        length = rng.random(n)
        time_s: Floats = (1.0 + chosen) * (0.5 + length) * rng.lognormal(-0.08, 0.4, n)
        return Logged.of([f"t{i}" for i in range(k)], chosen, chances[np.arange(n), chosen], {"time_to_success_s": time_s}, context=length[:, None])

    return draw
