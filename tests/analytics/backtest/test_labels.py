from __future__ import annotations

import tomllib

import pytest

from routecast.analytics.backtest.labels import incidents
from routecast.models.errors import ConfigError

START_MS = 1_700_000_000_000.0


def test_times_may_be_written_in_three_ways() -> None:
    """A time, epoch milliseconds, or seconds since the first request; the kind may be left out."""
    table = tomllib.loads(
        '[[incident]]\ntarget = "a"\nfrom = 10\nto = 2023-11-14T22:13:40Z\nkind = "outage"\n[[incident]]\ntarget = "b"\nfrom = 1700000005000\nto = 30.5\n'
    )
    first, second = incidents(table, START_MS, ["a", "b"])
    assert (first.from_ms - START_MS, first.until_ms - START_MS, first.kind) == (10_000.0, 20_000.0, "outage")
    assert (second.from_ms - START_MS, second.until_ms - START_MS, second.kind) == (5_000.0, 30_500.0, "any")


def test_a_list_of_objects_will_do() -> None:
    """As JSON has it; text times without a zone are UTC."""
    (found,) = incidents([{"target": "a", "from": "2023-11-14T22:13:20", "to": "2023-11-14T22:13:21+00:00"}], START_MS, ["a"])
    assert (found.from_ms, found.until_ms) == (START_MS, START_MS + 1000.0)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"incidents": []}, "no list of incidents"),
        ([{"target": "a", "from": 1}], "needs target, from, to"),
        ([{"target": "a", "from": 1, "to": 2, "until": 3}], "needs target, from, to"),
        ([{"target": "z", "from": 1, "to": 2}], "no target 'z'; there are a, b"),
        ([{"target": "a", "from": 2, "to": 1}], "ends before it begins"),
        ([{"target": "a", "from": "noon", "to": 1}], "from is 'noon'; write a time"),
    ],
)
def test_a_wrong_label_is_named(table: object, said: str) -> None:
    """The error says which entry and what is allowed."""
    with pytest.raises(ConfigError, match=said):
        incidents(table, START_MS, ["a", "b"])
