"""Lines that are stored together, and how far the log is stored with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiokafka import TopicPartition

from routecast.dashboards.influx.line_protocol import Line
from routecast.dashboards.influx.writer import MOST_BYTES, MOST_LINES

LINGER_S: Final = 1.0
"""Longest time that a line waits for others."""


class Batch:
    """Grows until it is due. Seconds are those of a monotonic clock; the wait begins with the first record."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.dead: list[tuple[str, bytes]] = []
        """Of what cannot be stored, its place with the reason, and the record."""
        self.next: dict[TopicPartition, int] = {}
        """Where to go on in each partition once this is stored."""
        self._size = 0
        self._began_s: float | None = None

    @property
    def full(self) -> bool:
        """Whether it takes nothing more."""
        return len(self.lines) >= MOST_LINES or self._size >= MOST_BYTES

    def due(self, now_s: float) -> bool:
        """Whether it is to be stored now."""
        return self.full or (self._began_s is not None and now_s >= self._began_s + LINGER_S)

    def add(self, lines: Sequence[Line], now_s: float) -> None:
        """More lines."""
        self.lines += lines
        self._size += sum(len(line.text) + 1 for line in lines)
        self._began_s = now_s if self._began_s is None else self._began_s

    def reach(self, place: TopicPartition, offset: int, now_s: float) -> None:
        """The record at this offset is in it."""
        self.next[place] = offset + 1
        self._began_s = now_s if self._began_s is None else self._began_s
