from __future__ import annotations

import math

import pytest

from routecast.analytics.fleet.tokens import ExpectedTokens
from routecast.analytics.pane import MILLION
from routecast.models.rows import TargetTotals


def _answers(*outputs: int, inputs: tuple[int, ...] = ()) -> TargetTotals:
    return TargetTotals(
        "a",
        output_n=len(outputs),
        ln_output_sum=sum(round(math.log(n) * MILLION) for n in outputs),
        input_n=len(inputs),
        input_tokens=sum(inputs),
    )


def test_nothing_is_expected_while_nothing_is_known() -> None:
    """0 stands for unknown."""
    tokens = ExpectedTokens()
    tokens.update(1.0, [TargetTotals("a")])
    assert (tokens.output, tokens.input) == (0.0, 0.0)


def test_output_is_a_geometric_mean_and_input_an_arithmetic_one() -> None:
    """One answer of ten thousand tokens does not make all answers long."""
    tokens = ExpectedTokens()
    tokens.update(1.0, [_answers(100, 10_000, inputs=(100, 500))])
    assert (tokens.output, tokens.input) == pytest.approx((1000, 300), rel=1e-5)


def test_all_targets_count_alike_in_any_order() -> None:
    """What a service expects does not depend on how its targets are listed."""
    news = [_answers(100, inputs=(10,)), _answers(400, inputs=(70,)), _answers(1600, inputs=(100,))]
    one, other = ExpectedTokens(), ExpectedTokens()
    one.update(30.0, news)
    other.update(30.0, news[::-1])
    assert one.output == other.output == pytest.approx(400, rel=1e-5)
    assert one.input == other.input == pytest.approx(60)


def test_older_answers_fade() -> None:
    """Three hundred seconds leave 37 % of their weight."""
    tokens = ExpectedTokens()
    tokens.update(1.0, [_answers(100, inputs=(100,))])
    tokens.update(300.0, [_answers(10_000, inputs=(900,))])
    old = 1 / math.e
    assert math.log(tokens.output) == pytest.approx((old * math.log(100) + math.log(10_000)) / (old + 1), rel=1e-5)
    assert tokens.input == pytest.approx((old * 100 + 900) / (old + 1))
