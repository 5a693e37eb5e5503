"""Charts as SVG, for reports without a plotting library: line, band, bars, heat map and timeline.

Every chart is one `<svg>` with a title that is read aloud where it cannot be seen. Colours follow the page's `color-scheme` by `light-dark()`, defined
once in `STYLE`. Long series are thinned to the least and the most of each pixel column, so that no spike is lost. No text becomes markup.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape as escaped
from typing import Final, NamedTuple

from routecast.dashboards.report.axis import Axis, Point, thinned

WIDTH: Final = 860
NARROW: Final = 560
"""Of bars, which a telephone shows whole."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 14, 34, 30
LEVELS: Final = 10
"""Shades of a heat map."""
COLOURS: Final = 8
"""Series that can be told apart; more begin anew."""
STYLE: Final = """
:root {
  --ink: light-dark(#1f2328, #e6edf3); --dim: light-dark(#59636e, #9198a1); --grid: light-dark(#d1d9e0, #30363d); --paper: light-dark(#ffffff, #0d1117);
  --c0: light-dark(#0969da, #58a6ff); --c1: light-dark(#bc4c00, #f0883e); --c2: light-dark(#1a7f37, #56d364); --c3: light-dark(#8250df, #bc8cff);
  --c4: light-dark(#cf222e, #ff7b72); --c5: light-dark(#0a7d8c, #39c5cf); --c6: light-dark(#9a6700, #e3b341); --c7: light-dark(#bf3989, #f778ba);
}
svg.chart { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg.chart text { fill: var(--ink); } svg.chart .dim { fill: var(--dim); } svg.chart .end { text-anchor: end; } svg.chart .mid { text-anchor: middle; }
svg.chart.narrow { max-width: 720px; } svg.chart .head { font-weight: 600; font-size: 13px; }
"""

Words = Callable[[float], str]


class Line(NamedTuple):
    """A series."""

    name: str
    points: Sequence[Point]
    band: Sequence[tuple[float, float, float]] = ()
    """(x, low, high)."""


class Bar(NamedTuple):
    """A bar with its interval."""

    name: str
    value: float
    low: float
    high: float


class Span(NamedTuple):
    """A stretch of a row of a timeline."""

    row: str
    begin: float
    end: float
    colour: int
    words: str


def escape(text: str) -> str:
    """Text that is no markup, in an element or an attribute, without characters that XML does not know."""
    return escaped("".join(c for c in text if c.isprintable() or c in "\n\t"), quote=True)


def chart(title: str, height: float, body: Iterable[str], says: str = "", *, width: int = WIDTH) -> str:
    """An SVG of this height with a title; `says` is read aloud in place of what is drawn."""
    label = escape(title)
    head = f'<text class="head" x="{_LEFT if width == WIDTH else 0}" y="16">{label}</text>'
    told = f"<title>{label}</title><desc>{escape(says)}</desc>"
    narrow = "" if width == WIDTH else " narrow"
    return f'<svg class="chart{narrow}" viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{label}">{told}{head}{"".join(body)}</svg>'


def standalone(drawn: str) -> str:
    """A chart as a picture of its own, such as the output of a notebook, on white whatever is around it."""
    style = f"<style>{STYLE.replace(':root {', 'svg.chart { color-scheme: light; background: var(--paper);')}</style><title>"
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace("<title>", style, 1)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def lines(
    title: str, series: Sequence[Line], *, x_words: Words, y_words: Words, log: bool = False, marks: Sequence[tuple[float, float, str]] = (), height: int = 230
) -> str:
    """Lines over a common axis, with their bands; `marks` are stretches (from, to, what) behind them."""
    known = [y for line in series for _, y in line.points if y is not None] + [y for line in series for _, low, high in line.band for y in (low, high)]
    xs = [x for line in series for x, _ in line.points]
    if not known or not xs:
        return nothing(title)
    low, high = (min(known), max(known)) if log else (min(0.0, *known), max(known))
    x = Axis(min(xs), max(xs), _LEFT, WIDTH - _RIGHT)
    y = Axis(max(low, high * 1e-4, 1e-12) if log else low, high * 1.05 or 1.0, height - _BOTTOM, _TOP + 18, log)
    body = [*_marks(marks, x, y), *_y_axis(y, y_words), *_x_axis(x, x_words, height - _BOTTOM)]
    for number, line in enumerate(series):
        body += _line(line, f"var(--c{number % COLOURS})", x, y)
    told = "; ".join(f"{line.name}: {_range([y for _, y in line.points if y is not None], y_words)}" for line in series)
    return chart(title, height, [*body, *_legend([(line.name, number) for number, line in enumerate(series)])], told)


