"""Columns of the table `events`: arrays, a batch of events at a time. Columns, types and units: `routecast.models.tables`."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

import numpy as np

from routecast.analytics.tables.columns import Cells, Codes, numbers, times
from routecast.models.events import Event
from routecast.models.tables import EVENTS

_FIELDS: Final = {"happened_at": "at_ms", "network_s": "network_ms", "type": ""} | {
    f"{name}_s": f"{name}_ms" for name in ("deadline", "retry_after", "duration", "ttft")
}
"""The field behind a column, where it is called otherwise."""


class Place(NamedTuple):
    """Where a record of events stands on the log."""

    partition: int
    offset: int
    append_ms: float


class EventColumns:
    """Makes batches of columns. Memory: the names that occur."""

    def __init__(self) -> None:
        self.codes = {column.name: Codes() for column in EVENTS if column.kind == "category"}
        """The categories of each column, by name; what a batch holds are their numbers."""

    def batch(self, events: Sequence[Event], places: Sequence[Place]) -> dict[str, Cells]:
        """The columns of these events, each with the place of its record."""
        kinds: dict[type[Event], list[int]] = {}
        for position, event in enumerate(events):
            kinds.setdefault(type(event), []).append(position)
        partition, offset, append_ms = zip(*places, strict=True) if places else ((), (), ())
        cells: dict[str, Cells] = {
            "partition": np.array(partition, np.int64), "offset": np.array(offset, np.int64), "appended_at": times(append_ms),
            "happened_at": times(event.at_ms for event in events), "type": self.codes["type"].of([str(event.__struct_config__.tag) for event in events]),
        }  # fmt: skip
        for column in EVENTS:
            if column.name not in cells:
                cells[column.name] = self._gathered(column.name, column.kind, events, kinds)
        return {column.name: cells[column.name] for column in EVENTS}

    def _gathered(self, name: str, kind: str, events: Sequence[Event], kinds: dict[type[Event], list[int]]) -> Cells:
        """A column from whatever kinds of events have its field."""
        field = _FIELDS.get(name, name)
        texts: list[Any] = [None] * len(events)
        figures = np.full(len(events), np.nan)
        for struct, positions in kinds.items():
            if field not in struct.__struct_fields__:
                continue
            found = [events[position] for position in positions]
            if kind == "number":
                figures[positions] = numbers(found, field, 1e3 if field.endswith("_ms") else 1.0)
            else:
                for position, text in zip(positions, map(attrgetter(field), found), strict=True):
                    texts[position] = text
        return figures if kind == "number" else self.codes[name].of(texts) if kind == "category" else texts
