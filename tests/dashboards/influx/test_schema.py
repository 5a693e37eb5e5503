from __future__ import annotations

from pathlib import Path

from routecast.dashboards.influx.schema import BOUNDS_S, FORBIDDEN, LATENCY_HIST, MEASUREMENTS, PROVIDER_WINDOW, RETENTION_S, bar
from routecast.dashboards.influx.schema_tables import schema_tables

UNITS = {"", "s", "ms", "us", "ratio", "score", "1/min", "1/s", "USD", "MB"}
PAGE = Path(__file__).parents[3] / "docs" / "influxdb.md"


def test_the_page_says_what_the_registry_says() -> None:
    """Its tables are made from it."""
    assert PAGE.read_text().endswith(schema_tables() + "\n"), schema_tables()


def test_no_name_means_something_else_to_flux_or_grafana() -> None:
    """Nor does one stand twice in a measurement, nor begin with what is reserved."""
    for measurement in MEASUREMENTS:
        names = [*measurement.tag_names, *measurement.field_names]
        assert len(names) == len(set(names))
        assert FORBIDDEN.isdisjoint(names)
        assert [name for name in (measurement.name, *names) if name.startswith("_") or not name.isidentifier() or name != name.lower()] == []


def test_everything_has_a_unit_and_a_meaning() -> None:
    """Whoever reads the page or a panel knows what a figure is."""
    for measurement in MEASUREMENTS:
        assert measurement.description.endswith(".")
        assert {field.unit for field in measurement.fields} <= UNITS
        assert [tag.name for tag in measurement.tags if not tag.description] == []
        assert [field.name for field in measurement.fields if not field.description] == []


def test_units_agree_with_names() -> None:
    """A name that ends in a unit is of that unit."""
    endings = {"_s": {"s", "1/s"}, "_ms": {"ms"}, "_us": {"us"}, "_ratio": {"ratio"}, "_per_min": {"1/min"}, "_usd": {"USD"}, "_mb": {"MB"}}
    for measurement in MEASUREMENTS:
        for field in measurement.fields:
            assert [ending for ending, units in endings.items() if field.name.endswith(ending) and field.unit not in units] == [], field


def test_every_bucket_exists_and_every_window_has_one() -> None:
    """Windows where there is a tag for them, and only there."""
    for measurement in MEASUREMENTS:
        assert set(measurement.buckets.values()) <= set(RETENTION_S)
        assert set(measurement.buckets) == ({"10s", "1m", "1h"} if "window" in measurement.tag_names else {""})


def test_bars_sort_like_their_bounds() -> None:
    """Grafana orders the rows of a heat map by their names."""
    names = [bar(bound) for bound in BOUNDS_S]
    assert (names[0], names[-1]) == ("le_00_01", "le_81_92")
    assert [*names, "le_inf"] == sorted([*names, "le_inf"]) == list(LATENCY_HIST.field_names)


def test_a_window_has_30_figures() -> None:
    """The line that the encoder and the server are measured with."""
    assert len(PROVIDER_WINDOW.fields) == 30
