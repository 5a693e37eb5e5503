"""`routecast top` on a screen: a thin application around boards.

It takes frames from a source, draws a board at most four times a second where something new came and once a second otherwise, and says
operators' words after a question.
"""

from __future__ import annotations

from contextlib import aclosing, suppress
from typing import ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerCancelled, WorkerFailed

from routecast.dashboards.terminal import keys, text
from routecast.dashboards.terminal.board import Board, TargetPage
from routecast.dashboards.terminal.journal import Journal
from routecast.dashboards.terminal.picture import Picture
from routecast.dashboards.terminal.player import Player
from routecast.dashboards.terminal.screens import HelpScreen, PageScreen, QuestionScreen
from routecast.dashboards.terminal.sentence import takes
from routecast.dashboards.terminal.source import Source
from routecast.dashboards.terminal.table import TargetTable
from routecast.dashboards.terminal.words import line_of, percent
from routecast.models.details import WindowName
from routecast.models.errors import RoutecastError
from routecast.models.events import Control

WINDOWS: Final[tuple[WindowName, ...]] = ("10s", "1m", "5m", "1h")
THEMES: Final = ("ansi-dark", "textual-dark", "textual-light")
_SOON_S, _IDLE_S = 0.25, 1.0
_EVENTS, _MORE_EVENTS = 5, 14


