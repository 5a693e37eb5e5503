"""Fixtures for tests of what Grafana is given."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from grafana_queries import Query, Row, asked, substituted
from stored_fleet import Span, config, lines, replayed, store

from routecast.dashboards.influx.connection import Connection
from routecast.dashboards.influx.line_protocol import Line
from routecast.models.config import Config, Influx

HOUR_S = 3600


class Stored(NamedTuple):
    """A real InfluxDB that holds an hour of twenty targets, longer windows of longer times, and two replayed runs."""

    config: Config
    settings: Influx
    token: str
    end_ms: int

    def ask(self, query: Query, chosen: Mapping[str, str | list[str]], *, end_ms: int | None = None) -> list[Row]:
        """The rows of a query, as Grafana would send it for the hour."""
        return asked(self.settings, self.token, substituted(query.text, chosen, end_ms=end_ms or self.end_ms, range_s=HOUR_S))


@pytest.fixture(scope="session")
def fleet_stored(kept_store: Any) -> Stored:
    """Made once by the sink's own translation."""
    fleet = config().model_copy(update={"influx": kept_store.settings})
    end_ms = int(time.time() * 1000)
    span = Span(end_ms, {"10s": HOUR_S, "1m": HOUR_S, "1h": 96 * HOUR_S}, HOUR_S)
    for made in (lines(span), replayed(end_ms)):
        store(kept_store.settings, kept_store.token, made)
    return Stored(fleet, kept_store.settings, kept_store.token, end_ms)


@pytest.fixture
def write(store: Any) -> Iterator[Callable[[list[Line]], Influx]]:
    """Stores lines in buckets that are empty before."""
    connection = Connection(store.settings, store.token)

    def written(made: list[Line]) -> Influx:
        for destination in {line.destination for line in made}:
            answer = connection.write(destination, [line for line in made if line.destination == destination])
            assert answer.status == 204, answer.message
        settings: Influx = store.settings
        return settings

    yield written
    connection.close()
