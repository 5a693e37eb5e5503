"""Targets of a partition in chunks, as rows hold them: what is known, the last offset applied, whether it must be written."""

from __future__ import annotations

from routecast.analytics.pane import Pane
from routecast.models.rows import TargetTotals


class PaneChunk:
    """One pane of a chunk: a row."""

    __slots__ = ("dirty", "fence", "targets")

    def __init__(self, fence: int = -1) -> None:
        self.fence = fence
        self.targets: dict[str, Pane] = {}
        self.dirty = True


class Chunk:
    """Totals of up to 256 targets, a row, and the panes of the same targets."""

    __slots__ = ("dirty", "fence", "number", "panes", "targets")

    def __init__(self, number: int, fence: int = -1) -> None:
        self.number = number
        self.fence = fence
        self.panes: dict[int, PaneChunk] = {}
        """By the start of the pane, epoch ms."""
        self.targets: dict[str, TargetTotals] = {}
        self.dirty = True
