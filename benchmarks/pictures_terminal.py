"""The pictures of the terminal view: the demonstration at its outage, drawn by the application itself; `make pictures` draws them again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from routecast.dashboards.terminal.app import Top
from routecast.dashboards.terminal.player import Film
from routecast.dashboards.terminal.source import Frame, Heard
from routecast.demo.film import demo_film
from routecast.models.events import Control

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
_OUTAGE_S = 130.0
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_LEFT_OUT = re.compile(r"@font-face\s*{[^}]*}|<clipPath.*?</clipPath>| clip-path=\"[^\"]*\"|<!--.*?-->", re.DOTALL)
_WINDOW, _BRIGHT_WINDOW = "#292929", "#d8d8d8"
"""The frame around the screen, which has one colour whatever the theme."""


class Still:
    """A film up to one moment, as a source that stands still there."""

    def __init__(self, film: Film, second: float) -> None:
        self.name, self.config = film.name, film.config
        self._records, self._at_ms, frames = list[Heard](), film.first_ms, film.open()
        for frame in frames:
            if frame.at_ms > film.first_ms + second * 1000.0:
                break
            self._at_ms = frame.at_ms
            self._records += frame.records
        frames.close()

    def now_ms(self) -> float:
        """That moment."""
        return self._at_ms

    async def frames(self) -> AsyncGenerator[Frame]:
        """All at once."""
        yield Frame(self._at_ms, self._records)
        await asyncio.Event().wait()

    async def say(self, word: Control) -> str:
        """Nobody asks."""
        raise NotImplementedError(word)


async def _screen(source: Still, theme: str, size: tuple[int, int], keys: tuple[str, ...]) -> str:
    app = Top(source, "ada@ops")
    async with app.run_test(size=size) as pilot:
        app.theme = theme
        while app.board is None or not app.board.targets:
            await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        app.draw()
        await pilot.pause()
        return app.export_screenshot(title="routecast top")


def _drawn(label: str, dark: str, bright: str) -> str:
    """One picture for both: the colours of each text and area, by what the reader prefers."""
    dark, bright = (re.sub(r"terminal-\d+", "terminal", _LEFT_OUT.sub("", text)) for text in (dark, bright))
    if _COLOUR.sub("", dark) != _COLOUR.sub("", bright):
        raise ValueError("the themes differ in more than colours")
    pairs = [(b if b != _WINDOW else _BRIGHT_WINDOW, d) for b, d in zip(_COLOUR.findall(bright), _COLOUR.findall(dark), strict=True)]
    names = {pair: f"--c{number}" for number, pair in enumerate(dict.fromkeys(pairs))}
    following = iter(pairs)
    text = _COLOUR.sub(lambda _: f"var({names[next(following)]})", dark)
    rules = [";".join(f"{name}:{pair[side]}" for pair, name in names.items()) for side in (0, 1)]
    style = f"<style>:root{{{rules[0]}}}@media (prefers-color-scheme: dark){{:root{{{rules[1]}}}}}</style>"
    head, rest = re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', text, count=1).split(">", 1)
    return "\n".join(line.rstrip() for line in f"{head}>{style}{rest}".splitlines() if line.strip()) + "\n"


def _picture(label: str, size: tuple[int, int], *keys: str) -> str:
    source = Still(demo_film(), _OUTAGE_S)
    dark, bright = (asyncio.run(_screen(source, theme, size, keys)) for theme in ("textual-dark", "textual-light"))
    return _drawn(label, dark, bright)


PICTURES: dict[str, Callable[[], str]] = {
    "top": lambda: _picture("The table of targets during an outage: who is open, since when, and who has taken over its share", (110, 28)),
    "top-target": lambda: _picture("The page of a target that is open: state, why it gets nothing, what is said of it, its windows", (110, 40), "enter"),
}


def main() -> None:
    """Draw all of them anew."""
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw())


if __name__ == "__main__":
    main()