class Top(App[None]):
    """The terminal view.

    Args:
        source: where records come from.
        who: says operators' words, as `user@host`.
    """

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = keys.bindings()
    CSS = """
    Static { height: auto; width: 1fr; }
    #title, #totals { height: 1; }
    #sentence { max-height: 4; margin-bottom: 1; }
    #events { border-top: solid $foreground 40%; height: 6; }
    #events.more { height: 15; }
    #filter { height: 1; border: none; padding: 0; display: none; background: $background; }
    #filter.asked { display: block; }
    .footer { height: 1; dock: bottom; text-style: reverse; }
    """

    def __init__(self, source: Source, who: str) -> None:
        super().__init__()
        self._source, self._who = source, who
        self.journal = Journal(source.config)
        self._picture = Picture(self.journal, source.config, source.name)
        self._player = source if isinstance(source, Player) else None
        self._trouble, self._fresh, self._frozen, self._drawn_s = "connecting …", False, False, 0.0
        self._window: WindowName = "1m"
        self._reading: Worker[None] | None = None
        self.board: Board | None = None
        """What is shown."""
        self.theme = THEMES[0]

    def compose(self) -> ComposeResult:
        """Three lines, the table, the events, the keys."""
        yield Static(id="title")
        yield Static(id="totals")
        yield Static(id="sentence")
        yield TargetTable()
        yield Input(id="filter", placeholder="words, state:open, service:chat …; Enter keeps it, Esc shows all")
        yield Static(id="events")
        yield Static(keys.footer(), classes="footer", markup=False)

    def on_mount(self) -> None:
        """Begin to read and to draw."""
        self.query_one(TargetTable).focus()
        self._reading = self.run_worker(self._follow())
        self.set_interval(_SOON_S, self._draw_soon)
        self.draw()

    async def on_unmount(self) -> None:
        """Let go of what the source holds before the loop ends: connections take a moment to be taken down."""
        if self._reading is not None:
            if not self._reading.is_cancelled:
                self._reading.cancel()
            with suppress(WorkerCancelled, WorkerFailed):
                await self._reading.wait()

    async def _follow(self) -> None:
        async with aclosing(self._source.frames()) as frames:
            async for frame in frames:
                if frame.fresh:
                    self.journal = Journal(self._source.config)
                    self._picture = Picture(self.journal, self._source.config, self._source.name)
                for topic, record in frame.records:
                    self.journal.take(topic, record)
                self._trouble, self._fresh = frame.trouble, True

    def _draw_soon(self) -> None:
        self._drawn_s += _SOON_S
        if not self._frozen and (self._fresh or self._drawn_s >= _IDLE_S):
            self.draw()

    def draw(self) -> None:
        """Show what is known now."""
        self._fresh, self._drawn_s = False, 0.0
        board = self.board = self._picture.board(self._source.now_ms(), window=self._window, trouble=self._trouble)
        main = self.screen_stack[0]
        more = self._player.position if self._player else "paused" if self._frozen else ""
        main.query_one("#title", Static).update(text.title(board, more))
        main.query_one("#totals", Static).update(text.totals(board))
        main.query_one("#sentence", Static).update(text.sentence(board))
        main.query_one(TargetTable).show(board)
        events = main.query_one("#events", Static)
        shown = board.happenings[-(_MORE_EVENTS if events.has_class("more") else _EVENTS) :]
        told = [text.line(happening, board.at_ms) for happening in reversed(shown)] or [Text("nothing has happened yet", "dim")]
        events.update(Text("\n", no_wrap=True, overflow="ellipsis").join(told))
        if isinstance(self.screen, PageScreen):
            self.screen.update()

    def page(self, target: str) -> TargetPage | None:
        """Everything about a target."""
        return self._picture.page(target, self._source.now_ms(), window=self._window)

    @property
    def _table(self) -> TargetTable:
        return self.screen_stack[0].query_one(TargetTable)

    def on_target_table_chosen(self, chosen: TargetTable.Chosen) -> None:
        """Show its page."""
        self.push_screen(PageScreen(chosen.target, self.page))

    def action_help(self) -> None:
        """Keys and symbols."""
        self.push_screen(HelpScreen())

    def action_window(self) -> None:
        """Figures of another window."""
        self._window = WINDOWS[(WINDOWS.index(self._window) + 1) % len(WINDOWS)]
        self.draw()

    def action_events(self) -> None:
        """More events, or fewer."""
        self.query_one("#events").toggle_class("more")
        self.draw()

    def action_theme(self) -> None:
        """Other colours."""
        self.theme = THEMES[(THEMES.index(self.theme) + 1) % len(THEMES)]

    def action_pause(self) -> None:
        """Stand still: a film stops, live figures are read on but not shown."""
        if self._player is not None:
            self._player.pause()
        else:
            self._frozen = not self._frozen
        self.draw()

    def action_step(self) -> None:
        """One frame."""
        if self._player is not None:
            self._player.step()

    def action_faster(self, by: int) -> None:
        """Play at another speed."""
        if self._player is not None:
            self._player.faster(by)
            self.draw()

    def action_seek(self, by_s: int) -> None:
        """Play from elsewhere."""
        if self._player is not None:
            self._player.seek(by_s * 1000.0)

    def action_filter(self) -> None:
        """Ask what to show."""
        asked = self.query_one("#filter", Input)
        asked.add_class("asked")
        asked.focus()

    def on_input_changed(self, changed: Input.Changed) -> None:
        """The table follows while it is typed."""
        self._table.filter(changed.value)

    def on_input_submitted(self) -> None:
        """The filter stays."""
        self._table.focus()

    def key_escape(self) -> None:
        """Show all again."""
        asked = self.query_one("#filter", Input)
        asked.value = ""
        asked.remove_class("asked")
        self._table.focus()

    def action_drain(self) -> None:
        """Ask, then take the target out of service."""
        self._ask("drain")

    def action_resume(self) -> None:
        """Ask, then put it back."""
        self._ask("resume")

    def _ask(self, action: str) -> None:
        target = self.screen.target if isinstance(self.screen, PageScreen) else self._table.target
        board = self.board
        if target is None or board is None or isinstance(self.screen, QuestionScreen):
            return

        def answered(yes: bool | None) -> None:  # noqa: FBT001 - the screen's callback
            if yes:
                self.run_worker(self._tell(action, target))

        self.push_screen(QuestionScreen(_question(board, action, target, self._who)), answered)

    async def _tell(self, action: str, target: str) -> None:
        """Say it, and what became of it."""
        word = Control(at_ms=round(self._source.now_ms()), emitter=self._who[:256], target=target, action="drain" if action == "drain" else "resume")
        try:
            self.notify(await self._source.say(word), markup=False, timeout=8)
        except RoutecastError as error:
            self.notify(str(error), severity="error", markup=False, timeout=15)


def _question(board: Board, action: str, target: str, who: str) -> list[str]:
    row = next((row for row in board.targets if row.id == target), None)
    if action == "resume":
        return [f"Put {line_of(target)} back into service, as {line_of(who)}?"]
    asked = [f"Take {line_of(target)} out of service, as {line_of(who)}?"]
    if row is None:
        return asked
    left = [other for other in board.targets if other.service == row.service and other.id != target and takes(other) > 0]
    asked.append(f"It takes {percent(takes(row))} of {line_of(row.service)}; what is under way ends in its own time.")
    if left:
        most = max(left, key=takes)
        asked.append(f"{len(left)} other target{'s' if len(left) > 1 else ''} take over, most of it {line_of(most.id)} ({percent(takes(most))} now).")
    else:
        asked.append("NOTHING ELSE takes requests of this service now.")
    return asked
