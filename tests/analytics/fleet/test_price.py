from __future__ import annotations

import math

import pytest

from routecast.analytics.fleet.price import EffectivePrice
from routecast.models.config import TargetConfig
from routecast.models.rows import TargetTotals

LISTED = TargetConfig(id="a", provider="p", model="m", service="chat", input_usd_per_mtok=10.0, output_usd_per_mtok=20.0)
FREE = TargetConfig(id="b", provider="p", model="m", service="chat")
ASKED = (500 * 10 + 100 * 20) / 1e6
"""What the list asks for 500 and 100 tokens."""


def _price(new: TargetTotals, target: TargetConfig = LISTED, weight: float = 9.0) -> float:
    price = EffectivePrice()
    price.grow(1)
    price.update(1.0, [new], [target])
    return float(price.usd([target], 500.0, 100.0, weight)[0])


def test_without_reports_the_list_counts() -> None:
    """The configured prices times the expected tokens."""
    assert _price(TargetTotals("a")) == pytest.approx(ASKED)
    assert _price(TargetTotals("b"), FREE) == 0.0


def test_cached_prompts_make_a_target_cheaper_than_its_list() -> None:
    """A thousand requests at half the list price: nearly half; one alone moves it by a tenth of that."""
    half = TargetTotals("a", cost_n=1000, cost_micro_usd=round(1000 * ASKED * 0.5e6), cost_input_tokens=500_000, cost_output_tokens=100_000)
    assert _price(half) == pytest.approx(0.5 * ASKED, rel=0.01)
    once = TargetTotals("a", cost_n=1, cost_micro_usd=round(ASKED * 0.5e6), cost_input_tokens=500, cost_output_tokens=100)
    assert _price(once) == pytest.approx(0.95 * ASKED)


def test_long_requests_do_not_make_a_target_dear() -> None:
    """Ten times the tokens for ten times the cost is the list price."""
    long = TargetTotals("a", cost_n=100, cost_micro_usd=round(100 * ASKED * 10e6), cost_input_tokens=500_000, cost_output_tokens=100_000)
    assert _price(long) == pytest.approx(ASKED)


def test_reports_stand_alone_where_no_price_is_configured() -> None:
    """The mean reported cost, nothing shrinks it towards 0."""
    assert _price(TargetTotals("b", cost_n=2, cost_micro_usd=6000), FREE) == pytest.approx(0.003)


def test_costs_reported_without_tokens_are_beside_the_list() -> None:
    """The list price of an average request counts as nine of them."""
    assert _price(TargetTotals("a", cost_n=9, cost_micro_usd=0)) == pytest.approx(ASKED / 2)


def test_old_costs_fade() -> None:
    """An hour is the time constant."""
    price = EffectivePrice()
    price.grow(1)
    for elapsed_s, usd in ((1.0, 0.0), (3600.0, 1000 * ASKED)):
        new = TargetTotals("a", cost_n=1000, cost_micro_usd=round(usd * 1e6), cost_input_tokens=500_000, cost_output_tokens=100_000)
        price.update(elapsed_s, [new], [LISTED])
    assert price.usd([LISTED], 500.0, 100.0, 0.0)[0] == pytest.approx(ASKED / (1 + math.exp(-1)))


def test_no_report_makes_a_request_dearer_than_any_can_be() -> None:
    """A million for a request of one token: what follows for usual ones must not spoil the snapshot for all other targets."""
    assert _price(TargetTotals("a", cost_n=1, cost_micro_usd=10**12, cost_input_tokens=1), weight=0.0) == 1e6
