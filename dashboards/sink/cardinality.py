"""A bound on how many values a tag may have: every value is a series that the server keeps in memory for years."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from routecast.dashboards.influx.line_protocol import Point
from routecast.dashboards.influx.schema import OTHER

MOST_VALUES: Final = 200
"""Of each tag of each measurement, beside the expected ones."""
_REMEMBERED: Final = 10_000
"""Combinations that need no second look."""

_log = logging.getLogger(__name__)


class CardinalityGuard:
    """Lets the first 200 values of a tag through and calls all later ones `_other`, with one warning a tag.

    Args:
        expected: by tag, values that are always let through: what the configuration names is bounded already.

    Points of different values that are called `_other` at the same time overwrite each other: their figures are those of one of them.
    Memory: the values it has let through.
    """

    def __init__(self, expected: Mapping[str, Iterable[str]] | None = None) -> None:
        self._expected = {tag: frozenset(values) for tag, values in (expected or {}).items()}
        self._seen: dict[tuple[str, str], set[str]] = {}
        self._warned: set[tuple[str, str]] = set()
        self._passed: dict[str, set[tuple[str, ...]]] = {}

    def guarded(self, point: Point) -> Point:
        """The point as it may be stored."""
        passed = self._passed.setdefault(point.measurement.name, set())
        if point.tags in passed:
            return point
        tags = tuple(self._value(point.measurement.name, name, value) for name, value in zip(point.measurement.tag_names, point.tags, strict=True))
        if tags != point.tags:
            return point._replace(tags=tags)
        if len(passed) < _REMEMBERED:
            passed.add(tags)
        return point

    def _value(self, measurement: str, tag: str, value: str) -> str:
        if value in self._expected.get(tag, ()):
            return value
        seen = self._seen.setdefault((measurement, tag), set())
        if value in seen or len(seen) < MOST_VALUES:
            seen.add(value)
            return value
        if (measurement, tag) not in self._warned:
            self._warned.add((measurement, tag))
            _log.warning("tag %r of %r has more than %d values: further ones, such as %r, are stored as %r", tag, measurement, MOST_VALUES, value[:80], OTHER)
        return OTHER
