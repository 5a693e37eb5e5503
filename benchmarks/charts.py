"""Charts as SVG: panels with axes, lines, dots, bands, spans and words, readable on light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final

WIDTH: Final = 760
_LEFT, _RIGHT, _TOP, _GAP = 64, 30, 30, 46
_STYLE: Final = """
<style>
 svg { --ink: #24292f; --dim: #6e7781; --grid: #d8dee4; --paper: #ffffff; --a: #0969da; --b: #cf222e; --c: #1a7f37; --d: #9a6700; }
 @media (prefers-color-scheme: dark) {
  svg { --ink: #e6edf3; --dim: #8b949e; --grid: #30363d; --paper: #0d1117; --a: #58a6ff; --b: #ff7b72; --c: #56d364; --d: #e3b341; }
 }
 text { font: 12px system-ui, sans-serif; fill: var(--ink); } .dim { fill: var(--dim); } .end { text-anchor: end; } .mid { text-anchor: middle; }
</style>"""

Range = tuple[float, float]
Points = Sequence[tuple[float, float]]


class Panel:
    """One pair of axes.

    Args:
        title: what is to be seen.
        x: range of the horizontal axis.
        y: range of the vertical one.
        height: pixels of the plot.
        ticks: of both axes, value and words.
        log: whether the vertical axis is logarithmic.
    """

    def __init__(
        self, title: str, x: Range, y: Range, *, height: int = 150, x_ticks: Sequence[tuple[float, str]] = (), y_ticks: Sequence[tuple[float, str]] = (),
        log: bool = False,
    ) -> None:  # fmt: skip
        self.height = height
        self._title, self._x, self._y = title, x, y
        self._x_ticks, self._y_ticks = x_ticks, y_ticks
        self._scale: Callable[[float], float] = math.log if log else float
        self._shapes: list[Callable[[int], str]] = []

    def line(self, points: Points, colour: str = "a", *, width: float = 1.6, dashed: bool = False) -> None:
        """A line through points."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._shapes.append(lambda top: f'<polyline fill="none" stroke="var(--{colour})" stroke-width="{width}"{dash} points="{self._path(points, top)}"/>')

    def dots(self, points: Points, colour: str = "a", *, radius: float = 1.4, opacity: float = 0.55) -> None:
        """A dot at each point."""

        def shape(top: int) -> str:
            found = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>' for x, y in self._places(points, top))
            return f'<g fill="var(--{colour})" fill-opacity="{opacity}">{found}</g>'

        self._shapes.append(shape)

    def span(self, start: float, end: float, colour: str = "b", *, low: float | None = None, high: float | None = None, opacity: float = 0.16) -> None:
        """A box from `start` to `end`, over the whole height where nothing else is said."""

        def shape(top: int) -> str:
            (x0, y0), (x1, y1) = self._places([(start, self._y[1] if high is None else high), (end, self._y[0] if low is None else low)], top)
            return f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{max(1.5, x1 - x0):.1f}" height="{y1 - y0:.1f}" fill="var(--{colour})" fill-opacity="{opacity}"/>'

        self._shapes.append(shape)

    def mark(self, x: float, colour: str = "b") -> None:
        """A vertical line."""
        self.line([(x, self._y[0]), (x, self._y[1])], colour, width=1.2, dashed=True)

    def words(self, x: float, y: float, text: str, *, kind: str = "", colour: str = "ink") -> None:
        """Text that begins there, or ends (`end`), or has its middle there (`mid`)."""

        def shape(top: int) -> str:
            ((px, py),) = self._places([(x, y)], top)
            return f'<text x="{px:.1f}" y="{py:.1f}" class="{kind}" style="fill: var(--{colour})">{escape(text)}</text>'

        self._shapes.append(shape)

    def draw(self, top: int) -> str:
        """The panel with its plot beginning at this height."""
        bottom = top + self.height
        parts = [f'<text x="{_LEFT}" y="{top - 10}" style="font-weight: 600">{escape(self._title)}</text>']
        for value, words in self._y_ticks:
            ((_, y),) = self._places([(self._x[0], value)], top)
            parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--grid)"/>')
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="dim end">{escape(words)}</text>')
        for value, words in self._x_ticks:
            ((x, _),) = self._places([(value, self._y[0])], top)
            parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" class="dim mid">{escape(words)}</text>')
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}" stroke="var(--dim)"/>')
        return "\n".join([*parts, *(shape(top) for shape in self._shapes)])

    def _places(self, points: Points, top: int) -> list[tuple[float, float]]:
        (x0, x1), (y0, y1) = self._x, (self._scale(self._y[0]), self._scale(self._y[1]))
        wide = WIDTH - _LEFT - _RIGHT
        return [(_LEFT + (x - x0) / (x1 - x0) * wide, top + self.height * (1.0 - (self._scale(y) - y0) / (y1 - y0))) for x, y in points]

    def _path(self, points: Points, top: int) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self._places(points, top))


def drawn(name: str, panels: Sequence[Panel]) -> str:
    """The panels below each other; `name` is read aloud where the picture cannot be seen."""
    tops: list[int] = []
    top = _TOP
    for panel in panels:
        tops.append(top)
        top += panel.height + _GAP
    height = top - _GAP + 28
    body = "\n".join(panel.draw(place) for panel, place in zip(panels, tops, strict=True))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(name, quote=True)}">'
    return f'{head}{_STYLE}\n<rect width="100%" height="100%" rx="6" fill="var(--paper)"/>\n{body}\n</svg>\n'