def _range(values: Sequence[float], words: Words) -> str:
    return f"between {words(min(values))} and {words(max(values))}" if values else "unknown"


def _line(line: Line, colour: str, x: Axis, y: Axis) -> list[str]:
    shapes: list[str] = []
    if line.band:
        top = " ".join(f"{_number(x.place(at))},{_number(y.place(high))}" for at, _, high in line.band)
        bottom = " ".join(f"{_number(x.place(at))},{_number(y.place(low))}" for at, low, _ in reversed(line.band))
        shapes.append(f'<polygon points="{top} {bottom}" fill="{colour}" fill-opacity="0.15"/>')
    for part in _parts(thinned(line.points, WIDTH - _LEFT - _RIGHT)):
        points = " ".join(f"{_number(x.place(at))},{_number(y.place(value))}" for at, value in part)
        if len(part) == 1:
            at, value = part[0]
            shapes.append(f'<circle cx="{_number(x.place(at))}" cy="{_number(y.place(value))}" r="1.6" fill="{colour}"/>')
        else:
            shapes.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.7" stroke-linejoin="round"/>')
    return shapes


def _parts(points: Sequence[Point]) -> list[list[tuple[float, float]]]:
    """The stretches between gaps."""
    parts: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is not None:
            parts[-1].append((x, y))
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def bars(title: str, found: Sequence[Bar], *, words: Words, log: bool = False) -> str:
    """A bar for each name with its interval and its figure, the axis from 0, or logarithmic from below the least."""
    if not found:
        return nothing(title)
    row, top = 26, _TOP
    height = top + row * len(found) + 8
    low = min(min(bar.low, bar.value) for bar in found)
    high = max(max(bar.high, bar.value) for bar in found)
    named, figures = 150, 150
    x = Axis(max(low, high * 1e-4, 1e-12) * 0.7 if log else min(0.0, low), high or 1.0, named, NARROW - figures, log)
    told: list[str] = []
    body: list[str] = []
    for number, bar in enumerate(found):
        y, colour = top + number * row, f"var(--c{number % COLOURS})"
        zero, end = x.place(x.low if log else 0.0), x.place(bar.value)
        body.append(f'<text class="end" x="{named - 8}" y="{y + 16}">{escape(_short(bar.name, 22))}</text>')
        body.append(f'<rect x="{_number(min(zero, end))}" y="{y + 4}" width="{_number(max(1.0, abs(end - zero)))}" height="16" rx="2" fill="{colour}"/>')
        if bar.high > bar.low:
            left, right = x.place(bar.low), x.place(bar.high)
            whisker = f"M{_number(left)} {y + 12}H{_number(right)}M{_number(left)} {y + 8}v8M{_number(right)} {y + 8}v8"
            body.append(f'<path d="{whisker}" stroke="var(--ink)" stroke-width="1.4" fill="none"/>')
        between = f" ({words(bar.low)}–{words(bar.high)})" if bar.high > bar.low else ""
        told.append(f"{bar.name}: {words(bar.value)}{between}")
        body.append(f'<text x="{NARROW - figures + 12}" y="{y + 16}">{escape(words(bar.value) + between)}</text>')
    return chart(title, height, body, "; ".join(told), width=NARROW)


def heat(title: str, rows: Sequence[tuple[str, Sequence[float]]], *, step: float, x_words: Words, words: Words) -> str:
    """A row for each name, a cell for each step, from nothing to the most of all cells."""
    cells = max((len(values) for _, values in rows), default=0)
    if not cells:
        return nothing(title)
    row, top = 18, _TOP + 6
    bottom = top + row * len(rows)
    named = 150
    x, most = Axis(0.0, cells * step, named, WIDTH - _RIGHT), max((value for _, values in rows for value in values), default=0.0) or 1.0
    body = [f'<text class="end" x="{named - 8}" y="{top + i * row + 13}">{escape(_short(name, 22))}</text>' for i, (name, _) in enumerate(rows)]
    shades = [[min(LEVELS, math.ceil(value / most * LEVELS)) for value in values] for _, values in rows]
    for level in range(1, LEVELS + 1):
        paths = "".join(_cells([shade == level for shade in row_shades], x, step, top + i * row) for i, row_shades in enumerate(shades))
        if paths:
            body.append(f'<path d="{paths}" fill="var(--c0)" fill-opacity="{level / LEVELS:.2f}"/>')
    note = f'<text class="dim end" x="{WIDTH - _RIGHT}" y="16">most: {escape(words(most))}</text>'
    told = "; ".join(f"{name}: {_range(values, words)}" for name, values in rows)
    return chart(title, bottom + _BOTTOM, [note, *body, *_x_axis(x, x_words, bottom)], told)


