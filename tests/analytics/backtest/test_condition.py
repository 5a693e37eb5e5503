from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routecast.analytics.backtest.condition import condition
from routecast.analytics.backtest.metrics import figures
from routecast.models.backtest import METRICS
from routecast.models.errors import ConfigError

FIGURES = figures([{"p95_ms": 2000.0, "failed_ratio": 0.01}])


@pytest.mark.parametrize(
    ("text", "failed"),
    [("p95_ms>2000", False), ("p95_ms >= 2e3", True), ("p95_ms<2001", True), (" failed_ratio == 0.01 ", True), ("a:p95_ms!=2000", False), ("quality<1", False)],
)
def test_a_condition_compares_a_figure(text: str, failed: bool) -> None:
    """Spaces do not matter; a figure that nothing tells fails nothing, and has no value."""
    check = condition(text, ["a", "b"]).of(FIGURES)
    assert (check.failed, check.policy) == (failed, "a")
    assert (check.value is None) == ("quality" in text)


def test_a_condition_can_name_its_policy() -> None:
    """Before a colon; otherwise the first one is meant."""
    assert condition("b:p99_ms>1", ["a", "b"]).policy == "b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p95_ms", "no condition: write METRIC OPERATOR NUMBER"),
        ("p95_ms > two", "no condition"),
        ("p95_ms>1; import os", "no condition"),
        ("p96_ms>1", "there is no metric 'p96_ms'; there are mean_ms, p50_ms"),
        ("c:p95_ms>1", "there is no policy 'c' in this backtest; there are a, b"),
        ("p95_ms>1.2.3", "'1.2.3' is no number"),
    ],
)
def test_a_wrong_condition_says_what_there_is(text: str, said: str) -> None:
    """The text names what is allowed."""
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        condition(text, ["a", "b"])


@given(st.sampled_from(METRICS), st.sampled_from([">", ">=", "<", "<=", "==", "!="]), st.floats(-1e9, 1e9))
def test_what_is_written_is_what_is_read(metric: str, operator: str, number: float) -> None:
    """Every metric, operator and number comes back."""
    found = condition(f"{metric}{operator}{number!r}", ["a"])
    assert (found.metric, found.operator, found.number) == (metric, operator, number)


@given(st.text(max_size=30))
def test_any_text_is_a_condition_or_a_configuration_error(text: str) -> None:
    """Nothing else comes of it."""
    with suppress(ConfigError):
        condition(text, ["a"])
