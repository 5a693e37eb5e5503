"""What comes before the table: the page of a target, a question, the help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from routecast.dashboards.terminal.board import TargetPage
from routecast.dashboards.terminal.columns import STYLES, SYMBOLS
from routecast.dashboards.terminal.keys import KEYS
from routecast.dashboards.terminal.page_text import page_lines

_BACK: list[BindingType] = [Binding("escape,q,backspace", "app.pop_screen", show=False)]
_MEANINGS = {
    "ok": "in use", "degraded": "in use, below its objective", "open": "closed off by a breaker, probed", "recovering": "tried again, step by step",
    "rate_limited": "refuses by rate limit (429)", "drained": "taken out by an operator", "unknown": "too little is known yet",
}  # fmt: skip


class PageScreen(Screen[None]):
    """Everything about one target, kept up to date."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *_BACK, Binding("d", "app.drain", show=False), Binding("r", "app.resume", show=False), Binding("space", "app.pause", show=False),
    ]  # fmt: skip

    def __init__(self, target: str, page: Callable[[str], TargetPage | None]) -> None:
        super().__init__()
        self.target, self._page = target, page

    def compose(self) -> ComposeResult:
        """A text that scrolls, and the keys."""
        with VerticalScroll():
            yield Static(id="page")
        yield Static("Esc back  ↑↓ scroll  d drain  r resume  ␣ pause", classes="footer")

    def on_mount(self) -> None:
        """Show it at once."""
        self.query_one(VerticalScroll).focus()
        self.update()

    def update(self) -> None:
        """Show what is known now."""
        page = self._page(self.target)
        gone = [Text(f"no snapshot holds {self.target} any more; Esc goes back")]
        self.query_one("#page", Static).update(Text("\n").join(page_lines(page) if page is not None else gone))


class QuestionScreen(ModalScreen[bool]):
    """A question that is answered with y or n."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y,enter", "answer(True)", show=False), Binding("n,escape,q", "answer(False)", show=False)]
    DEFAULT_CSS = """
    QuestionScreen { align: center middle; }
    QuestionScreen > Static { width: 70%; max-width: 76; height: auto; padding: 1 2; border: round $foreground; background: $background; }
    """

    def __init__(self, question: Sequence[str]) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question in a box."""
        yield Static(Text("\n").join([Text(part) for part in self._question] + [Text("\ny  yes     n  no", "bold")]))

    def action_answer(self, answer: bool) -> None:  # noqa: FBT001 - of a key
        """Go back with the answer."""
        self.dismiss(answer)


class HelpScreen(Screen[None]):
    """Keys and symbols."""

    BINDINGS: ClassVar[list[BindingType]] = [*_BACK, Binding("question_mark,f1,h", "app.pop_screen", show=False)]

    def compose(self) -> ComposeResult:
        """One text that scrolls."""
        with VerticalScroll():
            yield Static(Text("\n").join(_help()))
        yield Static("Esc back  ↑↓ scroll", classes="footer")

    def on_mount(self) -> None:
        """The arrow keys scroll."""
        self.query_one(VerticalScroll).focus()


def _help() -> list[Text]:
    lines = [Text("Keys", "bold underline")]
    lines += [Text.assemble((f"{key.shown:22}", "bold"), key.does) for key in KEYS]
    lines += [Text(), Text("States", "bold underline")]
    lines += [Text.assemble((f"{SYMBOLS[state]} {state:20}", STYLES[state]), _MEANINGS[state]) for state in SYMBOLS]
    lines += [Text(), Text("Marks", "bold underline")]
    lines.append(Text.assemble(("‼ ! i", "bold"), "  an alert goes on: critical, high or medium, low;  ", ("~", "bold"), "  something is not as usual"))
    lines.append(Text.assemble(("↗ → ↘", "bold"), "  the trend of the last hour: better, stable, worse"))
    lines += [Text(), Text("err: errors and timeouts; fly: requests in flight; cost s: expected time to a success; sparkline: p95 of ten seconds each.")]
    return lines