def _cells(inside: Sequence[bool], x: Axis, step: float, y: float) -> str:
    """The cells of a row that have a shade, neighbours together."""
    found: list[str] = []
    begun = None
    for i, here in enumerate([*inside, False]):
        if here and begun is None:
            begun = i
        elif not here and begun is not None:
            left, right = x.place(begun * step), x.place(i * step)
            found.append(f"M{_number(left)} {y:.0f}h{_number(right - left)}v16h-{_number(right - left)}z")
            begun = None
    return "".join(found)


def timeline(title: str, rows: Sequence[str], spans: Sequence[Span], *, end: float, x_words: Words, legend: Sequence[tuple[str, int]] = ()) -> str:
    """A row for each name with its stretches; what each is appears where the pointer rests, and is read aloud. `legend`: words and their colours."""
    if not rows:
        return nothing(title)
    row, top = 20, _TOP + 12
    bottom, named = top + row * len(rows), 190
    x, number = Axis(0.0, end, named, WIDTH - _RIGHT), {name: i for i, name in enumerate(rows)}
    body = [f'<text class="end" x="{named - 8}" y="{top + i * row + 14}">{escape(_short(name, 28))}</text>' for name, i in number.items()]
    body += [f'<line x1="{named}" x2="{WIDTH - _RIGHT}" y1="{top + (i + 1) * row}" y2="{top + (i + 1) * row}" stroke="var(--grid)"/>' for i in range(len(rows))]
    for span in (span for span in spans if span.row in number):
        left, right, y = x.place(span.begin), x.place(span.end), top + number[span.row] * row + 3
        box = f'x="{_number(left)}" y="{y}" width="{_number(max(2.0, right - left))}" height="{row - 5}" rx="2"'
        body.append(f'<rect {box} fill="var(--c{span.colour % COLOURS})" fill-opacity="0.8"><title>{escape(span.words)}</title></rect>')
    told = "; ".join(span.words for span in spans if span.row in number)
    return chart(title, bottom + _BOTTOM, [*body, *_x_axis(x, x_words, bottom), *_legend(legend)], told)


def nothing(title: str) -> str:
    """A chart of which nothing is known."""
    return chart(title, 56, [f'<text class="dim" x="{_LEFT}" y="40">nothing to show</text>'])


def _y_axis(axis: Axis, words: Words) -> list[str]:
    shapes: list[str] = []
    for value in axis.ticks(4):
        y = _number(axis.place(value))
        shapes.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="var(--grid)"/>')
        shapes.append(f'<text class="dim end" x="{_LEFT - 6}" y="{_number(axis.place(value) + 4)}">{escape(words(value))}</text>')
    return shapes


def _x_axis(axis: Axis, words: Words, y: float) -> list[str]:
    shapes = [f'<line x1="{_number(axis.begin)}" x2="{_number(axis.end)}" y1="{_number(y)}" y2="{_number(y)}" stroke="var(--dim)"/>']
    ticks = ((value, _number(axis.place(value))) for value in axis.ticks(8))
    return shapes + [f'<text class="dim mid" x="{x}" y="{_number(y + 16)}">{escape(words(value))}</text>' for value, x in ticks]


def _marks(marks: Sequence[tuple[float, float, str]], x: Axis, y: Axis) -> list[str]:
    shapes: list[str] = []
    for begin, end, what in marks:
        left, right = x.place(begin), x.place(end)
        box = f'x="{_number(left)}" y="{_number(y.end)}" width="{_number(max(1.0, right - left))}" height="{_number(y.begin - y.end)}"'
        shapes.append(f'<rect {box} fill="var(--c4)" fill-opacity="0.10"><title>{escape(what)}</title></rect>')
    return shapes


def _legend(named: Sequence[tuple[str, int]]) -> list[str]:
    shapes: list[str] = []
    at = float(_LEFT)
    for name, number in named:
        shapes.append(f'<rect x="{_number(at)}" y="25" width="12" height="4" fill="var(--c{number % COLOURS})"/>')
        shapes.append(f'<text class="dim" x="{_number(at + 16)}" y="31">{escape(_short(name, 22))}</text>')
        at += 34 + 6.6 * min(len(name), 22)
    return shapes


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
