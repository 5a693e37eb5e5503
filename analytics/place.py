"""Where the events of one target count at the moment, found once and not for every event."""

from __future__ import annotations

from routecast.analytics.chunk import Chunk
from routecast.analytics.pane import Pane
from routecast.models.rows import SLOTS, TargetTotals

_NEVER = -SLOTS
"""No event falls into the pane that begins here."""


class Place:
    """The pane of the watermark and the totals of a target, both marked as changed and behind no fence: what is known to be open needs no second look.

    Whoever writes rows closes it, and so does whoever lets go of panes.
    """

    __slots__ = ("begin", "chunk", "pane", "target", "totals")

    def __init__(self, target: str, chunk: Chunk) -> None:
        self.target = target
        self.chunk = chunk
        self.begin = _NEVER
        """Number of the first half-second of the pane, counted from the epoch."""
        self.pane: Pane | None = None
        self.totals: TargetTotals | None = None

    def close(self) -> None:
        """Forget both."""
        self.begin, self.pane, self.totals = _NEVER, None, None

    def open_totals(self, offset: int) -> TargetTotals | None:
        """The totals, to be changed by this offset; None where their row already holds that."""
        self.totals = self.chunk.open_totals(self.target, offset)
        return self.totals
