"""The table of targets: draws only the rows that are seen, so that a thousand cost no more than twenty."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from routecast.dashboards.terminal.board import Board, TargetRow
from routecast.dashboards.terminal.columns import BY_TROUBLE, COLUMNS, Fitted, cells, fit, matching, ordered
from routecast.dashboards.terminal.text import heads

_CURSOR = Style(reverse=True)


class TargetTable(ScrollView, can_focus=True):
    """Rows of a board, filtered and ordered; the cursor stays on its target while rows move."""

    DEFAULT_CSS = "TargetTable { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False), Binding("down,j", "move(1)", show=False), Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False), Binding("home,g", "move(-1000000)", show=False), Binding("end,G", "move(1000000)", show=False),
        Binding("left", "sort(-1)", show=False), Binding("right", "sort(1)", show=False), Binding("i", "invert", show=False),
        Binding("enter", "choose", show=False),
    ]  # fmt: skip

    class Chosen(Message):
        """Somebody wants to know all about a target."""

        def __init__(self, target: str) -> None:
            super().__init__()
            self.target = target

    def __init__(self) -> None:
        super().__init__()
        self._board: Board | None = None
        self._fitted: list[Fitted] = []
        self.rows: list[TargetRow] = []
        """Those that match the filter, in their order."""
        self.sort, self.reverse, self.wanted = BY_TROUBLE, False, ""
        self.target: str | None = None
        """Under the cursor; the first one until somebody moves it."""
        self._moved = False

    @property
    def cursor(self) -> int:
        """Number of the row under the cursor."""
        return next((i for i, row in enumerate(self.rows) if row.id == self.target), 0)

    @property
    def selected(self) -> TargetRow | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.rows else None

    def show(self, board: Board) -> None:
        """Show another board."""
        self._board = board
        self._arrange()

    def filter(self, wanted: str) -> None:
        """Show only what matches; see `columns.matching`."""
        self.wanted = wanted
        self._arrange()

    def _arrange(self) -> None:
        if self._board is None:
            return
        width = max(20, self.scrollable_content_region.width)
        self._fitted = fit(self._board, width)
        self.rows = ordered(matching(self._board.targets, self.wanted), self.sort, reverse=self.reverse)
        if self.rows and not (self._moved and any(row.id == self.target for row in self.rows)):
            self.target, self._moved = self.rows[0].id, False
        self.virtual_size = Size(width, len(self.rows) + 1)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The heads stay on top; below them the rows that have scrolled there."""
        return Strip(self._segments(y)).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def _segments(self, y: int) -> list[Segment]:
        if y == 0:
            return list(heads(self._fitted, self.sort, reverse=self.reverse).render(self.app.console))
        number = y - 1 + round(self.scroll_offset.y)
        if self._board is None or number >= len(self.rows):
            return [Segment("no target matches the filter; Esc shows all" if y == 1 and self.wanted and not self.rows else "")]
        row = self.rows[number]
        found = [(text, _CURSOR if row.id == self.target else Style.parse(style)) for text, style in cells(self._fitted, row, self._board.at_ms)]
        return [segment for text, style in found for segment in (Segment(text, style), Segment(" ", _CURSOR if style is _CURSOR else None))]

    def on_resize(self, event: Resize) -> None:
        """Other columns fit."""
        del event
        self._arrange()

    def on_click(self, event: Click) -> None:
        """A head sorts, a row is chosen."""
        if event.y == 0:
            self._sort_at(event.x)
            return
        number = event.y - 1 + round(self.scroll_offset.y)
        if number < len(self.rows):
            again = self.rows[number].id == self.target
            self._go(number)
            if again:
                self.action_choose()

    def _sort_at(self, x: int) -> None:
        left = 0
        for it in self._fitted:
            if left <= x <= left + it.width:
                self.reverse = it.column.head == self.sort and not self.reverse
                self.sort = it.column.head
            left += it.width + 1
        self._arrange()

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self._go(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move it by what is seen."""
        self._go(self.cursor + by * max(1, self.size.height - 2))

    def _go(self, number: int) -> None:
        if not self.rows:
            return
        number = min(max(0, number), len(self.rows) - 1)
        self.target, self._moved = self.rows[number].id, True
        self.scroll_to_region(Region(0, number, 1, 2), animate=False, force=True)
        self.refresh()

    def action_sort(self, by: int) -> None:
        """By the next column that is shown, or the one before."""
        shown = [it.column.head for it in self._fitted] or [column.head for column in COLUMNS]
        self.sort = shown[(shown.index(self.sort) + by) % len(shown)] if self.sort in shown else BY_TROUBLE
        self._arrange()

    def action_invert(self) -> None:
        """The other way round."""
        self.reverse = not self.reverse
        self._arrange()

    def action_choose(self) -> None:
        """All about the target under the cursor."""
        if self.target is not None and self.rows:
            self._moved = True
            self.post_message(self.Chosen(self.target))
