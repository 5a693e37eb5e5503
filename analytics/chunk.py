"""Targets of a partition in chunks, as rows hold them: what is known, the last offset applied, whether it must be written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from routecast.analytics.pane import Pane
from routecast.analytics.tally import settle
from routecast.models.rows import CHUNK_TARGETS, PaneRow, TargetPane, TargetTotals, TotalsRow


class PaneChunk:
    """One pane of a chunk: a row."""

    __slots__ = ("_resting", "dirty", "fence", "targets")

    def __init__(self, fence: int = -1) -> None:
        self.fence = fence
        self.targets: dict[str, Pane | TargetPane] = {}
        """A target that rests is its row: an eighth of the objects, for ten minutes."""
        self.dirty, self._resting = True, False

    def open(self, target: str) -> Pane:
        """The pane of a target, to be changed."""
        known = self.targets.get(target)
        if isinstance(known, Pane):
            return known
        self._resting = False
        self.targets[target] = pane = Pane(target) if known is None else Pane.restored(known)
        return pane

    def rest(self) -> None:
        """Keep the rows alone, where all of them are written."""
        if not self.dirty and not self._resting:
            self._resting = True
            self.targets = {target: row_of(pane) for target, pane in self.targets.items()}

    def settle(self) -> None:
        """Add up the durations that wait."""
        settle(tally for pane in self.targets.values() if isinstance(pane, Pane) for tally in pane.tallies)


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

    def restore_totals(self, row: TotalsRow) -> None:
        """Begin with the totals of a row."""
        self.fence, self.dirty = row.fence, False
        self.targets = {totals.target: replace(totals, regions=[replace(tally) for tally in totals.regions]) for totals in row.targets}

    def restore_pane(self, row: PaneRow) -> None:
        """Begin with this pane as its row tells it."""
        pane_chunk = self.panes[row.pane_ms] = PaneChunk(row.fence)
        pane_chunk.targets = {target.target: target for target in row.targets}
        pane_chunk.dirty = False

    @property
    def has_room(self) -> bool:
        """Whether another target fits in."""
        return len(self.targets) < CHUNK_TARGETS

    def add(self, target: str) -> None:
        """Take a target of which nothing is known."""
        self.targets[target] = TargetTotals(target)
        self.dirty = True

    def open_pane(self, target: str, pane_ms: int, offset: int) -> Pane | None:
        """The pane of a target, to be changed by this offset; None where its row already holds that."""
        pane_chunk = self.panes.get(pane_ms)
        if pane_chunk is None:
            pane_chunk = self.panes[pane_ms] = PaneChunk()
        if offset <= pane_chunk.fence:
            return None
        pane_chunk.dirty = True
        return pane_chunk.open(target)

    def open_totals(self, target: str, offset: int) -> TargetTotals | None:
        """The totals of a target, to be changed by this offset; None where their row already holds that."""
        if offset <= self.fence:
            return None
        self.dirty = True
        return self.targets[target]

    def let_go(self, pane_ms: int, offset: int) -> None:
        """Forget an expired pane; what is still open in it is lost, unless the totals already hold this offset."""
        pane_chunk = self.panes.pop(pane_ms)
        if offset <= self.fence:
            return
        for target, pane in pane_chunk.targets.items():
            lost = row_of(pane).open
            if lost:
                self.targets[target].lost += lost
                self.dirty = True

    def rest(self, before_ms: int) -> None:
        """Keep the rows alone of panes that start before this: little is still to come for them."""
        for pane_ms, pane_chunk in self.panes.items():
            if pane_ms < before_ms:
                pane_chunk.rest()

    def settle(self) -> None:
        """Add up the durations that wait."""
        for pane_chunk in self.panes.values():
            if pane_chunk.dirty:
                pane_chunk.settle()

    def pane_row(self, partition: int, pane_ms: int, offset: int) -> PaneRow:
        """A pane to be written, up to this offset."""
        pane_chunk = self.panes[pane_ms]
        pane_chunk.fence, pane_chunk.dirty = max(pane_chunk.fence, offset), False
        pane_chunk.settle()
        return PaneRow(partition, pane_ms, self.number, pane_chunk.fence, [row_of(pane) for pane in pane_chunk.targets.values()])

    def totals_row(self, partition: int, offset: int, watermark_ms: float) -> TotalsRow:
        """The totals to be written, up to this offset."""
        self.fence, self.dirty = max(self.fence, offset), False
        return TotalsRow(partition, self.number, self.fence, watermark_ms, list(self.targets.values()))


def row_of(pane: Pane | TargetPane) -> TargetPane:
    """A target of a pane as it is written."""
    return pane.row() if isinstance(pane, Pane) else pane


def chunk_of(chunks: list[Chunk], number: int) -> Chunk:
    """The chunk of this number, made where it is not there yet, with those before it."""
    while len(chunks) <= number:
        chunks.append(Chunk(len(chunks)))
    return chunks[number]


def newest(rows: Iterable[PaneRow | TotalsRow]) -> Sequence[PaneRow | TotalsRow]:
    """Of each row the one with the highest fence."""
    best: dict[tuple[int, int], PaneRow | TotalsRow] = {}
    for row in rows:
        key = (row.pane_ms if isinstance(row, PaneRow) else -1, row.chunk)
        if key not in best or row.fence >= best[key].fence:
            best[key] = row
    return list(best.values())
