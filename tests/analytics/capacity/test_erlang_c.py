import math

import pytest

from routecast.analytics.capacity.erlang_c import sustainable_per_s, waiting_probability


def test_the_formula_gives_known_values() -> None:
    """One slot: the load itself; two slots at half load: a third (2ρ²/(1+ρ)); a full one: 1."""
    assert waiting_probability(1, 0.3) == pytest.approx(0.3)
    assert waiting_probability(2, 1.0) == pytest.approx(1 / 3)
    assert waiting_probability(2, 2.0) == 1.0


def test_the_sustainable_rate_is_where_a_twentieth_waits_too_long() -> None:
    """By the formula for the time waited, and rising with slots and with patience."""
    per_s = sustainable_per_s(4, 1.0, 0.5)
    assert waiting_probability(4, per_s) * math.exp(-(4 - per_s) * 0.5) == pytest.approx(0.05)
    assert sustainable_per_s(5, 1.0, 0.5) > per_s
    assert sustainable_per_s(4, 1.0, 1.0) > per_s
