"""From records of the log to lines of InfluxDB, and what of them cannot become any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from routecast.dashboards.influx.line_protocol import BadPoint, Encoder, Line, Point
from routecast.dashboards.influx.schema import MEASUREMENTS
from routecast.dashboards.points.insights import insight_points
from routecast.dashboards.points.reports import SIGNS, event_points
from routecast.dashboards.points.scores import ScorePoints
from routecast.dashboards.points.vitals import worker_points
from routecast.dashboards.points.windows import window_points
from routecast.dashboards.sink.cardinality import CardinalityGuard
from routecast.models.config import Config
from routecast.models.errors import DecodeError
from routecast.models.events import decode_events
from routecast.models.insights import decode_insight
from routecast.models.metrics import WindowRecord
from routecast.models.snapshot import decode_snapshot
from routecast.models.vitals import decode_vitals
from routecast.streams.topics import CONTROL, EVENTS, INSIGHTS, METRICS, SCORES, VITALS, Topic

READ: Final[tuple[Topic, ...]] = (METRICS, SCORES, INSIGHTS, CONTROL, EVENTS, VITALS)
"""Topics that something is stored of."""


class Bad(NamedTuple):
    """What cannot be stored, for the dead letters."""

    reason: str
    raw: bytes


class Translated(NamedTuple):
    """What a record is on the wire to InfluxDB."""

    lines: list[Line]
    bad: list[Bad]


class Translator:
    """Makes lines of records, each partition in the order of the log.

    Args:
        config: its names pass the bound on values of a tag, however many they are.

    Memory: the states of all targets, and the values of tags it has seen, of which there is a bound.
    """

    def __init__(self, config: Config) -> None:
        expected = {
            "target": [target.id for target in config.target],
            "provider": [target.provider for target in config.target],
            "model": [target.model for target in config.target],
            "region": [target.region for target in config.target if target.region],
            "service": list(config.services),
        }
        self._guard = CardinalityGuard(expected)
        self._encoders = {measurement.name: Encoder(measurement) for measurement in MEASUREMENTS}
        self._scores = ScorePoints()
        self._points: dict[Topic, Callable[[bytes], list[Point]]] = {
            METRICS: lambda value: window_points(WindowRecord.decode(value)),
            SCORES: lambda value: self._scores.of(decode_snapshot(value)),
            INSIGHTS: lambda value: insight_points(decode_insight(value)),
            VITALS: lambda value: worker_points(decode_vitals(value)),
        }

    def record(self, topic: Topic, place: str, value: bytes | None) -> Translated:
        """Lines of the record at this place, `topic/partition/offset`."""
        found = Translated([], [])
        if value is None:
            return found
        if topic in self._points:
            try:
                self._add(self._points[topic](value), value, found)
            except DecodeError as error:
                found.bad.append(Bad(str(error), value))
        elif topic == CONTROL or any(sign in value for sign in SIGNS):
            self._events(place, value, found)
        return found

    def _events(self, place: str, value: bytes, found: Translated) -> None:
        """What is wrong with events is the pipeline's to say, not ours."""
        for number, event in enumerate(decode_events(value)[0]):
            self._add(event_points(event, f"{place}/{number}"), value, found)

    def _add(self, points: list[Point], value: bytes, found: Translated) -> None:
        for point in points:
            try:
                found.lines.append(self.line(point))
            except BadPoint as error:
                found.bad.append(Bad(str(error), value))

    def line(self, point: Point) -> Line:
        """A point on the wire. Raises BadPoint."""
        return self._encoders[point.measurement.name].line(self._guard.guarded(point))
